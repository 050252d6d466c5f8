"""What lies in a folder: pictures, folders below, and what a killed process left. Imports no torch."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from translate.files import KEPT, SERVICE_FOLDERS, TEMPORARY
from translate.images import IMAGE_SUFFIXES

RECORD = ".translate-done.jsonl"  # what the outputs in a folder were made of; see `record`

Folder = tuple[int, int]  # device and inode: the same for every name, link or spelling of one folder

Mark = tuple[str, str]  # what the temporary name of an output keeps of it


@dataclass(frozen=True)
class Failure:
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """One folder at or below the input folder."""

    inside: PurePath  # relative to the input folder
    pictures: list[str]  # file names, sorted
    strays: int


def walk(root: Path, *, recursive: bool, leave_out: Folder | None = None) -> Iterator[Listing | Failure]:
    """`root` and, if `recursive`, the folders below it in order; of those that cannot be listed, why.

    Links to folders are followed, each folder once. `leave_out` is the folder of outputs, if it is inside.
    """
    failures: list[Failure] = []
    seen = {identity_of(root)}

    def unreadable(error: OSError) -> None:
        failures.append(Failure(Path(error.filename), f"{error.filename}: cannot be listed: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        yield from failures
        failures.clear()
        here = Path(folder)
        enter, strays = [], 0
        for name in sorted(subfolders) if recursive else ():
            identity = identity_of(here / name)
            if name.startswith(".") or name.lower() in SERVICE_FOLDERS:
                strays += 1
            elif identity not in seen and (identity is None or identity != leave_out):
                seen.add(identity)
                enter.append(name)
        subfolders[:] = enter
        files = len(names) - (RECORD in names)
        names[:] = [name for name in names if _is_picture(name)]
        names.sort()
        yield Listing(here.relative_to(root), names, strays + files - len(names))
    yield from failures


def pictures_in(folder: Path) -> list[str]:
    """Those of one folder, as `walk` lists them."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_picture(entry.name) and not _is_folder(entry))


def unfinished_in(folder: Path) -> defaultdict[Mark, list[Path]]:
    """The temporary files in a folder by the marks of the outputs that they would have become."""
    found: defaultdict[Mark, list[Path]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and TEMPORARY.fullmatch(entry.name):
                stem, suffix = split_name(entry.name)
                found[stem[1:].rpartition("-")[0], suffix].append(folder / entry.name)
    return found


def mark_of(output: str) -> Mark:
    """What the temporary name of an output called so keeps of it."""
    stem, suffix = split_name(output)
    return stem[:KEPT], suffix


def split_name(name: str) -> tuple[str, str]:
    """A file name in two, as a path has them: `"a.b.jpg"` -> `("a.b", ".jpg")`.

    A path takes several times as long, and puts every name into the interpreter's own table, which never shrinks.
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
    """None for a folder that is not there, or cannot be looked at."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
