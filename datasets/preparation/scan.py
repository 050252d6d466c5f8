"""Reads every picture once before training, and keeps the facts that decisions need, not the pixels. No torch."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from translate.console import bar
from translate.datasets.pairs import ROLES, Half, Pair, Problem, Role, View
from translate.datasets.preparation.facts import SAMPLE_DIVISOR_8_BITS, Colours, Facts, Packed, Pictures
from translate.datasets.preparation.holdout import looks
from translate.datasets.preparation.index import MIN_FILES, Index, Stamps, settled
from translate.datasets.preparation.roles import Colour, Side, in_three
from translate.datasets.regions import take
from translate.images import ImageError, ImageSpec, Picture, filled, to_spec
from translate.images.convert import check_finite
from translate.images.picture import Refused, full_scale
from translate.images.read import read_hashed

VALUES_IN_ALL = 2**24  # sampled values over all files: 64 MB of float32
VALUES_A_FILE = (256, 65_536)  # the fewest and the most of one file
HALVES: tuple[Half, ...] = (None, "left", "right")
SAY_EVERY = 30.0  # seconds between lines where there is no terminal
TOGETHER = 32  # files that a thread is given at once
COLOURS_A_FILE = 256  # a clean label map has no more
COLOURS_OF_NOISE = 16  # the most frequent, kept of a map with more: its real colours are among them
JPEG_TOLERANCE = 40  # levels within which noise makes two colours of one


@dataclass(frozen=True)
class Scan:
    """Facts of every picture that could be read, digests of their files, and why the others could not."""

    packed: Packed
    at: dict[Role, dict[View, int]]  # the row of every picture that could be read
    problems: tuple[Problem, ...]

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
        """How the sides of pairs look, the source's first, as `holdout.arrays`; all have the same sides."""
        sides = [self.each([view for pair in pairs if (view := getattr(pair, role))], role) for role in ROLES]
        there = [side for side in sides if side]
        assert all(len(side) == len(pairs) for side in there), "pairs and single pictures together"
        if not there:
            return np.zeros((0, 1), np.uint64), np.zeros((0, 1, 3), np.uint8)
        bits, colour = ([side.column(name) for side in there] for name in ("bits", "colour"))
        return np.stack(bits, 1), np.stack(colour, 1)

    def digest(self, role: Role, view: View) -> bytes:
        """sha256 of the file of a view."""
        digest: bytes = self.packed.rows[self.at[role][view]]["digest"].tobytes()
        return digest


def scan(
    pairs: Iterable[Pair],
    *,
    source: Side | None,
    target: Side,
    max_pixels: int,
    index: Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Scan:
    """Reads the files of `pairs`, each once, in threads; at most one decoded picture a thread is held.

    Args:
        index: folder of indexes, in which files that have not changed since they were read need not be read again.
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

    def look(some: Sequence[Rows]) -> list[Read | Problem]:
        return [
            _look([(views[row], sides[roles[row]]) for row in rows], sample=sample, max_pixels=max_pixels)
            for rows in some
        ]

    kept = Index(index, sides, sample, max_pixels) if index and len(wanted) >= MIN_FILES else None
    known, stamps = (
        kept.take(views, roles, packed) if kept else (np.zeros(len(views), bool), Stamps.unknown(len(views)))
    )
    if known.any():
        wanted = [rows for rows in wanted if not known[list(rows)].all()]
    with counted(progress, len(wanted), say=say) as shown:
        for some, results in _in_threads(look, wanted):
            for rows, found in zip(some, results, strict=True):
                if isinstance(found, Problem):
                    problems.setdefault(views[rows[0]].file, found)
                    continue
                stamps.put(rows, found.state)
                for row, facts in zip(rows, found.facts, strict=True):
                    if not known[row]:
                        packed.put(row, facts, found.digest)
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
    return Scan(packed, at, tuple(problems.values()))


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


Rows = Sequence[int]
"""Where facts of one file go."""


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


def _in_threads(
    look: Callable[[Sequence[Rows]], list[Read | Problem]], wanted: Sequence[Rows]
) -> Iterator[tuple[Sequence[Rows], list[Read | Problem]]]:
    """`look` at all that is wanted, a few together, in order; results do not pile up."""
    threads = min(16, os.cpu_count() or 1)
    waiting: deque[tuple[Sequence[Rows], Future[list[Read | Problem]]]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        for start in range(0, len(wanted), TOGETHER):
            some = wanted[start : start + TOGETHER]
            waiting.append((some, pool.submit(look, some)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for a hundred thousand files


@dataclass(frozen=True)
class Read:
    """What is kept of a file: its digest, and facts of the views of it that are wanted."""

    digest: bytes
    state: os.stat_result | None  # of the file before it was read; None if it may yet change unnoticed
    facts: tuple[Facts, ...]


def _look(wanted: Sequence[tuple[View, Side]], *, sample: int, max_pixels: int) -> Read | Problem:
    """What is kept of the one file of the views that are `wanted`, or why it cannot be used."""
    file = wanted[0][0].file
    try:
        now = time.time_ns()
        picture, digest, state = read_hashed(file, max_pixels=max_pixels)
        facts = tuple(_facts(take(picture, view), side, file, sample=sample) for view, side in wanted)
        return Read(digest, settled(state, at=now), facts)
    except ImageError as error:
        return Problem(Path(file), str(error).removeprefix(f"{file}: "))


def _facts(picture: Picture, side: Side, path: str, *, sample: int) -> Facts:
    """Raises:
    ImageError: a label map of another depth or number of channels than label maps have.
    """
    values = places = None
    sampled_bands, clear = 0, 0.0
    if picture.alpha is not None:
        clear = (
            np.count_nonzero(picture.alpha != picture.alpha.dtype.type(full_scale(picture.alpha))) / picture.alpha.size
        )
    if side.kind == "labels":
        picture = _flat_labels(picture, side, path)
    else:
        try:
            check_finite(picture, side.nodata)
        except Refused as error:
            raise ImageError(f"{path}: {error}") from None
        stack = picture.pixels
        if side.range == "bands" and picture.alpha is not None and side.channels == stack.shape[2] + 1:
            stack = np.dstack([stack, picture.alpha])
        sampled_bands = stack.shape[2]
        if stack.dtype == np.uint8 and not side.samples_values:
            values = _on_a_grid(stack, sample // SAMPLE_DIVISOR_8_BITS)
        else:
            values, places = _sampled(stack, sample)
    pixels = picture.pixels
    measured = replace(picture, pixels=filled(pixels, side.nodata)) if side.nodata is not None else picture
    return Facts(
        height=pixels.shape[0],
        width=pixels.shape[1],
        stub=_stub(picture, labels=side.kind == "labels"),
        looks=looks(measured, background=side.background),
        frames=picture.frames,
        clear=clear,
        values=values,
        places=places,
        sampled_bands=sampled_bands,
        colours=_colours(pixels, side) if side.kind == "labels" else None,
    )


def _sampled(pixels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Up to `count` values `[N]` of `[H, W, C]`, and the band of each; None where the bands come in turn."""
    if pixels.size <= count:
        return pixels.ravel().copy(), None
    # Random places, since a grid could fall in step with a pattern; seeded, so that scans repeat exactly.
    chosen = np.random.default_rng(0).integers(pixels.size, size=count)
    bands = pixels.shape[2]
    return pixels[np.unravel_index(chosen, pixels.shape)], (chosen % bands).astype(np.uint16) if bands > 1 else None


def _on_a_grid(pixels: np.ndarray, count: int) -> np.ndarray:
    """About `count` values of `[H, W, C]` on a grid, at a fraction of the cost, the bands in turn."""
    step = max(1, math.ceil(math.sqrt(pixels.size / count)))
    first = [min(step // 2, side - 1) for side in pixels.shape[:2]]
    return pixels[first[0] :: step, first[1] :: step].flatten()


def _stub(picture: Picture, *, labels: bool) -> Picture:
    """Two pixels with all of `picture` that a conversion may object to.

    These are depth, bands and alpha, the extremes of float values, and a coloured pixel of label maps.
    """
    pixels = picture.pixels[:1, :1].repeat(2, axis=1)
    if pixels.dtype == np.float32:
        pixels[:, 0], pixels[:, 1] = picture.pixels.min(), picture.pixels.max()
    elif labels and pixels.shape[-1] == 3:
        red, green, blue = np.moveaxis(picture.pixels, -1, 0)
        coloured = (red != green) | (red != blue)
        pixels[0, 1] = picture.pixels[np.unravel_index(coloured.argmax(), coloured.shape)]
    alpha = None if picture.alpha is None else picture.alpha[:1, :1].repeat(2, axis=1)
    return Picture(pixels, alpha, picture.format)


def _flat_labels(picture: Picture, side: Side, path: str) -> Picture:
    """A label map as training will see it, gray or colour: where it is transparent it is the background."""
    spec = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0),), background=side.background)
    pixels = to_spec(picture, spec, name=path)
    gray = picture.pixels.shape[-1] == 1 and (picture.alpha is None or len(set(side.background)) == 1)
    return replace(picture, pixels=pixels[..., :1] if gray else pixels, alpha=None)


def _colours(pixels: np.ndarray, side: Side) -> Colours:
    """Colours of a label map `[H, W, 1 or 3]`."""
    bands = pixels.shape[-1]
    packed = np.zeros(pixels.shape[:2], np.int64)
    for band in range(bands):
        packed = (packed << 8) | pixels[..., band]
    flat = packed.ravel()
    # Label maps are made of runs of one colour; sorting these, colour above length, is cheaper than pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    runs = np.sort((flat[starts] << 32) | np.diff(starts, append=flat.size))
    colour = runs >> 32
    first = np.concatenate([[0], np.flatnonzero(colour[1:] != colour[:-1]) + 1])
    found, counts = colour[first], np.add.reduceat(runs & 0xFFFFFFFF, first)
    outliers = far = 0
    if side.palette is not None:
        away = _distance(found, [in_three(entry) for entry in (*side.palette, side.ignore) if entry is not None], bands)
        outliers, far = int(counts[away > 0].sum()), int(counts[away > JPEG_TOLERANCE].sum())
    kept = np.arange(len(found))
    if len(found) > COLOURS_A_FILE:
        kept = np.argsort(-counts, kind="stable")[:COLOURS_OF_NOISE]
    each = {_unpack(int(found[i]), bands): int(counts[i]) for i in kept}
    return Colours(each, distinct=len(found), outliers=outliers, far=far)


def _distance(packed: np.ndarray, palette: Sequence[Colour], bands: int) -> np.ndarray:
    """Levels `[N]` by which packed colours `[N]` differ, in one channel at least, from all of `palette`."""
    shifts = (16, 8, 0) if bands == 3 else (0, 0, 0)
    colours = np.stack([packed >> shift & 255 for shift in shifts], -1).astype(np.int16)  # [N, 3]
    nearest = np.full(len(packed), 255, np.int16)
    for entry in palette:  # one by one, since all at once would be gigabytes for a photograph
        nearest = np.minimum(nearest, np.abs(colours - np.array(entry, np.int16)).max(-1))
    return nearest


def _unpack(value: int, bands: int) -> Colour:
    return (value,) if bands == 1 else (value >> 16, value >> 8 & 255, value & 255)
