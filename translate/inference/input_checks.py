"""Whether a picture is of the kind that a model was trained on, as far as its values tell. Imports no torch."""

from __future__ import annotations

import numpy as np

from translate.card import Card
from translate.images import ImageSpec, missing

SAMPLE_STRIDE = 4  # row and column looked at: a sixteenth of the pixels tells as much, and costs next to nothing
MAX_CLIPPED_SHARE = 0.01  # of the values; the ranges of training leave out 0.0002 of them
STRANGE = 0.5  # of a label map; soft borders are up to half of real ones, and no pixel of a photo is of the palette
FAR_LARGER = 6  # times the side of the training crops
JPEG_TOLERANCE = 40  # levels by which JPEG noise changes a colour


def input_checks(pixels: np.ndarray, card: Card) -> tuple[str, ...]:
    """Remarks on a source `[H, W, Cs]` whose values the network can only see clipped, or as other classes."""
    spec, seen = card.taken, pixels[::SAMPLE_STRIDE, ::SAMPLE_STRIDE]
    if card.derive == "holes":  # their alpha, and what it hides, lie beyond the range on purpose
        return ()
    if spec.kind == "labels":
        strange = float((_distance(seen, spec) > JPEG_TOLERANCE).mean())
        remark = "most pixels have no colour of the label maps that the model was trained on: taken as the nearest"
        return (remark,) * (strange > STRANGE)
    if spec.full_scale and spec.dtype != "float32":
        return ()  # no such number lies beyond: spares most pictures the looking, under a lock that threads share
    if spec.channels in (2, 4):
        seen = seen[..., :-1]  # alpha has a range of its own
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
    """A remark on a picture of which the model sees details alone; `side` is the shorter one, in pixels.

    Not of a model that was trained on crops of pictures as large as they come (`--fit none`).
    """
    size = card.source_size
    if side <= FAR_LARGER * size.shorter or card.run.get("fit") == "none":
        return ()
    return (
        f"over {FAR_LARGER} times as large as the {size} pixels that the model was trained at, where it knows "
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
