"""The plain shapes that travel through the data folders: which files make a pair, and which could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class View:
    """A picture file, or one half of a side-by-side file."""

    path: Path
    half: Literal["left", "right"] | None = None


@dataclass(frozen=True)
class Pair:
    """One example: a source and the target it should become."""

    name: str  # unique within its split and independent of where the folder lies
    target: View
    source: View | None = None  # None: the source is derived from the target
    label: str | None = None
    text: str | None = None


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
