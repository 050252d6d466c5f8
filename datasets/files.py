"""Listing folders: which files are pictures, which pair up by stem. No torch."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from translate.datasets.pairs import Pair, Problem, Role, View
from translate.images import is_image_name


def walk(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, in order of name, through links to folders as well.

    Files and folders whose name starts with a dot are left out.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    yield from _walk(folder, inside=frozenset())


def _walk(folder: Path, *, inside: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder}: this folder cannot be listed: {error.strerror}") from None
    identity = (here.st_dev, here.st_ino)
    if identity in inside:  # a link back to a folder that we came through
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, inside=inside | {identity})
        else:
            yield folder / entry.name


def pictures(folder: Path) -> list[Path]:
    """Every picture below `folder`, by file name, in order of name."""
    return [path for path in walk(folder) if is_image_name(path)]


def relative(path: Path, folder: Path) -> str:
    """`path` below `folder` with forward slashes: the same text on every system, wherever the folder lies."""
    return path.relative_to(folder).as_posix()


def stem(path: Path, folder: Path) -> str:
    """`relative` without the last suffix: what pairs two files."""
    return relative(path.with_suffix(""), folder)


def require_folder(path: Path, *, flag: str) -> Path:
    """`path` itself, once it is known to be a folder.

    Raises:
        ValueError: naming `flag`, where it is a file or is not there.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError(f"{flag} {path}: this is a file; give the folder that holds the pictures")
    raise ValueError(f"{flag}: no folder {path}")


def alone(folder: Path, role: Role = "target") -> tuple[Pair, ...]:
    """Every picture below `folder` on its own: as a target whose source is to be derived, or one side without pairs."""
    found = [(relative(path, folder), View(path)) for path in pictures(folder)]
    if role == "source":
        return tuple(Pair(name=name, source=view) for name, view in found)
    return tuple(Pair(name=name, target=view) for name, view in found)


def pair_by_stem(
    source: Path,
    target: Path,
    *,
    otherwise: str = "pictures without partners are for models such as cyclegan and cut",
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    """Pictures below two folders, paired by their path without the suffix, and a problem for each left over.

    `otherwise` ends the error: what to do if the pictures are no pairs.

    Raises:
        ValueError: there are pictures on both sides and not one pair among them.
    """
    sources, targets = _by_stem(source), _by_stem(target)
    if sources and targets and not sources.keys() & targets.keys():
        raise ValueError(
            f"{source} and {target} hold no pairs: none of the {len(sources)} file stems of the one "
            f"(such as {min(sources)}) is among the {len(targets)} of the other (such as {min(targets)}). "
            f"Give the files of a pair one stem; {otherwise}"
        )
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for name in sorted(sources.keys() | targets.keys()):
        both = sources.get(name, []), targets.get(name, [])
        if len(both[0]) == len(both[1]) == 1:
            pairs.append(Pair(name=name, source=View(both[0][0]), target=View(both[1][0])))
        else:
            problems += _unpaired(*both, target) + _unpaired(*both[::-1], source)
    return tuple(pairs), tuple(problems)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in pictures(folder):
        found[stem(path, folder)].append(path)
    return dict(found)


def _unpaired(files: list[Path], partners: list[Path], partner_folder: Path) -> list[Problem]:
    """Why each of `files`, which have one stem, found no single partner; every file is named once."""
    if not partners:
        return [Problem(path, f"no file of this stem in {partner_folder}") for path in files]
    if len(files) == 1:
        return [Problem(files[0], f"{_names(partners)} in {partner_folder} could each be its partner")]
    return [
        Problem(path, f"has the same stem as {_names(other for other in files if other != path)}: keep one")
        for path in files
    ]


def _names(paths: Iterable[Path]) -> str:
    return " and ".join(path.name for path in paths)
