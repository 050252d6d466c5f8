"""Listing folders: which files there are, what is skipped, and which pictures pair up by stem. No torch."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from translate.datasets.pairs import Pair, Problem, Role, View
from translate.files import SERVICE_FOLDERS
from translate.images import is_image_name
from translate.outside import parsed, read_text

RUN_KEYS = {"model", "settings", "source", "target", "data"}
"""What the `config.json` of a run has."""

THUMBNAILS = {"thumbs", "thumbnails", "_thumbs", "thumb", "preview", "previews"}
"""Such folders are classes, or sides, unless their pictures have the names of those in the folder above."""

Identity = tuple[int, int]  # device and inode


@dataclass
class Tree:
    """What lies below a folder, in order of name."""

    files: list[Path] = field(default_factory=list)  # that can be opened, pictures or not
    hidden_files: list[Path] = field(default_factory=list)
    hidden_folders: list[Path] = field(default_factory=list)
    services: list[Path] = field(default_factory=list)  # folders of thumbnails and the like
    runs: list[Path] = field(default_factory=list)  # folders of trainings, whose pages are not pictures to learn from
    again: list[Path] = field(default_factory=list)  # links to folders that are listed already, or lie above
    odd: list[Problem] = field(default_factory=list)  # links to nothing, pipes, names that are no text; not pictures
    problems: list[Problem] = field(default_factory=list)  # the same, named as pictures or folders

    @property
    def pictures(self) -> list[Path]:
        """The files that are named as pictures."""
        return [path for path in self.files if is_image_name(path)]


def tree(folder: Path) -> Tree:
    """Everything below `folder`, through links to folders as well; each folder once, by its real place if that is here.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    return _Walk(folder).found


def walk(folder: Path) -> list[Path]:
    """The files of `tree`.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    return tree(folder).files


def pictures(folder: Path) -> list[Path]:
    """Every picture below `folder`, by file name, in order of name."""
    return tree(folder).pictures


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = Tree()
        self._seen: set[Identity] = set()
        self._real: set[Identity] | None = None  # looked for once there is a link
        self._enter(root, _entries(root))

    def _enter(self, folder: Path, entries: list[os.DirEntry[str]]) -> None:
        self._seen.add(_identity(folder))
        for entry in entries:
            self._take(folder / entry.name, entry, beside=entries)

    def _take(self, path: Path, entry: os.DirEntry[str], *, beside: list[os.DirEntry[str]]) -> None:
        found = self.found
        what, reason = _sort(path, entry, beside=beside)
        if what != "folders":
            getattr(found, what).append(Problem(path, reason) if reason else path)
            return
        identity = _identity(path)
        if identity in self._seen or (entry.is_symlink() and identity in self._elsewhere()):
            found.again.append(path)
        else:
            self._enter(path, _entries(path))

    def _elsewhere(self) -> set[Identity]:
        """Folders that a link must not lead to: found without one, or those that the root lies in.

        Through the latter a link in `train/` would bring in `test/`.
        """
        if self._real is None:
            self._real = {_identity(above) for above in (self.root.resolve(), *self.root.resolve().parents)}
            for folder, below, _ in os.walk(self.root):
                self._real |= {_identity(path) for name in below if not (path := Path(folder, name)).is_symlink()}
        return self._real


def subfolders(folder: Path) -> list[Path]:
    """The folders right below that `tree` goes into, in order of name.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    entries = _entries(folder)
    paths = ((folder / entry.name, entry) for entry in entries)
    return [path for path, entry in paths if _sort(path, entry, beside=entries)[0] == "folders"]


Sort = Literal["files", "folders", "hidden_files", "hidden_folders", "services", "runs", "odd", "problems"]


def _sort(path: Path, entry: os.DirEntry[str], *, beside: list[os.DirEntry[str]]) -> tuple[Sort, str]:
    """Which part of a `Tree` an entry belongs to, or "folders"; and why it cannot be used."""
    named_so: Sort = "problems" if is_image_name(path) else "odd"
    try:
        is_folder, is_file, is_link = entry.is_dir(), entry.is_file(), entry.is_symlink()
    except OSError as error:  # a link to itself
        return named_so, f"cannot be followed: {error.strerror}"
    if entry.name.startswith("."):
        return ("hidden_folders" if is_folder else "hidden_files"), ""
    if not _is_text(entry.name):
        return ("problems" if is_folder else named_so), "its name is not UTF-8: rename it"
    if not is_folder:
        if is_file:
            return "files", ""
        return named_so, "a link to nothing" if is_link else "no file but a pipe, a socket or a device"
    if entry.name.lower() in SERVICE_FOLDERS:
        return "services", ""
    if entry.name.lower() in THUMBNAILS and _are_thumbnails(_entries(path), of=beside):
        return "services", ""
    return ("runs" if _is_run(path / "config.json") else "folders"), ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"{folder}: this folder cannot be listed: {error.strerror}") from None


def _identity(folder: Path) -> Identity:
    try:
        found = folder.stat()
    except OSError as error:
        raise ValueError(f"{folder}: this folder cannot be listed: {error.strerror}") from None
    return found.st_dev, found.st_ino


def _are_thumbnails(entries: list[os.DirEntry[str]], *, of: list[os.DirEntry[str]]) -> bool:
    """Whether all pictures among `entries` are called like some of the folder above."""
    stems, above = ({Path(entry.name).stem for entry in some if is_image_name(entry.name)} for some in (entries, of))
    return bool(stems) and stems <= above


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, as Python keeps them
        return False
    return True


def _is_run(config: Path) -> bool:
    if not config.is_file():  # a pipe of this name would be waited for
        return False
    try:
        content = parsed(read_text(config))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= RUN_KEYS


def relative(path: Path, folder: Path) -> str:
    """`path` below `folder` with forward slashes: the same text on every system, wherever the folder lies."""
    return path.relative_to(folder).as_posix()


def stem(path: Path, folder: Path) -> str:
    """`relative` without the last suffix: what pairs two files."""
    return relative(path.with_suffix(""), folder)


def nfc(name: str) -> str:
    """`name` in one Unicode form: archives of macOS spell "é" in two signs, and mean the same."""
    return unicodedata.normalize("NFC", name)


class AnyForm:
    """Finds files by names whose Unicode form may be another on the disk; each folder is listed once."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, folder: Path, inner: Path) -> Path | None:
        """The file `inner` below `folder`; None where none or more than one fits."""
        if (folder / inner).is_file():
            return folder / inner
        here = folder
        for part in inner.parts:
            if not (here / part).exists():
                names = self._in(here).get(nfc(part), [])
                if len(names) != 1:
                    return None
                part = names[0]
            here = here / part
        return here if here.is_file() else None

    def _in(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            found: dict[str, list[str]] = defaultdict(list)
            for path in folder.iterdir() if folder.is_dir() else ():
                found[nfc(path.name)].append(path.name)
            self._names[folder] = found
        return self._names[folder]


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
            ((one,), (other,)) = both
            same = stem(one, source)
            pairs.append(Pair(same if same == stem(other, target) else name, source=View(one), target=View(other)))
        else:
            problems += _unpaired(*both, target) + _unpaired(*both[::-1], source)
    return tuple(pairs), tuple(problems)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Files by stem in one Unicode form: archives of macOS spell "é" in two signs, and mean the same name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in pictures(folder):
        found[nfc(stem(path, folder))].append(path)
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
