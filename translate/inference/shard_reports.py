"""Reports of the shards of a conversion: each writes one beside the outputs; they are added up. Imports no torch."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from translate.files import write_text
from translate.inference.listing import Failure
from translate.inference.plan import Plan
from translate.inference.record import Maker
from translate.inference.report import MAX_LISTED, Note, Report, pictures
from translate.inference.shards import MAX_SHARDS, Shard
from translate.outside import checked, read_text, some, visible

NAME = re.compile(r"translate-report-[0-9]+-of-([0-9]+)\.json")
FORMAT = 1
LONGEST_FILE = 50_000_000  # bytes
LONGEST_TEXT = 20_000


class _Note(BaseModel):
    text: str = Field(max_length=LONGEST_TEXT)
    count: int = Field(ge=0)
    first: str = Field(max_length=LONGEST_TEXT)
    listed: bool


class _Failure(BaseModel):
    path: str = Field(max_length=LONGEST_TEXT)
    reason: str = Field(max_length=LONGEST_TEXT)


class ShardReport(BaseModel):
    """What a shard's file holds; written once the shard has gone through all of its pictures."""

    format: int = Field(ge=1, le=FORMAT)
    shard: int = Field(ge=1, le=MAX_SHARDS)
    of: int = Field(ge=1, le=MAX_SHARDS)
    input: str = Field(max_length=LONGEST_TEXT)
    inputs_checksum: str = Field(max_length=64)  # of the names of all shards' inputs
    listed: int = Field(ge=0)  # outputs of all shards
    model: str = Field(max_length=200)  # checksum
    settings: dict[str, Any]  # that change pixels and are not the defaults
    device: str = Field(max_length=200)
    seconds: float = Field(ge=0)
    converted: int = Field(ge=0)
    existing: int = Field(ge=0)
    failed: int = Field(ge=0)  # pictures of this shard
    ignored: int = Field(ge=0)  # among all inputs
    remark: str | None = Field(max_length=LONGEST_TEXT)
    notes: list[_Note] = Field(max_length=MAX_LISTED)
    unlisted: list[_Failure]  # folders among the inputs
    failures: list[_Failure] = Field(max_length=MAX_LISTED)  # the first of this shard by path, and those folders
    failures_file: str | None = Field(max_length=LONGEST_TEXT)  # beside this file


def report_file(shard: Shard) -> str:
    """The name of a shard's report."""
    return f"translate-report-{shard.stem}.json"


def write_report(report: Report, plan: Plan, maker: Maker, *, source: object) -> Path:
    """Write the report of a shard beside its outputs.

    Raises:
        ValueError: it cannot be written.
    """
    assert report.shard is not None
    given = some(list(map(str, source))) if isinstance(source, list | tuple) else str(source)
    held = ShardReport(
        format=FORMAT,
        shard=report.shard.number,
        of=report.shard.count,
        input=_text(given),
        inputs_checksum=plan.checksum,
        listed=report.listed,
        model=maker.model,
        settings=maker.settings,
        device=report.device,
        seconds=round(report.seconds, 3),
        converted=report.converted,
        existing=report.existing,
        failed=report.failed - report.unlisted,
        ignored=report.ignored,
        remark=None if report.remark is None else _text(report.remark),
        notes=[
            _Note(text=_text(note.text), count=note.count, first=_text(note.first), listed=note.listed)
            for note in report.notes[:MAX_LISTED]
        ],
        unlisted=list(map(_failure, plan.failures[:MAX_LISTED])),
        failures=list(map(_failure, report.failures)),
        failures_file=None if report.failures_file is None else report.failures_file.name,
    )
    path = plan.jobs.target / report_file(report.shard)
    try:
        write_text(path, json.dumps(held.model_dump(), indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"{path}: the shard's report cannot be written: {error.strerror}") from None
    return path


@dataclass(frozen=True)
class MergedReport(Report):
    """What all shards of a conversion did. `seconds` are those of the longest one."""

    shards: int = 0  # that there are
    missing: tuple[int, ...] = ()  # those without a report
    work: float = 0.0  # seconds of all shards together
    problems: tuple[str, ...] = ()  # why these may not be all shards of one conversion

    @property
    def exit_code(self) -> int:
        """0, or 1 where a picture could not be converted, a shard has no report, or they do not belong together."""
        return 1 if self.failed or self.missing or self.problems else 0

    def summary(self) -> str:
        """As a conversion's, with the shards."""
        lines = super().summary().splitlines()
        lines[0] = (
            f"converted {pictures(self.converted)} into {visible(self.destination)} by {self.shards} shards in "
            f"{self.work:.1f} s of all together, {self.seconds:.1f} s of the longest (on {self.device})"
        )
        if self.missing:
            numbers = some([f"{number}/{self.shards}" for number in self.missing])
            left = max(self.listed - self.done, 0)
            lines.append(f"not finished: no report of {numbers}, for {left:,} of {pictures(self.listed)}")
        if self.failed > len(self.failures):
            rest = self.failed - len(self.failures)
            lines.append(
                f"  and {rest:,} more failures: the shards' files in {visible(self.destination)} name all of them"
            )
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Plain values of it."""
        names = (
            "converted",
            "existing",
            "failed",
            "ignored",
            "listed",
            "seconds",
            "work",
            "device",
            "remark",
            "shards",
        )
        return {name: getattr(self, name) for name in names} | {
            "destination": str(self.destination),
            "missing": list(self.missing),
            "problems": list(self.problems),
            "notes": [{"text": note.text, "count": note.count, "first": note.first} for note in self.notes],
            "failures": [{"path": str(one.path), "reason": one.reason} for one in self.failures],
        }


def merge_reports(where: str | Path | Sequence[str | Path]) -> MergedReport:
    """Add up the reports that shards of one conversion have written.

    Args:
        where: the folder of the outputs, or the report files themselves.

    Raises:
        ValueError: there is no report, one is damaged, one shard has two, or they are of conversions by other numbers
            of shards.
    """
    paths = [Path(where)] if isinstance(where, str | Path) else list(map(Path, where))
    if len(paths) == 1 and paths[0].is_dir():
        (folder,) = paths
        paths = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
        if not paths:
            raise ValueError(
                f"{folder}: no shard has written a report to it: each does once it has gone through its pictures, as "
                "translate-report-1-of-4.json"
            )
        counts = sorted({int(found[1]) for path in paths if (found := NAME.fullmatch(path.name))})
        if len(counts) > 1:
            raise ValueError(
                f"{folder} has reports of conversions by {' and by '.join(map(str, counts))} shards: name the files of "
                f"one of them, as {folder}/translate-report-*-of-{counts[-1]}.json"
            )
    if not paths:
        raise ValueError("no reports are given: name the folder of the outputs, or the files")
    return _merged(paths[0].parent, sorted(map(_read, paths), key=lambda report: report.shard))


def _merged(folder: Path, reports: list[ShardReport]) -> MergedReport:
    shards = {report.of for report in reports}
    if len(shards) > 1:
        raise ValueError(
            f"reports of conversions by {' and by '.join(map(str, sorted(shards)))} shards: name those of one"
        )
    (count,) = shards
    twice = [number for number, times in Counter(report.shard for report in reports).items() if times > 1]
    if twice:
        raise ValueError(f"several reports of shard {twice[0]}/{count}: name those of one conversion")
    there = {report.shard for report in reports}
    unlisted = dict.fromkeys((one.path, one.reason) for report in reports for one in report.unlisted)
    failures = dict.fromkeys((one.path, one.reason) for report in reports for one in report.failures)
    failed = sum(report.failed for report in reports) + len(unlisted)
    return MergedReport(
        destination=folder,
        converted=sum(report.converted for report in reports),
        existing=sum(report.existing for report in reports),
        ignored=max(report.ignored for report in reports),
        remark=next((report.remark for report in reports if report.remark), None),
        failed=failed,
        failures=tuple(Failure(Path(path), reason) for path, reason in sorted(failures)[:MAX_LISTED]),
        failures_file=None,
        notes=_added(note for report in reports for note in report.notes),
        seconds=max(report.seconds for report in reports),
        device=", ".join(sorted({report.device for report in reports})),
        listed=max(report.listed for report in reports),
        unlisted=len(unlisted),
        shards=count,
        missing=tuple(number for number in range(1, count + 1) if number not in there),
        work=sum(report.seconds for report in reports),
        problems=tuple(_problems(reports)),
    )


def _added(notes: Iterable[_Note]) -> tuple[Note, ...]:
    """Notes with one text as one: their pictures are added, but for those on the list that all shards have."""
    found: dict[str, Note] = {}
    for note in notes:
        former = found.get(note.text)
        if former is None:
            found[note.text] = Note(note.text, note.count, note.first, note.listed)
        else:
            count = max(former.count, note.count) if note.listed else former.count + note.count
            found[note.text] = Note(note.text, count, min(former.first, note.first), note.listed)
    return tuple(sorted(found.values(), key=lambda note: note.text))


def _problems(reports: list[ShardReport]) -> Iterable[str]:
    """What shows that these are not the shards of one conversion."""
    first = reports[0]
    for report in reports[1:]:
        these = f"shards {first.shard}/{first.of} and {report.shard}/{report.of}"
        if report.inputs_checksum != first.inputs_checksum:
            numbers = f"{first.listed:,} and {report.listed:,}"
            yield (
                f"{these} have found other inputs ({numbers} pictures), so that some may be converted by none: the "
                "same command without --shard converts what is missing"
            )
            return
        if (report.model, report.settings) != (first.model, first.settings):
            yield f"{these} were converted by other models or settings: --update makes anew what differs"
            return


def _read(path: Path) -> ShardReport:
    try:
        found = checked(ShardReport, read_text(path, longest=LONGEST_FILE))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a report of a shard: {error}") from None
    if found.shard > found.of:
        raise ValueError(f"{path}: not a report of a shard: shard got {found.shard}: it is of {found.of}")
    return found


def _failure(failure: Failure) -> _Failure:
    return _Failure(path=_text(failure.path), reason=_text(failure.reason))


def _text(value: object) -> str:
    """As it may be shown and kept: names may be no UTF-8, or hold control characters."""
    return visible(str(value).encode("utf-8", "backslashreplace").decode())[:LONGEST_TEXT]
