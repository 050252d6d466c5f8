"""Which input becomes which output: listed, named and checked before any is decoded. Imports no torch."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from translate.card import Card
from translate.images import FORMATS, IMAGE_SUFFIXES, ImageSpec, can_hold, format_for, is_image_name, suffix_for
from translate.inference.options import ConvertSettings

Folder = tuple[int, int]  # device and inode: the same for every name, link or spelling of one folder

LOSSLESS = ("PNG", "TIFF")  # where outputs go that their own format cannot hold, in order of preference


@dataclass(frozen=True)
class Job:
    """One picture to convert."""

    source: Path
    target: Path
    name: str  # of the source, below the input folder
    note: str | None = None  # what the report has to say about the output's name or format


@dataclass(frozen=True)
class Failure:
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what is not."""

    jobs: tuple[Job, ...]
    existing: int = 0  # pictures whose output is there already
    strays: int = 0  # hidden files and folders, and files that are no pictures
    failures: tuple[Failure, ...] = ()  # folders that cannot be listed


def make_plan(source: str | Path, destination: str | Path, *, card: Card, settings: ConvertSettings) -> Plan:
    """Every picture of `source`, a file or a folder, with its place in `destination`.

    For a file, `destination` may be a file or a folder (one that exists, or ends in a slash); for a folder it
    is a folder. Names and sub-folders are mirrored. The plan depends on the names only, so that a second run
    finds what the first one has done.

    Raises:
        ValueError: nothing to convert, a format that cannot hold the model's output, or an output that would
            take the place of an input.
    """
    inputs = Path(source)
    if settings.format:
        _check_holds(settings.format, card.target, asked=f"--format {settings.format.lower()}")
    if inputs.is_dir():
        plan = _plan_folder(inputs, Path(destination), card=card, settings=settings)
    elif inputs.exists():
        plan = Plan((_plan_file(inputs, destination, card=card, settings=settings),))
    else:
        raise ValueError(f"{inputs}: no such file or folder")
    _protect_inputs(plan.jobs, in_place=settings.in_place)
    todo = plan.jobs if settings.overwrite else tuple(job for job in plan.jobs if not _is_done(job, settings))
    return replace(plan, jobs=todo, existing=len(plan.jobs) - len(todo))


def _plan_file(source: Path, destination: str | Path, *, card: Card, settings: ConvertSettings) -> Job:
    target = Path(destination)
    if target.is_dir() or str(destination).endswith(("/", os.sep)):
        name, note = output_name(source.name, target=card.target, format=settings.format)
        return Job(source, target / name, source.name, note)
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{target}: not the name of a picture; end it in .png or another type, or in / for a folder")
    wanted = format_for(target.suffix)
    if settings.format and settings.format != wanted:
        raise ValueError(f"{target} is named as {wanted}, but --format asks for {settings.format}: change one of them")
    _check_holds(wanted, card.target, asked=str(target))
    return Job(source, target, source.name)


def _plan_folder(source: Path, destination: Path, *, card: Card, settings: ConvertSettings) -> Plan:
    if destination.exists() and not destination.is_dir():
        raise ValueError(f"{destination}: this is a file, but the input is a folder: name a folder for the outputs")
    output = _identity(destination)
    if output == _identity(source) and not settings.in_place:
        raise ValueError(f"{destination} is the input folder: name another one, or allow --in-place to replace inputs")
    files, strays, failures = list_pictures(source, recursive=settings.recursive, leave_out=output)
    if not files and not failures:
        beside = f" ({strays} hidden or other files)" if strays else ""
        raise ValueError(f"{source}: no pictures found{beside}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    outputs = name_outputs(files, target=card.target, format=settings.format)
    jobs = tuple(
        Job(source / file, destination / name, file.as_posix(), note)
        for file, (name, note) in zip(files, outputs, strict=True)
    )
    return Plan(jobs, strays=strays, failures=failures)


def list_pictures(
    root: Path, *, recursive: bool, leave_out: Folder | None = None
) -> tuple[list[PurePath], int, tuple[Failure, ...]]:
    """Pictures below `root` as relative paths in order, the count of strays, and folders that cannot be read.

    Links to folders are followed, each folder once. `leave_out` is the folder of outputs, if it is inside.
    """
    files: list[PurePath] = []
    failures: list[Failure] = []
    strays = 0
    seen = {_identity(root)}

    def unreadable(error: OSError) -> None:
        failures.append(Failure(Path(error.filename), f"{error.filename}: cannot be listed: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        here = Path(folder)
        enter = []
        for name in sorted(subfolders) if recursive else ():
            identity = _identity(here / name)
            if name.startswith(".") or name == "__MACOSX":
                strays += 1
            elif identity not in seen and (identity is None or identity != leave_out):
                seen.add(identity)
                enter.append(name)
        subfolders[:] = enter
        pictures = [name for name in names if is_image_name(name)]
        strays += len(names) - len(pictures)
        inside = here.relative_to(root)
        files += [inside / name for name in pictures]
    return sorted(files), strays, tuple(failures)


def output_name(name: str, *, target: ImageSpec, format: str | None) -> tuple[str, str | None]:
    """The output's file name for an input's, and a note where it is not of the type one would expect.

    `format` is the type that was asked for (and can hold the target), None for that of the input.
    """
    suffix = PurePath(name).suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        chosen = format or _lossless(target)
        note = None if format else f"a name without a known suffix: written as {chosen}"
        return name + suffix_for(chosen), note
    own = format_for(suffix)
    chosen = format or own
    note = None
    alpha = chosen == "GIF" and not format  # which it may have now, and can only have in a palette
    if not _holds(chosen, target, alpha=alpha):
        chosen = _lossless(target)
        note = f"{own} cannot hold {_describe(target)}: written as {chosen}"
    return (name if chosen == own else str(PurePath(name).with_suffix(suffix_for(chosen)))), note


def name_outputs(files: list[PurePath], *, target: ImageSpec, format: str | None) -> list[tuple[PurePath, str | None]]:
    """Outputs for relative `files`, no two the same, each with a note if there is something to say.

    Of inputs that would become one output, the one whose name that is keeps it, and the others keep their
    full names (`a.jpg` -> `a.jpg.png`).
    """
    plain = [output_name(file.name, target=target, format=format) for file in files]
    wanted = [file.with_name(name) for file, (name, _) in zip(files, plain, strict=True)]
    counts = Counter(wanted)
    taken = {path for file, path in zip(files, wanted, strict=True) if path == file or counts[path] == 1}
    outputs: list[tuple[PurePath, str | None]] = []
    for file, path, (_, note) in zip(files, wanted, plain, strict=True):
        if path != file and counts[path] > 1:
            suffix = path.suffix
            path = file.with_name(file.name + suffix)
            while path in taken:
                path = path.with_name(path.name + suffix)
            taken.add(path)
            note = note or "named like another input but for the suffix: kept the full name"
        outputs.append((path, note))
    return outputs


def _is_done(job: Job, settings: ConvertSettings) -> bool:
    if not job.target.is_file():
        return False
    return not (settings.in_place and job.target.samefile(job.source))


def _protect_inputs(jobs: tuple[Job, ...], *, in_place: bool) -> None:
    """Refuse outputs that are inputs under whatever name; `in_place` allows that of an output's own input."""
    inputs: dict[tuple[Folder | None, str], Path] = {}
    folders: dict[Path, Folder | None] = {}

    def place(path: Path) -> tuple[Folder | None, str]:
        if path.parent not in folders:
            folders[path.parent] = _identity(path.parent)
        return folders[path.parent], path.name

    for job in jobs:
        inputs[place(job.source)] = job.source
    for job in jobs:
        where = place(job.target)
        if where[0] is None or where not in inputs:
            continue
        if inputs[where] != job.source:
            raise ValueError(
                f"{job.target}: the output of {job.source} would replace another input: name another folder"
            )
        if not in_place:
            raise ValueError(
                f"{job.target}: would replace its own input: name another place, or allow it by --in-place"
            )


def _identity(folder: Path) -> Folder | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _holds(format: str, target: ImageSpec, *, alpha: bool = False) -> bool:
    """Whether a format holds such outputs; of label maps every single value, since noise would make new classes."""
    if target.kind == "labels" and FORMATS[format].lossy:
        return False
    return can_hold(format, channels=target.channels, dtype=target.dtype, alpha=alpha)


def _lossless(target: ImageSpec) -> str:
    fits = [f for f in LOSSLESS if _holds(f, target)]
    assert fits, f"no format holds {_describe(target)}"
    return fits[0]


def _check_holds(format: str, target: ImageSpec, *, asked: str) -> None:
    if not _holds(format, target):
        what = _describe(target)
        raise ValueError(f"{asked}: {format} cannot hold the model's {what}: use {_lossless(target)}")


def _describe(target: ImageSpec) -> str:
    if target.kind == "labels":
        return "label maps without changing their colours"
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[target.dtype]
    return f"{depth} pictures of {target.channels} channel{'s' * (target.channels > 1)}"
