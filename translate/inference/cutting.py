"""Where a picture is cut into tiles, and how these are joined again. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Side:
    """Height or width of a picture, and what the network makes of it: mirrored evenly up to a multiple of `stride`."""

    length: int
    stride: int

    @property
    def before(self) -> int:
        """Where the picture begins in the padded side."""
        return (-self.length % self.stride) // 2

    @property
    def padded(self) -> int:
        """Length of the padded side."""
        return -(-self.length // self.stride) * self.stride

    def inside(self, start: int, stop: int) -> np.ndarray:
        """Which pixels of the picture lie at the padded positions `start .. stop - 1`; the mirrored ones beyond it."""
        period = max(2 * self.length - 2, 1)
        wave = (np.arange(start, stop) - self.before) % period
        return np.minimum(wave, period - wave)

    def kept(self, start: int, stop: int) -> tuple[slice, slice]:
        """Which of the padded positions `start .. stop - 1` are the picture's own: their places among these, and in it.

        Both are empty where all of them lie in the padding.
        """
        first, last = (min(max(place - self.before, 0), self.length) for place in (start, stop))
        shift = self.before - start
        return slice(first + shift, last + shift), slice(first, last)


@dataclass(frozen=True)
class Cuts:
    """Overlapping tiles along one side, and the share that each has in the result. All in pixels of the padded side."""

    length: int
    tile: int
    starts: tuple[int, ...]
    margin: int  # pixels at a tile's inner edges that count for nothing

    @classmethod
    def make(cls, length: int, *, tile: int, overlap: int, margin: int, stride: int) -> Cuts:
        """Tiles of `tile` pixels at multiples of `stride`, each `overlap` over the next at least."""
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

        From one tile to the next along half a wave of the cosine, or at once in the middle (`smooth` False).
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
