"""The values that all rooms share: a picture file, a pair, a problem with a file, and the listing of a set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

Role = Literal["source", "target"]
ROLES: tuple[Role, ...] = ("source", "target")
Half = Literal["left", "right"] | None


class _View(NamedTuple):
    folder: str
    name: str
    half: Half = None


class View(_View):
    """A picture file, or one half of a side-by-side file.

    A set has millions of these: a tuple of texts takes a fifth of the memory of a `Path`, which is made when asked for.
    """

    __slots__ = ()

    def __new__(cls, path: str | os.PathLike[str], half: Half = None) -> View:
        return cls.of(*os.path.split(os.fspath(path)), half)

    @classmethod
    def of(cls, folder: str, name: str, half: Half = None) -> View:
        """`name` has no separator: two views of one file are equal."""
        return tuple.__new__(cls, (folder, name, half))

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)

    @property
    def file(self) -> str:
        """The path as text."""
        return os.path.join(self.folder, self.name)  # noqa: PTH118 - a Path takes ten times as long

    def __reduce__(self) -> tuple[Callable[..., View], tuple[Any, ...]]:
        return View.of, tuple(self)


def as_folder(path: Path) -> str:
    """The `folder` of views in it."""
    return "" if (text := str(path)) == "." else text


@dataclass(frozen=True, slots=True)
class Pair:
    """One example: a source and the target it should become; or, without pairs, a picture of either side alone."""

    name: str  # unique within its split (of single pictures, and its side) and independent of where the folder lies
    target: View | None = None  # None: a source alone
    source: View | None = None  # None: a target alone, or the source is derived from the target
    label: str | None = None
    text: str | None = None
    folder: str | None = field(default=None, compare=False)  # of its class; None: the first of its name


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a layout found. An empty `val` means that a part of `train` is to be held out."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    problems: tuple[Problem, ...] = ()
    several: bool = False  # a picture may have any number of labels, even if none has two

    @property
    def every(self) -> tuple[Pair, ...]:
        """The pairs of all splits."""
        return (*self.train, *self.val, *self.test)


def views(pair: Pair) -> tuple[View, ...]:
    """The pictures of `pair`, the source first."""
    return tuple(view for view in (pair.source, pair.target) if view is not None)


def has_side(pairs: Iterable[Pair], role: Role) -> bool:
    """Whether any of `pairs` has a picture of this side."""
    return any(getattr(pair, role) is not None for pair in pairs)


def of_side(pairs: Iterable[Pair], role: Role) -> tuple[Pair, ...]:
    """Those of `pairs` that have a picture of this side, each with that one alone; none of them twice."""
    found: dict[View, Pair] = {}
    for pair in pairs:
        view = pair.source if role == "source" else pair.target
        if view is not None and view not in found:
            if pair.source is not None and pair.target is not None:
                pair = replace(pair, target=None) if role == "source" else replace(pair, source=None)
            found[view] = pair
    return tuple(found.values())
