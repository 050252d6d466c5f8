"""Materials as maps of light: factors around 1 that a surface's colour is multiplied by."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

SPARE = 1.25
"""Textures are this much larger than the picture, so that each front can cut out a piece of its own."""


KEPT = 1600**2
"""Canvas pixels up to which textures are kept: at 512 px a side they take 130 MB, at 1024 it would be 500."""


def texture(kind: str, height: int, width: int, unit: int) -> np.ndarray:
    """A texture `[SPARE * height, SPARE * width]`, read-only; float32 with mean 1, for clouds uint8.

    Args:
        kind: a name of `TEXTURES`.
        height, width: of the canvas in pixels.
        unit: canvas pixels to the length 1 of the house's parameters.
    """
    make = _kept if height * width <= KEPT else _kept.__wrapped__
    return make(kind, height, width, unit)


@lru_cache(maxsize=18)  # every kind at two sizes
def _kept(kind: str, height: int, width: int, unit: int) -> np.ndarray:
    made = TEXTURES[kind](int(height * SPARE) + 1, int(width * SPARE) + 1, unit)
    if made.dtype == np.float32:
        made /= made.mean()  # so that a wall keeps its colour whatever it is made of
    made.flags.writeable = False
    return made


def _random(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform values in [-1, 1]; from the legacy generator, whose stream NumPy promises to keep."""
    return np.random.RandomState(seed).random_sample(shape).astype(np.float32) * 2 - 1


def _smooth(seed: int, height: int, width: int, cell: tuple[float, float]) -> np.ndarray:
    """Noise in [-1, 1] whose blotches are `cell` = (high, wide) pixels large, much the same at every size."""
    rows, columns = (min(512, 2 + int(n / c)) for n, c in zip((height, width), cell, strict=True))
    noise = _random(seed, (512, 512))[:rows, :columns]
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def _lines(count: int, period: float, thick: float, shift: float = 0) -> np.ndarray:
    """Share of each of `count` pixels covered by lines `thick` pixels thick at every `period` pixels."""
    ends = np.arange(count + 1) + shift * period
    covered = np.floor(ends / period) * thick + np.minimum(ends % period, thick)
    return np.diff(covered).astype(np.float32)


def _courses(
    height: int,
    width: int,
    *,
    row: float,
    length: float,
    joint: float,
    seed: int,
    stagger: Callable[[int], float],
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of blocks: tone of each pixel's block in [-1, 1], and its share of joint. Lengths in pixels."""
    course = (np.arange(height) / row).astype(int)
    tones = _random(seed, (64, 64))
    tone, joints = (np.empty((height, width), np.float32) for _ in range(2))
    across = np.arange(width)
    for i in range(int(course[-1]) + 1):
        rows = course == i
        shift = stagger(i)
        tone[rows] = tones[i % 64, (across / length + shift).astype(int) % 64]
        joints[rows] = _lines(width, length, joint, shift)
    return tone, 1 - (1 - joints) * (1 - _lines(height, row, joint)[:, None])


def _brick(height: int, width: int, unit: int) -> np.ndarray:
    tone, joint = _courses(
        height,
        width,
        row=0.021 * unit,
        length=0.05 * unit,
        joint=0.0035 * unit,
        seed=1,
        stagger=lambda i: i % 2 / 2,
    )
    return (1 + 0.13 * tone) * (1 - joint) + 1.3 * joint


def _stone(height: int, width: int, unit: int) -> np.ndarray:
    shifts = _random(2, (64,))
    tone, joint = _courses(
        height,
        width,
        row=0.046 * unit,
        length=0.088 * unit,
        joint=0.005 * unit,
        seed=3,
        stagger=lambda i: 1 + shifts[i % 64],
    )
    grain = _smooth(4, height, width, (0.008 * unit, 0.011 * unit))
    return (1.02 + 0.12 * tone + 0.05 * grain) * (1 - joint) + 0.68 * joint


def _plaster(height: int, width: int, unit: int) -> np.ndarray:
    stains = _smooth(5, height, width, (0.16 * unit, 0.1 * unit))
    return 1 + 0.04 * stains + 0.03 * _smooth(6, height, width, (0.008 * unit, 0.008 * unit))


def _wood(height: int, width: int, unit: int) -> np.ndarray:
    plank = 0.03 * unit
    down = (np.arange(height) / plank).astype(np.float32)
    tone = _random(7, (64,))[down.astype(int) % 64]
    shadow = _lines(height, plank, 0.16 * plank)
    board = (1.05 - 0.08 * (1 - down % 1) + 0.06 * tone) * (1 - shadow) + 0.62 * shadow
    return board[:, None] + 0.05 * _smooth(8, height, width, (0.005 * unit, 0.09 * unit))


def _tiles(height: int, width: int, unit: int) -> np.ndarray:
    row = 0.024 * unit
    tone, joint = _courses(
        height, width, row=row, length=0.026 * unit, joint=0.003 * unit, seed=9, stagger=lambda i: i % 2 / 2
    )
    overlap = (np.arange(height) / row % 1).astype(np.float32)[:, None]
    return (0.88 + 0.24 * overlap + 0.07 * tone) * (1 - joint) + 0.74 * joint


def _paving(height: int, width: int, unit: int) -> np.ndarray:
    tone, joint = _courses(
        height,
        width,
        row=0.045 * unit,
        length=0.075 * unit,
        joint=0.004 * unit,
        seed=10,
        stagger=lambda i: i % 2 / 2,
    )
    return (1 + 0.06 * tone) * (1 - joint) + 0.8 * joint


def _grass(height: int, width: int, unit: int) -> np.ndarray:
    blades = _smooth(11, height, width, (0.02 * unit, 0.006 * unit))
    return 1 + 0.1 * blades + 0.06 * _smooth(12, height, width, (0.05 * unit, 0.15 * unit))


def _leaves(height: int, width: int, unit: int) -> np.ndarray:
    return 1 + 0.2 * _smooth(13, height, width, (0.013 * unit, 0.013 * unit))


def _clouds(height: int, width: int, unit: int) -> np.ndarray:
    """Not light but steps from the tone of the sky towards that of the horizon."""
    drift = _smooth(14, height, width, (0.11 * unit, 0.3 * unit)) + 0.4 * _smooth(
        15, height, width, (0.045 * unit, 0.1 * unit)
    )
    return (48 * np.clip(drift, 0, 1)).astype(np.uint8)


TEXTURES: dict[str, Callable[[int, int, int], np.ndarray]] = {
    "brick": _brick,
    "plaster": _plaster,
    "wood": _wood,
    "stone": _stone,
    "tiles": _tiles,
    "paving": _paving,
    "grass": _grass,
    "leaves": _leaves,
    "clouds": _clouds,
}
