"""Pixels at another size, in training and in conversion. Imports no torch."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from translate.images import Nodata, change_around

MOST_OPENCV_CHANNELS = 4  # of INTER_AREA and, in some versions, of other operations


def resize(pixels: np.ndarray, height: int, width: int, *, labels: bool = False, nodata: Nodata = None) -> np.ndarray:
    """`[H, W, C]` -> `[height, width, C]`: area averages along a shrinking side, linear along a growing one.

    `labels` takes the nearest pixel instead, so that no new colours appear. `nodata` is never averaged with data.
    """
    old_height, old_width, channels = pixels.shape
    if (height, width) == (old_height, old_width):
        return pixels
    if nodata is not None:
        return change_around(pixels, nodata, lambda plain: resize(plain, height, width))
    if labels:
        return _resized(pixels, height, width, cv2.INTER_NEAREST_EXACT)
    shrunk_height, shrunk_width = min(height, old_height), min(width, old_width)
    if (shrunk_height, shrunk_width) != (old_height, old_width):
        # OpenCV's area mode becomes something else as soon as one side grows, hence two steps where one does.
        groups = range(0, channels, MOST_OPENCV_CHANNELS)
        parts = [pixels[..., c : c + MOST_OPENCV_CHANNELS] for c in groups] if len(groups) > 1 else [pixels]
        shrunk = [_resized(part, shrunk_height, shrunk_width, cv2.INTER_AREA) for part in parts]
        pixels = np.concatenate(shrunk, -1) if len(shrunk) > 1 else shrunk[0]
    if (shrunk_height, shrunk_width) != (height, width):
        pixels = _resized(pixels, height, width, cv2.INTER_LINEAR)
    return pixels


def reduced(pixels: np.ndarray, scale: int, *, nodata: Nodata = None) -> np.ndarray:
    """`[H, W, C]`, whose sides are multiples of `scale` -> `[H / scale, W / scale, C]`, rounded to their type.

    Antialiased bicubic, as super-resolution's data sets are made: Keys' kernel (-0.5) stretched by `scale`, of which at
    a border the part inside counts. `nodata` is never averaged with data.
    """
    height, width, channels = pixels.shape
    assert height % scale == width % scale == 0, f"{width}x{height} pixels by {scale}"
    if nodata is not None:
        return change_around(pixels, nodata, lambda plain: reduced(plain, scale))
    size = (width // scale, height // scale)
    made = np.empty((*size[::-1], channels), np.float32)
    for band in range(channels):  # as floats, so that it is rounded once; 16 bits are exact in them
        plane = np.ascontiguousarray(pixels[..., band], np.float32)
        made[..., band] = Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)
    if pixels.dtype == np.float32:
        return made
    return np.rint(made, out=made).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def whole_multiple(side: int, scale: int) -> int:
    """The largest multiple of `scale` that `side` has room for, and one of them at least."""
    return max(side // scale, 1) * scale


def _resized(pixels: np.ndarray, height: int, width: int, interpolation: int) -> np.ndarray:
    resized = cv2.resize(pixels, (width, height), interpolation=interpolation)
    return resized.reshape(height, width, pixels.shape[2])  # OpenCV drops a single channel's axis
