"""Every picture is read once before training, in parallel, or was before and is known by an index. No torch."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from translate.console import bar
from translate.datasets.pairs import ROLES, Half, Pair, Problem, Role, View
from translate.datasets.preparation.facts import GLANCED, Facts, Packed, Pictures
from translate.datasets.preparation.index import MIN_FILES, Index, Stamps
from translate.datasets.preparation.looking import How, Wanted
from translate.datasets.preparation.readers import Rows, in_parallel
from translate.datasets.preparation.roles import Side

VALUES_IN_ALL = 2**24  # sampled values over all files: 64 MB of float32
VALUES_A_FILE = (256, 65_536)  # the fewest and the most of one file
HALVES: tuple[Half, ...] = (None, "left", "right")
MIN_GLANCED = 20_000  # fewer files are decoded at once: that takes seconds
DECODED_AT_ONCE = 1000  # of those that are glanced at: their values are looked at
SAY_EVERY = 30.0  # seconds between lines where there is no terminal


class NotDecodedError(Exception):
    """The looks are asked for of a picture that was only glanced at."""


@dataclass(frozen=True)
class Scan:
    """Facts of every picture that could be read, digests of their files, and why the others could not."""

    packed: Packed
    at: dict[Role, dict[View, int]]  # the row of every picture that could be read
    problems: tuple[Problem, ...]
    index: Path | None = None  # the file that knows them now
    glanced: int = 0  # pictures that were not decoded

    @property
    def facts(self) -> dict[tuple[Role, View], Facts]:
        """All of them, unpacked: for few pictures."""
        return {(role, view): self.packed[row] for role, rows in self.at.items() for view, row in rows.items()}

    def of(self, pairs: Iterable[Pair], role: Role) -> Pictures:
        """Facts of one side of `pairs`, all of which were read."""
        views = (pair.target if role == "target" else pair.source for pair in pairs)
        return self.each(dict.fromkeys(view for view in views if view is not None), role)

    def each(self, views: Iterable[View], role: Role) -> Pictures:
        """Facts of views, in their order, which may name one more than once."""
        views, rows = list(views), self.at.get(role, {})
        return Pictures(views, np.fromiter((rows[view] for view in views), np.int64, len(views)), self.packed)

    def looks(self, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
        """How the sides of pairs look, the source's first, as `holdout.arrays`; all have the same sides.

        Raises:
            NotDecodedError: they are not known of all.
        """
        sides = [self.each([view for pair in pairs if (view := getattr(pair, role))], role) for role in ROLES]
        there = [side for side in sides if side]
        assert all(len(side) == len(pairs) for side in there), "pairs and single pictures together"
        if not there:
            return np.zeros((0, 1), np.uint64), np.zeros((0, 1, 3), np.uint8)
        if any((side.column("flags") & GLANCED).any() for side in there):
            raise NotDecodedError
        bits, colour = ([side.column(name) for side in there] for name in ("bits", "colour"))
        return np.stack(bits, 1), np.stack(colour, 1)

    def digest(self, role: Role, view: View) -> bytes:
        """sha256 of the file of a view."""
        digest: bytes = self._digests[self.at[role][view]].tobytes()
        return digest

    @cached_property
    def _digests(self) -> np.ndarray:
        digests: np.ndarray = self.packed.rows["digest"]
        return digests


def scan(
    pairs: Iterable[Pair],
    *,
    source: Side | None,
    target: Side,
    max_pixels: int,
    index: Path | None = None,
    beside: Path | None = None,
    glance: bool = False,
    alone: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
    on_problem: Callable[[Problem], None] = lambda problem: None,
) -> Scan:
    """Reads the files of `pairs`, each once, in threads; at most one decoded picture a thread is held.

    Args:
        index: folder of indexes, in which files that have not changed since they were read need not be read again.
        beside: folder of a run that may have a copy.
        glance: of `MIN_GLANCED` files and more that no index knows, decode a few only, and those of which the bytes do
            not tell enough.
        alone: one after another, in this thread's place.
        on_problem: called for each file that cannot be read, when it is found.
        progress: show a bar, or without a terminal `say` now and then how far it is.
    """
    sides = {side.role: side for side in (target, source) if side is not None}
    at: dict[Role, dict[View, int]] = {role: {} for role in sides}
    views: list[View] = []  # by row
    roles: list[Role] = []
    for pair in pairs:
        for role in sides:
            view = pair.target if role == "target" else pair.source
            if view is not None and at[role].setdefault(view, len(views)) == len(views):
                views.append(view)
                roles.append(role)
    wanted: Sequence[Rows] = Files(views, at)
    packed, problems = Packed(len(views)), dict[str, Problem]()
    sample = sample_size(len(wanted))

    def wanted_at(some: Sequence[Rows]) -> list[Wanted]:
        return [[(roles[row], views[row]) for row in rows] for rows in some]

    kept = Index(index, sides, sample, max_pixels, beside) if index and len(wanted) >= MIN_FILES else None
    known, stamps = (
        kept.take(views, roles, packed) if kept else (np.zeros(len(views), bool), Stamps.unknown(len(views)))
    )
    if known.any():
        wanted = [rows for rows in wanted if not known[list(rows)].all()]
    decoded = max(1, len(wanted) // DECODED_AT_ONCE) if glance and len(wanted) >= MIN_GLANCED else 1
    how = How(sides, sample, max_pixels, decoded)
    with counted(progress, len(wanted), say=say) as shown:
        for some, found in in_parallel(wanted, wanted_at, how, alone=alone):
            place = 0
            new: list[int] = []  # rows of what was found
            at_rows: list[int] = []
            for rows, state in zip(some, found.files, strict=True):
                if isinstance(state, Problem):
                    problems.setdefault(views[rows[0]].file, state)
                    on_problem(state)
                else:
                    stamps.put(rows, state)
                    new += range(place, place + len(rows))
                    at_rows += rows
                place += len(rows)
            packed.take(found.packed, new, at_rows)
            shown(len(some))
    if kept and wanted:
        try:
            kept.keep(views, roles, packed, stamps)
        except OSError as error:
            say(f"no index of the pictures could be kept in {index} ({error.strerror}): they are read at every start")
    if problems:
        for there in at.values():
            for view in [view for view in there if view.file in problems]:
                del there[view]
    path = kept.path(views) if kept else None
    glanced = int(np.count_nonzero(packed.rows["flags"] & GLANCED))
    return Scan(packed, at, tuple(problems.values()), path if path and path.is_file() else None, glanced)


@contextlib.contextmanager
def counted(progress: bool, total: int, *, say: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """A bar that is moved by the function; without a terminal a line each `SAY_EVERY` seconds."""
    done, last = 0, time.monotonic()
    with bar(progress and total > 0, desc="checking pictures", total=total, unit=" files") as shown:

        def update(count: int) -> None:
            nonlocal done, last
            done += count
            shown.update(count)
            if progress and shown.disable and time.monotonic() - last > SAY_EVERY:
                last = time.monotonic()
                say(f"checking pictures: {done:,} of {total:,} files")

        yield update


def sample_size(files: int) -> int:
    """Values to keep of each of so many files."""
    return int(np.clip(VALUES_IN_ALL // max(files, 1), *VALUES_A_FILE))


class Files(Sequence[Rows]):
    """The files of `views`, each once, in order of the first view: the rows of its views."""

    def __init__(self, views: Sequence[View], at: Mapping[Role, Mapping[View, int]]) -> None:
        halves: Sequence[Half] = HALVES if any(view.half for view in views) else (None,)
        starts = [0] if views else []
        starts += [row for row in range(1, len(views)) if views[row][:2] != views[row - 1][:2]]
        self._starts, self._ends = array("q"), array("q")
        self._more: dict[int, list[int]] = {}  # by the first row: those of views further on
        for start, end in itertools.pairwise([*starts, len(views)]):
            # A table may name a file in several places: the rows of the first take those of the others.
            keys = [View.of(views[start].folder, views[start].name, half) for half in halves]
            first = min(rows[key] for rows in at.values() for key in keys if key in rows)
            if first == start:
                self._starts.append(start)
                self._ends.append(end)
            else:
                before = self._starts[bisect.bisect_right(self._starts, first) - 1]
                self._more.setdefault(before, []).extend(range(start, end))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Rows: ...
    @overload
    def __getitem__(self, index: slice) -> list[Rows]: ...
    def __getitem__(self, index: int | slice) -> Rows | list[Rows]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = self._starts[index]
        rows = range(start, self._ends[index])
        return (*rows, *self._more[start]) if start in self._more else rows
