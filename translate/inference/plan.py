"""Plans a conversion: inputs are listed, outputs named and checked, before any is decoded. Imports no torch."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from pathlib import Path, PurePath

from translate.card import Card
from translate.images import IMAGE_SUFFIXES, format_for
from translate.inference.listing import (
    Failure,
    Folder,
    Sources,
    check_several,
    identity_of,
    is_cut,
    mark_of,
    pictures_in,
    same_folder,
    unfinished_in,
    walk,
)
from translate.inference.names import Named, check_holds, flat, name_outputs, numbered, output_name
from translate.inference.options import ConvertSettings
from translate.inference.record import DIFFERENT, Maker, Record, Stamp
from translate.inference.shards import Dealer, Shard, shard_of

BLOCK = 1000  # jobs packed together: fewer compress worse, more delay the first


@dataclass(frozen=True)
class Job:
    """One picture to convert."""

    source: Path
    target: Path
    name: str  # of the source, below the input folder
    note: str | None = None  # for the report, on the output's name or format


class Jobs:
    """Any number of jobs, in order: about ten bytes each, where a `Job` takes a thousand. Iterating makes them anew."""

    def __init__(self, source: Path, target: Path, rows: Iterable[tuple[str, Named]]) -> None:
        """`rows`: for each job its folder, relative to `source` and `target`, and its names and note."""
        self._source = source
        self.target = target  # the folder that all outputs are in or below
        self._blocks: list[bytes] = []
        self._count = 0
        rows = iter(rows)
        while block := list(islice(rows, BLOCK)):
            self._blocks.append(zlib.compress(json.dumps(block).encode("ascii"), 1))
            self._count += len(block)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Job]:
        for block in self._blocks:
            for inside, (name, output, note) in json.loads(zlib.decompress(block)):
                file = PurePath(inside, name)
                yield Job(self._source / file, self.target / inside / output, file.as_posix(), note)

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Folder relative to `target` (`.` for itself) and name of each output; faster than iterating over the jobs."""
        for block in self._blocks:
            for inside, (_, output, _) in json.loads(zlib.decompress(block)):
                yield inside, output


UNRECORDED = "kept, though no record says what it was made of (--overwrite makes it anew)"
STALE = "kept, though made of {} (--update makes it anew)"


@dataclass(frozen=True)
class Plan:
    """The jobs of a conversion, and what is skipped."""

    jobs: Jobs
    existing: int = 0  # pictures whose output exists
    ignored: int = 0  # hidden files and folders, and files that are no pictures
    failures: tuple[Failure, ...] = ()  # folders that cannot be listed
    kept: Mapping[str, tuple[int, str]] = field(
        default_factory=dict
    )  # why existing outputs may be out of date: count, first name
    partial_files: tuple[Path, ...] = ()  # temporary files that a killed process left
    listed: int = 0  # outputs of all shards, existing ones too
    checksum: str = ""  # of the names of all shards' inputs


def make_plan(
    source: str | Path | Sequence[str | Path] | Sources,
    destination: str | Path,
    *,
    card: Card,
    settings: ConvertSettings,
    maker: Maker | None = None,
    listed: Callable[[int], object] = int,
    seen: Callable[[str], object] = str,
) -> Plan:
    """Every picture of `source`, a file, a folder, a list of these or the chosen files of one, with its output.

    For a file, `destination` may be a file or a folder (one that exists, or ends in a slash); for a folder or a list it
    is a folder. The inputs of a list keep their own names in it. Names and sub-folders are mirrored. The name of an
    output depends on input names only, so that a second run finds the outputs of the first; the folder's record tells
    whether `maker` would make the same. With `settings.shard` all of this is done for all inputs, of which the jobs are
    those of the shard. `listed(count)` is called as pictures are found, and `seen(name)` for each picture, by its path
    below `source`, even if its output exists. In memory are the names of one folder, about ten bytes for each picture
    of the others, and a few hundred for each folder.

    Raises:
        ValueError: nothing to convert, a format that cannot hold the model's output, or an output that would
            replace an input.
    """
    planned = partial(_Planner, card=card, settings=settings, maker=maker, listed=listed, seen=seen)
    if settings.format:
        check_holds(settings.format, card.target, source=f"--format {settings.format.lower()}")
    if isinstance(source, Sources):
        return planned(source.root, Path(destination)).plan(source)
    if not isinstance(source, str | Path):
        several = list(dict.fromkeys(map(Path, source)))
        check_several(several, destination)
        root = several[0].parent if same_folder(several) else Path()
        return planned(root, Path(destination)).plan_several(several)
    inputs = Path(source)
    if inputs.is_dir():
        return planned(inputs, Path(destination)).plan()
    if not inputs.exists():
        raise ValueError(f"{inputs}: no such file or folder")
    if settings.shard is not None:
        raise ValueError(
            f"--shard {settings.shard} is for a folder or several inputs, and {inputs} is one: leave it out"
        )
    target, note = _target_of_file(inputs, destination, card=card, settings=settings)
    return planned(inputs.parent, target.parent).plan_file((inputs.name, target.name, note))


def _target_of_file(
    source: Path, destination: str | Path, *, card: Card, settings: ConvertSettings
) -> tuple[Path, str | None]:
    target = Path(destination)
    if target.is_dir() or str(destination).endswith(("/", os.sep)):
        name, note = output_name(source.name, target=card.target, format=settings.format)
        return target / name, note
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{target}: not the name of a picture; end it in .png or another type, or in / for a folder")
    wanted = format_for(target.suffix)
    if settings.format and settings.format != wanted:
        raise ValueError(f"{target} is named as {wanted}, but --format asks for {settings.format}: change one of them")
    check_holds(wanted, card.target, source=str(target))
    return target, None


class _Planner:
    """Goes through the folders once, and keeps only the jobs of their pictures."""

    def __init__(
        self,
        source: Path,
        destination: Path,
        *,
        card: Card,
        settings: ConvertSettings,
        maker: Maker | None,
        listed: Callable[[int], object],
        seen: Callable[[str], object],
    ) -> None:
        self.source, self.destination = source, destination
        self.card, self.settings, self.maker, self.listed, self.seen = card, settings, maker, listed, seen
        self.kept: dict[str, tuple[int, str]] = {}
        self.existing = self.ignored = 0
        self.failures: list[Failure] = []
        self.partial_files: list[Path] = []
        self.inputs: dict[Folder | None, PurePath] = {}  # folders with pictures
        self.outputs: list[tuple[Folder, PurePath]] = []  # output folders that exist
        self.chosen: list[str] | None = None  # of several inputs, those that lie in `source` itself
        self.shard: Shard | None = None if settings.shard is None else shard_of(settings.shard)
        self.dealer = Dealer(self.shard)

    def plan(self, chosen: Sources | None = None) -> Plan:
        """Plan for the whole folder, or for files in it."""
        source, destination = self.source, self.destination
        if destination.exists() and not destination.is_dir():
            raise ValueError(f"{destination}: this is a file, but the input is a folder: name a folder for the outputs")
        output = self._output_folder()
        if output == identity_of(source) and not self.settings.in_place:
            raise ValueError(
                f"{destination} is the input folder: name another one, or allow --in-place to replace inputs"
            )
        rows = self._rows_of(chosen) if chosen else self._rows(source, leave_out=output)
        jobs = Jobs(source, destination, rows)
        if not self.inputs and not self.failures:
            beside = f" ({self.ignored} hidden or other files)" if self.ignored else ""
            raise ValueError(f"{source}: no pictures found{beside}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
        self._protect_all()
        return self._finished(jobs)

    def plan_several(self, inputs: list[Path]) -> Plan:
        """Plan for inputs named one by one; folders among them only if all are in one folder, `source`."""
        output = self._output_folder()
        jobs = Jobs(self.source, self.destination, self._rows_of_several(inputs, leave_out=output))
        if not (self.dealer.outputs or self.failures):
            raise ValueError(f"{inputs[0]} and {len(inputs) - 1} more: no pictures found")
        self._protect_all()
        return self._finished(jobs)

    def _output_folder(self) -> Folder | None:
        """The identity of the destination, by which it is left out of the inputs; None if it does not exist.

        A shard makes it first: another one might while this one lists the inputs, and have its outputs taken for some.

        Raises:
            ValueError: it cannot be made.
        """
        if self.shard is not None:
            try:
                self.destination.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"{self.destination}: cannot be written to: {error.strerror}") from None
        return identity_of(self.destination)

    def plan_file(self, named: Named) -> Plan:
        """Plan for one picture in the folder."""
        here, identity = PurePath(), identity_of(self.destination)
        outputs = list(self._each([named]))
        if identity is not None and identity == identity_of(self.source):
            self._protect(here, outputs, there=here, names={named[0]})
        return self._finished(Jobs(self.source, self.destination, self._to_do(here, outputs)))

    def _rows_of_several(self, inputs: list[Path], *, leave_out: Folder | None) -> Iterator[tuple[str, Named]]:
        files = [path for path in inputs if not path.is_dir()]
        if same_folder(inputs):
            self.chosen = sorted(path.name for path in files)
            self.inputs[identity_of(self.source)] = PurePath()
            named = self._named(self.chosen)
        else:
            named = self._each(flat(files, target=self.card.target, format=self.settings.format))
        yield from self._to_do(PurePath(), named)
        for folder in inputs:
            if folder.is_dir() and (leave_out is None or identity_of(folder) != leave_out):
                yield from self._rows(folder, leave_out=leave_out)

    def _finished(self, jobs: Jobs) -> Plan:
        skipped = self.existing, self.ignored, tuple(self.failures), self.kept, tuple(self.partial_files)
        return Plan(jobs, *skipped, listed=self.dealer.outputs, checksum=self.dealer.checksum)

    def _rows(self, folder: Path, *, leave_out: Folder | None) -> Iterator[tuple[str, Named]]:
        """Rows of a folder, `source` or one in it, and of those below."""
        for found in walk(folder, recursive=self.settings.recursive, leave_out=leave_out):
            if isinstance(found, Failure):
                self.failures.append(found)
                continue
            self.ignored += found.ignored
            if found.pictures:
                inside = folder.relative_to(self.source) / found.inside
                self.inputs[identity_of(self.source / inside)] = inside
                yield from self._to_do(inside, self._named(found.pictures))

    def _rows_of(self, chosen: Sources) -> Iterator[tuple[str, Named]]:
        for inside, files in groupby(
            sorted(chosen.files, key=lambda file: (file.parent, file.name)), lambda f: f.parent
        ):
            self.inputs[identity_of(self.source / inside)] = inside
            yield from self._to_do(inside, self._named([file.name for file in files]))

    def _named(self, pictures: list[str]) -> Iterator[Named]:
        return self._each(name_outputs(pictures, target=self.card.target, format=self.settings.format))

    def _each(self, named: Iterable[Named]) -> Iterator[Named]:
        """One output for each picture, or `samples` numbered ones."""
        for name, output, note in named:
            if self.settings.samples is None:
                yield name, output, note
            else:
                for number in range(self.settings.samples):
                    yield name, numbered(output, number + 1), note

    def _to_do(self, inside: PurePath, named: Iterable[Named]) -> Iterator[tuple[str, Named]]:
        """Rows for `Jobs` of the pictures in one folder whose outputs are missing or out of date."""
        folder = self.destination / inside
        identity, row = identity_of(folder), inside.as_posix()
        unfinished = unfinished_in(folder) if identity else {}
        record = Record(folder) if identity and self.maker and not self.settings.overwrite else None
        if identity is not None:
            self.outputs.append((identity, inside))
        for name, output, note in named:
            path = name if row == "." else f"{row}/{name}"
            self.listed(1)
            self.seen(path)
            if not self.dealer.is_ours(path):
                continue
            if unfinished and (self.shard is None or not is_cut(output)):
                self.partial_files += unfinished.pop(mark_of(output), ())
            if (
                identity is not None
                and self._is_there(f"{folder}{os.sep}{output}", self.source / inside, name)
                and not self._is_made_anew(record, row, name, output)
            ):
                self.existing += 1
            else:
                yield row, (name, output, note)

    def _is_made_anew(self, record: Record | None, row: str, name: str, output: str) -> bool:
        """Whether an existing output is made anew; counts those that are kept and may be out of date."""
        if record is None or self.maker is None:
            return False
        inside = "" if row == "." else f"{row}/"
        found = record.find(output)
        try:
            stamp = Stamp.of(os.path.join(self.source, inside, name))  # noqa: PTH118 - as `_is_there`
        except OSError:  # reported when it is read
            return False
        text = UNRECORDED
        if found is not None:
            wanted = self.maker.made(inside + name, stamp)
            other = next((d for d, a, b in zip(DIFFERENT, found, wanted, strict=True) if a != b), None)
            if other is None or self.settings.update:
                return other is not None
            text = STALE.format(other)
        count, first = self.kept.get(text, (0, inside + output))
        self.kept[text] = count + 1, min(first, inside + output)
        return False

    def _is_there(self, output: str, folder: Path, name: str) -> bool:
        if self.settings.overwrite:
            return False
        try:
            found = os.stat(output)  # noqa: PTH116 - a Path takes several times as long
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        try:
            return not (self.settings.in_place and os.path.samestat(found, (folder / name).stat()))
        except OSError:  # a link to nothing or to itself, which is reported when it is read
            return False

    def _protect_all(self) -> None:
        """Refuse outputs that would replace inputs, in folders that are both."""
        for identity, inside in self.outputs:
            if identity in self.inputs:
                there = self.inputs[identity]
                self._protect(
                    inside, self._named(self._pictures(inside)), there=there, names=set(self._pictures(there))
                )

    def _pictures(self, inside: PurePath) -> list[str]:
        at_top = self.chosen is not None and inside == PurePath()
        return list(self.chosen or ()) if at_top else pictures_in(self.source / inside)

    def _protect(self, inside: PurePath, named: Iterable[Named], *, there: PurePath, names: set[str]) -> None:
        """Refuse outputs of the folder `inside` that would replace inputs, which have `names` in the folder `there`.

        `in_place` allows an output to replace its own input.
        """
        for name, output, _ in named:
            source, target = self.source / inside / name, self.destination / inside / output
            if output not in names:
                continue
            if (there, output) != (inside, name):
                raise ValueError(f"{target}: the output of {source} would replace another input: name another folder")
            if not self.settings.in_place:
                raise ValueError(
                    f"{target}: would replace its own input: name another place, or allow it by --in-place"
                )
