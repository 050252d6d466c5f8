"""Pictures as arrays: random ones, and crops of real ones. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from translate.images import ImageSpec, missing, put_missing

Size = tuple[int, int, int]  # batch, height and width

MIN_DEVIATION = 0.02  # standard deviation of a picture to be judged by, as a share of the range
MIN_SIDE = 8  # pixels, of a picture to be judged by


def textured(rng: np.random.Generator, spec: ImageSpec, size: Size) -> np.ndarray:
    """Random pictures `[N, H, W, C]` of this kind, with detail at every scale and no flat areas."""
    count, height, width = size
    bands = 1 if spec.palette else spec.channels
    share = np.zeros((count, height, width, bands))
    for cell in (1, 4, 16, 64):
        coarse = rng.random((count, -(-height // cell), -(-width // cell), bands))
        share += coarse.repeat(cell, 1).repeat(cell, 2)[:, :height, :width] / 4
    share = np.clip((share - 0.5) * 1.8 + 0.5, 0, 1)
    if spec.palette:
        classes = len(spec.palette)
        index = np.minimum((share[..., 0] * classes).astype(int), classes - 1)
        return np.array(spec.palette, spec.dtype)[index]
    values = spec.lows + share * spec.spans
    made = (values if spec.dtype == "float32" else values.round()).astype(spec.dtype)
    hole = np.zeros(made.shape, bool)
    hole[:, : height // 4, : width // 3] = True
    return put_missing(made, missing=hole, nodata=spec.nodata)


def is_flat(batch: np.ndarray, spec: ImageSpec) -> bool:
    """Whether a picture of `[N, H, W, C]` has too little contrast to be judged by, or is too small."""
    values = np.where(missing(batch, spec.nodata), spec.lows, batch.astype(np.float64))
    shares = values.reshape(len(batch), -1, batch.shape[-1]).std(1) / spec.spans
    return bool(shares.max(-1).min() < MIN_DEVIATION) or min(batch.shape[1:3]) < MIN_SIDE


def cropped(pictures: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Pictures `[H, W, C]` as batches `[N, H, W, C]`: each by itself, the first at odd sides, and three together."""
    yield from (picture[None] for picture in pictures)
    if pictures:
        height, width = pictures[0].shape[:2]
        if min(height, width) > 4:
            yield middle(pictures[0], height - 1 - height % 2, width - 3 - width % 2)[None]
    if len(pictures) >= 3:
        height, width = (min(picture.shape[axis] for picture in pictures[:3]) for axis in (0, 1))
        yield np.stack([middle(picture, height, width) for picture in pictures[:3]])


def middle(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture `[H, W, C]`, at most `height` by `width` pixels."""
    height, width = min(height, picture.shape[0]), min(width, picture.shape[1])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
