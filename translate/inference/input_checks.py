"""Checks whether a picture looks like those that a model was trained on. Imports no torch."""

from __future__ import annotations

import numpy as np

from translate.card import Card
from translate.images import ImageSpec, missing

SAMPLE_STRIDE = 4  # every fourth row and column: a sixteenth of the pixels is enough, and costs next to nothing
MAX_CLIPPED_SHARE = 0.01  # of the values; the ranges found in training leave out 0.0002
MAX_UNKNOWN_SHARE = 0.5  # of a label map's pixels: soft borders are up to half of real maps, all of a photo is unknown
MAX_SIZE_RATIO = 6  # side of a picture over that of the training crops
JPEG_TOLERANCE = 40  # levels of 255 by which JPEG noise may change a colour


def input_checks(pixels: np.ndarray, card: Card) -> tuple[str, ...]:
    """Warnings for a source `[H, W, Cs]` with values outside the training range or palette."""
    spec, seen = card.taken, pixels[::SAMPLE_STRIDE, ::SAMPLE_STRIDE]
    if card.derive == "holes":  # their alpha and what it hides are outside the range on purpose
        return ()
    if spec.kind == "labels":
        unknown = float((_distance(seen, spec) > JPEG_TOLERANCE).mean())
        text = "most pixels have no colour of the label maps that the model was trained on: taken as the nearest"
        return (text,) * (unknown > MAX_UNKNOWN_SHARE)
    if spec.full_scale and spec.dtype != "float32":
        return ()  # no value of this dtype can be outside
    if spec.channels in (2, 4):
        seen = seen[..., :-1]  # alpha has its own range
    low: float | np.ndarray = spec.low
    high: float | np.ndarray = spec.high
    if spec.bands is not None:
        low, high = np.array(spec.bands[: seen.shape[2]]).T
    outside = (seen < low) | (seen > high)
    if spec.nodata is not None:
        outside &= ~missing(seen, spec.nodata)
    beyond = float(outside.mean())
    ranges = spec.bands or ((spec.low, spec.high),)
    known = f"{', '.join(f'{low:g} to {high:g}' for low, high in ranges)}, which the model was trained on"
    return (f"over 1% of the values are beyond {known}: clipped",) * (beyond > MAX_CLIPPED_SHARE)


def too_large(side: int, card: Card) -> tuple[str, ...]:
    """A warning for a picture much larger than those of training; `side` is the shorter one, in pixels.

    None for a model trained on crops of pictures of any size (`--fit none`).
    """
    size = card.source_size
    if side <= MAX_SIZE_RATIO * size.shorter or card.run.get("fit") == "none":
        return ()
    return (
        f"over {MAX_SIZE_RATIO} times as large as the {size} pixels that the model was trained at, where it knows "
        f"things of another size: try --resize {size.shorter} or somewhat more",
    )


def _distance(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Levels `[H, W]` by which pixels `[H, W, C]` differ, in one channel at least, from every colour of the palette."""
    assert spec.palette is not None
    nearest = np.full(pixels.shape[:2], 255, np.int16)
    for entry in spec.palette:
        difference = np.abs(pixels.astype(np.int16) - np.array(entry, np.int16)).max(-1)
        nearest = np.minimum(nearest, difference)
    return nearest
