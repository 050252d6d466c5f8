"""Listing folders: which files there are, what is skipped, and which pictures pair up by stem. No torch."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from translate.datasets.pairs import Pair, Problem, Role, View, as_folder
from translate.files import SERVICE_FOLDERS
from translate.images import is_image_name
from translate.outside import parsed, read_text

RUN_KEYS = {"model", "settings", "source", "target", "data"}
"""What the `config.json` of a run has."""

THUMBNAILS = {"thumbs", "thumbnails", "_thumbs", "thumb", "preview", "previews"}
"""Such folders are classes, or sides, unless their pictures have the names of those in the folder above."""

Identity = tuple[int, int]  # device and inode


class Names(NamedTuple):
    """Files of one folder that follow each other in a `Tree`: names alone, since a set has millions."""

    below: str  # the folder, from that of the tree, with forward slashes; empty for that itself
    names: list[str]


@dataclass
class Tree:
    """What lies below a folder, in order of name."""

    root: Path
    listed: list[Names] = field(default_factory=list)  # that can be opened, pictures or not
    hidden_files: list[Path] = field(default_factory=list)
    hidden_folders: list[Path] = field(default_factory=list)
    services: list[Path] = field(default_factory=list)  # folders of thumbnails and the like
    runs: list[Path] = field(default_factory=list)  # folders of trainings, whose pages are not pictures to learn from
    again: list[Path] = field(default_factory=list)  # links to folders that are listed already, or lie above
    odd: list[Problem] = field(default_factory=list)  # links to nothing, pipes, names that are no text; not pictures
    problems: list[Problem] = field(default_factory=list)  # the same, named as pictures or folders

    @property
    def files(self) -> list[Path]:
        """Those that can be opened, pictures or not."""
        return [self.root / below / name for below, names in self.listed for name in names]

    @property
    def pictures(self) -> list[Path]:
        """The files that are named as pictures."""
        return [self.root / below / name for below, names in self.listed_pictures for name in names]

    @cached_property
    def listed_pictures(self) -> list[Names]:
        """Those that are named as pictures; none is empty. Once the tree is whole."""
        found = []
        for below, names in self.listed:
            if chosen := [name for name in names if is_image_name(name)]:
                found.append(Names(below, chosen if len(chosen) < len(names) else names))
        return found

    def views(self) -> Iterator[tuple[str, View]]:
        """The pictures with their names below the root, as `relative` gives them."""
        for below, names in self.listed_pictures:
            folder, before = as_folder(self.root / below), f"{below}/" if below else ""
            for name in names:
                yield before + name if before else name, View.of(folder, name)


@dataclass
class Known:
    """What was listed within `listing_once`."""

    trees: dict[Path, Tree] = field(default_factory=dict)
    subfolders: dict[Path, list[Path]] = field(default_factory=dict)


_known: ContextVar[Known | None] = ContextVar("known", default=None)


@contextlib.contextmanager
def listing_once() -> Iterator[None]:
    """Within the block each folder is listed once, however often it is asked for: a set is looked at in many ways."""
    token = _known.set(Known())
    try:
        yield
    finally:
        _known.reset(token)


def tree(folder: Path) -> Tree:
    """Everything below `folder`, through links to folders as well; each folder once, by its real place if that is here.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    known = _known.get()
    if known is None:
        return _Walk(folder).found
    if folder not in known.trees:
        known.trees[folder] = _Walk(folder).found
    return known.trees[folder]


def walk(folder: Path) -> list[Path]:
    """The files of `tree`.

    Raises:
        ValueError: a folder that cannot be listed.
    """
    return tree(folder).files


def pictures(folder: Path) -> list[Path]:
    """Every picture below `folder`, by file name, in order of name."""
    return tree(folder).pictures


def has_pictures(folder: Path) -> bool:
    """Whether there is any picture below `folder`."""
    return bool(tree(folder).listed_pictures)


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = Tree(root)
        self._seen: set[Identity] = set()
        self._real: set[Identity] | None = None  # looked for once there is a link
        self._enter(root, _entries(root), "")

    def _enter(self, folder: Path, entries: list[os.DirEntry[str]], below: str) -> None:
        self._seen.add(_identity(folder))
        files: list[str] | None = None  # a folder between two files ends their run
        for entry in entries:
            what, reason = _sort(folder, entry, beside=entries)
            if what == "files":
                if files is None:
                    self.found.listed.append(Names(below, files := []))
                files.append(entry.name)
            elif what != "folders":
                path = folder / entry.name
                getattr(self.found, what).append(Problem(path, reason) if reason else path)
            else:
                files = None
                self._go_into(folder / entry.name, entry, f"{below}/{entry.name}" if below else entry.name)

    def _go_into(self, path: Path, entry: os.DirEntry[str], below: str) -> None:
        identity = _identity(path)
        if identity in self._seen or (entry.is_symlink() and identity in self._elsewhere()):
            self.found.again.append(path)
        else:
            self._enter(path, _entries(path), below)

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
    known = _known.get()
    if known is not None and folder in known.subfolders:
        return known.subfolders[folder]
    entries = _entries(folder)
    found = [folder / entry.name for entry in entries if _sort(folder, entry, beside=entries)[0] == "folders"]
    if known is not None:
        known.subfolders[folder] = found
    return found


Sort = Literal["files", "folders", "hidden_files", "hidden_folders", "services", "runs", "odd", "problems"]


def _sort(folder: Path, entry: os.DirEntry[str], *, beside: list[os.DirEntry[str]]) -> tuple[Sort, str]:
    """Which part of a `Tree` an entry of `folder` belongs to, or "folders"; and why it cannot be used."""
    name = entry.name
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
    except OSError as error:  # a link to itself
        return _named_so(name), f"cannot be followed: {error.strerror}"
    if name.startswith("."):
        return ("hidden_folders" if is_folder else "hidden_files"), ""
    if not _is_text(name):
        return ("problems" if is_folder else _named_so(name)), "its name is not UTF-8: rename it"
    if is_file:
        return "files", ""
    if not is_folder:
        return _named_so(
            name
        ), "a link to nothing" if entry.is_symlink() else "no file but a pipe, a socket or a device"
    if name.lower() in SERVICE_FOLDERS:
        return "services", ""
    path = folder / name
    if name.lower() in THUMBNAILS and _are_thumbnails(_entries(path), of=beside):
        return "services", ""
    return ("runs" if _is_run(path / "config.json") else "folders"), ""


def _named_so(name: str) -> Sort:
    return "problems" if is_image_name(name) else "odd"


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
    if name.isascii():
        return True
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
    return name if name.isascii() else unicodedata.normalize("NFC", name)


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
    if role == "source":
        return tuple(Pair(name=name, source=view) for name, view in tree(folder).views())
    return tuple(Pair(name=name, target=view) for name, view in tree(folder).views())


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
        one, other = sources.get(name), targets.get(name)
        if isinstance(one, _Named) and isinstance(other, _Named):
            same = one.stem if one.stem == other.stem else name
            pairs.append(Pair(same, source=one.view, target=other.view))
        else:
            ones, others = ([found.view.path for found in _each(files)] for files in (one, other))
            problems += _unpaired(ones, others, target) + _unpaired(others, ones, source)
    return tuple(pairs), tuple(problems)


class _Named(NamedTuple):
    stem: str  # as it is spelled on the disk
    view: View


def _each(found: _Named | list[_Named] | None) -> list[_Named]:
    return [] if found is None else [found] if isinstance(found, _Named) else found


def _by_stem(folder: Path) -> dict[str, _Named | list[_Named]]:
    """Files by stem in one Unicode form: archives of macOS spell "é" in two signs, and mean the same name.

    A list is of those that have one stem.
    """
    found: dict[str, _Named | list[_Named]] = {}
    for name, view in tree(folder).views():
        own = name[: len(name) - len(view.name) + view.name.rfind(".")]
        key = nfc(own)
        found[key] = [*_each(found[key]), _Named(own, view)] if key in found else _Named(own, view)
    return found


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
