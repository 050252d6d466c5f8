"""The values that all rooms share: a picture file, a pair, a problem with a file, and the listing of a set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

Role = Literal["source", "target"]
ROLES: tuple[Role, ...] = ("source", "target")


@dataclass(frozen=True)
class View:
    """A picture file, or one half of a side-by-side file."""

    path: Path
    half: Literal["left", "right"] | None = None


@dataclass(frozen=True)
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


def of_side(pairs: Iterable[Pair], role: Role) -> tuple[Pair, ...]:
    """Those of `pairs` that have a picture of this side, each with that one alone; none of them twice."""
    found: dict[View, Pair] = {}
    for pair in pairs:
        view = pair.source if role == "source" else pair.target
        if view is not None:
            alone = replace(pair, target=None) if role == "source" else replace(pair, source=None)
            found.setdefault(view, alone)
    return tuple(found.values())
