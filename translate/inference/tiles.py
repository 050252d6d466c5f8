"""Overlapping tiles of a large picture: where they are cut, translated one by one, and blended. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from translate.card import Card, Footprint
from translate.images import carry_missing, missing
from translate.inference.backend import NO_CONDITIONS, Backend, Condition, run

OVERLAP_DIVISOR = 4  # neighbours overlap by a fourth of a tile, where no exact overlap is possible


@dataclass(frozen=True)
class Side:
    """Height or width of a picture, and its padding: mirrored at both ends up to a multiple of `stride`."""

    length: int
    stride: int

    @property
    def before(self) -> int:
        """Padding before the picture."""
        return (-self.length % self.stride) // 2

    @property
    def padded(self) -> int:
        """Length of the padded side."""
        return -(-self.length // self.stride) * self.stride

    def inside(self, start: int, stop: int) -> np.ndarray:
        """Indices in the picture of the padded positions `start .. stop - 1`, mirrored in the padding."""
        period = max(2 * self.length - 2, 1)
        wave = (np.arange(start, stop) - self.before) % period
        return np.minimum(wave, period - wave)

    def kept(self, start: int, stop: int) -> tuple[slice, slice]:
        """Slices of the padded positions `start .. stop - 1` that are in the picture: among these, and in the picture.

        Both are empty where all are padding.
        """
        first, last = (min(max(place - self.before, 0), self.length) for place in (start, stop))
        shift = self.before - start
        return slice(first + shift, last + shift), slice(first, last)


@dataclass(frozen=True)
class Cuts:
    """Overlapping tiles along one side, and their blending weights. All in pixels of the padded side."""

    length: int
    tile: int
    starts: tuple[int, ...]
    margin: int  # pixels at a tile's inner edges with weight 0

    @classmethod
    def make(cls, length: int, *, tile: int, overlap: int, margin: int, stride: int) -> Cuts:
        """Tiles of `tile` pixels at multiples of `stride` that overlap by at least `overlap` pixels."""
        assert tile % stride == 0
        assert length % stride == 0
        assert 2 * margin <= overlap < tile
        if length <= tile:
            return cls(length, length, (0,), margin)
        step = (tile - overlap) // stride * stride
        starts = tuple(range(0, length - tile, step))
        return cls(length, tile, (*starts, length - tile), margin)

    def shares(self, *, scale: int, smooth: bool) -> list[np.ndarray]:
        """Weights `[tile * scale]` float32 of each tile; at every position of the side they add up to 1.

        They change from one tile to the next along half a cosine wave, or in one step in the middle (`smooth` False).
        """
        positions = (np.arange(self.length * scale) + 0.5) / scale
        rises = [np.ones_like(positions)]
        for start, former in zip(self.starts[1:], self.starts, strict=False):
            begin, end = start + self.margin, former + self.tile - self.margin
            share = np.clip((positions - begin) / max(end - begin, 1e-6), 0, 1)
            rises.append(0.5 - 0.5 * np.cos(np.pi * share) if smooth else (share >= 0.5).astype(float))
        weights = [rise * (1 - after) for rise, after in zip(rises, [*rises[1:], 0 * rises[0]], strict=True)]
        total = np.sum(weights, 0)
        return [
            (weight / total)[start * scale : (start + self.tile) * scale].astype(np.float32)
            for start, weight in zip(self.starts, weights, strict=True)
        ]


@dataclass(frozen=True)
class Overlap:
    """How far neighbouring tiles overlap, in pixels."""

    pixels: int
    margin: int  # of these, pixels at each tile's edge with weight 0
    exact: bool  # each pixel sees everything that it depends on

    @classmethod
    def of(cls, footprint: Footprint, *, tile: int) -> Overlap:
        """Exact if half a tile is enough and no norm takes statistics of the whole picture; else a fourth of a tile.

        An eighth of an overlap that is not exact has weight 0: at the edges, where the mirrored border shows most.
        """
        stride, radius = footprint.stride, footprint.radius
        if radius is not None and not footprint.statistics:
            pixels = -(-2 * radius // stride) * stride
            if pixels <= tile // 2:
                return cls(pixels, radius, True)
        pixels = -(-tile // OVERLAP_DIVISOR // stride) * stride
        return cls(pixels, pixels // 8, False)


@dataclass(frozen=True)
class Blended:
    """Result of translating in tiles."""

    pixels: np.ndarray  # [H*s, W*s, Ct]
    difference: float | None  # mean of neighbours where they overlap, levels of 255; label maps: share of the pixels


def translate_tiles(
    backend: Backend, image: np.ndarray, *, tile: int, footprint: Footprint, condition: Condition = NO_CONDITIONS
) -> Blended:
    """`[H, W, Cs]` in tiles of `tile` pixels a side, a multiple of the network's stride.

    Memory beside the picture and its result: a row of tiles. Label maps are not blended: each pixel is of the nearest
    tile. Every tile has the condition of the picture.

    Raises:
        MemoryError: a tile does not fit on the device.
        NotFinite: the output for a tile holds NaN or infinity.
    """
    card, overlap = backend.card, Overlap.of(footprint, tile=tile)
    stride, scale, smooth = footprint.stride, card.scale, card.target.kind != "labels"
    down, across = (Side(length, stride) for length in image.shape[:2])
    rows, columns = (
        Cuts.make(side.padded, tile=tile, overlap=overlap.pixels, margin=overlap.margin, stride=stride)
        for side in (down, across)
    )
    row_shares, column_shares = (cuts.shares(scale=scale, smooth=smooth) for cuts in (rows, columns))
    result = np.empty((down.length * scale, across.length * scale, card.target.channels), card.target.dtype)
    band = np.zeros((rows.tile * scale, columns.length * scale, card.target.channels), np.float32)
    difference = _Difference(card)
    above: list[np.ndarray] = []
    for index, (top, share) in enumerate(zip(rows.starts, row_shares, strict=True)):
        made = _row(backend, image, condition, top=top, sides=(down, across), cuts=(rows, columns))
        for place, (left, part) in enumerate(zip(columns.starts, column_shares, strict=True)):
            window = slice(left * scale, (left + columns.tile) * scale)
            with np.errstate(over="ignore"):  # no-data values near the limit of float32
                band[:, window] += made[place] * (share[:, None] * part)[..., None]
            if place:
                difference.add(
                    made[place - 1], made[place], step=left - columns.starts[place - 1], cuts=columns, axis=1
                )
            if index:
                difference.add(above[place], made[place], step=top - rows.starts[index - 1], cuts=rows, axis=0)
        above = made
        end = rows.starts[index + 1] if index + 1 < len(rows.starts) else rows.length
        own, final = (slice(part.start * scale, part.stop * scale) for part in down.kept(top, end))
        finished = band[own, across.before * scale :][:, : result.shape[1]]
        finished = finished if result.dtype == np.float32 else np.rint(finished)
        result[final] = finished.astype(result.dtype)
        _move_up(band, (end - top) * scale)
    # no-data values are exact in each tile, but not in the weighted sum
    return Blended(carry_missing(result, image, source=card.taken, target=card.target), difference.mean)


def _row(
    backend: Backend,
    image: np.ndarray,
    condition: Condition,
    *,
    top: int,
    sides: tuple[Side, Side],
    cuts: tuple[Cuts, Cuts],
) -> list[np.ndarray]:
    """The translated tiles `[T*s, T*s, Ct]` of a row that begins at `top`."""
    (down, across), (rows, columns) = sides, cuts
    inside = down.inside(top, top + rows.tile)[:, None]
    # noise planes and dropout follow from the place in the picture
    seeded = "seed" in condition or "dropout" in condition or "noise" in backend.card.conditions.seeds
    made: list[np.ndarray] = []
    for left in columns.starts:  # one by one, to save memory
        beyond = across.inside(left, left + columns.tile)
        place = {"rows": inside[:, 0], "columns": beyond, "origin": np.array([top, left])} if seeded else {}
        (tile,) = run(backend, [image[inside, beyond]], [{**condition, **place}])
        if not isinstance(tile, np.ndarray):
            raise tile
        made.append(tile)
    return made


def _move_up(band: np.ndarray, count: int) -> None:
    """Drop the first `count` rows of the band, which are finished, and append as many rows of zeros."""
    kept = len(band) - count
    band[:kept] = band[count:].copy()
    band[kept:] = 0


class _Difference:
    """Mean difference of neighbouring tiles where both have weight."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._total = 0.0
        self._count = 0

    def add(self, former: np.ndarray, latter: np.ndarray, *, step: int, cuts: Cuts, axis: int) -> None:
        """Add two tiles `[T*s, T*s, Ct]`, the latter `step` pixels further along `axis`."""
        scale, length = self._card.scale, cuts.tile - step  # of the overlap
        inner = slice(cuts.margin * scale, (length - cuts.margin) * scale)
        shifted = slice((step + cuts.margin) * scale, (cuts.tile - cuts.margin) * scale)
        one, other = (former[shifted], latter[inner]) if axis == 0 else (former[:, shifted], latter[:, inner])
        target = self._card.target
        if target.kind == "labels":
            difference = (one != other).any(-1).astype(np.float32)
        else:
            levels = (255 / target.spans).astype(np.float32)  # [Ct]
            difference = np.abs(one.astype(np.float32) - other.astype(np.float32)) * levels
            difference = difference[~missing(one, target.nodata)]
        self._total += float(difference.sum(dtype=np.float64))
        self._count += difference.size

    @property
    def mean(self) -> float | None:
        """None where no tile has a neighbour."""
        return self._total / self._count if self._count else None
