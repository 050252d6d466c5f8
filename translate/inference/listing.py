"""Finds inputs: those named one by one, and the pictures in a folder, with partial files. Imports no torch."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from translate.files import KEPT, SERVICE_FOLDERS, TEMPORARY
from translate.images import IMAGE_SUFFIXES

RECORD = ".translate-done.jsonl"  # what each output in a folder was made of; see `record`

STREAM = "-"  # in place of an input: standard input

Folder = tuple[int, int]  # device and inode: the same for every name, link or spelling of one folder

Mark = tuple[str, str]  # the parts of an output's name that its temporary name keeps: start of the stem, suffix


Half = Literal["left", "right"] | None
"""Which half of a file that holds a pair side by side; None: the whole file."""


@dataclass(frozen=True)
class Sources:
    """The pictures to convert: files below one folder, all whole or all of one half."""

    root: Path
    files: tuple[PurePath, ...]  # relative to it, in order of name
    half: Half = None


@dataclass(frozen=True)
class Failure:
    """A file that could not be converted, or a folder that could not be listed, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """One folder at or below the input folder."""

    inside: PurePath  # relative to the input folder
    pictures: list[str]  # file names, sorted
    ignored: int  # hidden files and folders, and files that are no pictures


def walk(root: Path, *, recursive: bool, leave_out: Folder | None = None) -> Iterator[Listing | Failure]:
    """`root` and, if `recursive`, the folders below it in order; a `Failure` for each that cannot be listed.

    Links to folders are followed, each folder once. `leave_out` is the output folder, if it is inside.
    """
    failures: list[Failure] = []
    seen = {identity_of(root)}

    def unreadable(error: OSError) -> None:
        failures.append(Failure(Path(error.filename), f"{error.filename}: cannot be listed: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        yield from failures
        failures.clear()
        here = Path(folder)
        enter, ignored = [], 0
        for name in sorted(subfolders) if recursive else ():
            identity = identity_of(here / name)
            if name.startswith(".") or name.lower() in SERVICE_FOLDERS:
                ignored += 1
            elif identity not in seen and (identity is None or identity != leave_out):
                seen.add(identity)
                enter.append(name)
        subfolders[:] = enter
        files = len(names) - (RECORD in names)
        names[:] = [name for name in names if _is_picture(name)]
        names.sort()
        yield Listing(here.relative_to(root), names, ignored + files - len(names))
    yield from failures


def pictures_in(folder: Path) -> list[str]:
    """The pictures in one folder, as `walk` lists them."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_picture(entry.name) and not _is_folder(entry))


def unfinished_in(folder: Path) -> defaultdict[Mark, list[Path]]:
    """The partial files in a folder that a killed process left, by the marks of their outputs."""
    found: defaultdict[Mark, list[Path]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and TEMPORARY.fullmatch(entry.name):
                stem, suffix = split_name(entry.name)
                found[stem[1:].rpartition("-")[0], suffix].append(folder / entry.name)
    return found


def mark_of(output: str) -> Mark:
    """The mark of an output of this name."""
    stem, suffix = split_name(output)
    return stem[:KEPT], suffix


def is_cut(output: str) -> bool:
    """Whether outputs of other names may have the mark of this one, since temporary names keep a part of its stem."""
    return len(split_name(output)[0]) >= KEPT


def split_name(name: str) -> tuple[str, str]:
    """A file name in two, as a path has them: `"a.b.jpg"` -> `("a.b", ".jpg")`.

    A `Path` takes several times as long, and interns every name for the life of the process.
    """
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and suffix else (name, "")


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and split_name(name)[1].lower() in IMAGE_SUFFIXES


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def identity_of(folder: Path) -> Folder | None:
    """Device and inode; None for a folder that is missing or cannot be read."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def inputs(words: Sequence[str]) -> Path | list[Path] | None:
    """The inputs in the words before the output: one path, several, or None for standard input.

    Raises:
        ValueError: standard input among others, or a single path that is missing.
    """
    if STREAM in words:
        if len(words) > 1:
            raise ValueError(f"{STREAM} is standard input, which is one picture: give it alone")
        return None
    found = [_expanded(word) for word in words]
    if len(words) == 1 and found[0] is None:
        if not os.path.lexists(words[0]):
            raise ValueError(f"{words[0]}: no such file or folder")
        return Path(words[0])
    return [path for word, paths in zip(words, found, strict=True) for path in paths or [Path(word)]]


def pixels_of(source: Path | Sequence[Path] | None) -> int | None:
    """How many pixels an input has that is one picture, by its header; None for others, and where that is not known."""
    from PIL import Image

    if not isinstance(source, Path) or not source.is_file():
        return None
    try:
        with Image.open(source, formats=("PNG", "JPEG", "WEBP", "BMP")) as image:
            return image.width * image.height
    except Exception:  # damaged files raise many types; what is wrong is told when it is read
        return None


def _expanded(word: str) -> list[Path] | None:
    """The files that match a pattern like `photos/*.png`, which some shells do not expand; None for other words."""
    if os.path.lexists(word) or not glob.has_magic(word):
        return None
    return sorted(map(Path, glob.glob(word))) or None  # noqa: PTH207 - the pattern may be absolute


def same_folder(inputs: Sequence[Path]) -> bool:
    """Whether all are in one folder, as written."""
    return len({path.parent for path in inputs}) == 1


def check_several(inputs: Sequence[Path], destination: str | Path) -> None:
    """
    Raises:
        ValueError: no input, a missing one or one without a name like `..`; folders from several places; or a
            destination that is no folder or holds an input from another place.
    """
    out = Path(destination)
    if not inputs:
        raise ValueError("no pictures are given: name some, or a folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: this is a file, but several inputs need a folder to go to: name it last")
    if not out.exists() and out.suffix.lower() in IMAGE_SUFFIXES and not str(destination).endswith(("/", os.sep)):
        raise ValueError(f"{out}: named like a picture, but several inputs need a folder to go to: name it last")
    for path in inputs:
        if not os.path.lexists(path):
            raise ValueError(f"{path}: no such file or folder")
        if path.name in ("", ".."):
            raise ValueError(f"{path}: among several inputs a folder goes by its name: write that, or give it alone")
        if same_folder(inputs):
            continue
        if path.is_dir():
            raise ValueError(f"{path}: a folder among inputs from several places: convert it by itself")
        if out.exists() and identity_of(path.parent) == identity_of(out):
            raise ValueError(f"{out} holds one of the inputs, {path}: name another folder")
