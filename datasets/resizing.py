"""The sizes that pictures are brought to, and their pixels at another size. Imports no torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from translate.images import Nodata, change_around
from translate.sizes import Size

Fit = Literal["stretch", "cover", "none"]

MOST_OPENCV_CHANNELS = 4  # of INTER_AREA and, in some versions, of other operations


def load_shape(height: int, width: int, *, fit: Fit, size: Size) -> Size:
    """At which size a picture of `height` x `width` is cropped, `size` being what it is resized to or has to cover."""
    if fit == "stretch":
        return size
    if fit == "none":
        return Size(height, width)
    scale = max(size.height / height, size.width / width)
    return Size(max(size.height, round(height * scale)), max(size.width, round(width * scale)))


def mismatch(source: Size, target: Size, *, fit: Fit, size: Size, scale: int = 1) -> str | None:
    """Why a source and a target of these sizes do not become pictures of one size, or None where they do.

    `scale`: times that the target has to be as large as its source, exactly where it is more than 1.
    """
    if scale > 1:
        if all(scale * own == other for own, other in zip(source, target, strict=True)):
            return None
        return (
            f"the source is {source.width}x{source.height} pixels and the target {target.width}x{target.height}; "
            f"--scale {scale} needs a target of {scale * source.width}x{scale * source.height}"
        )
    height, width = load_shape(*target, fit=fit, size=size)
    own = load_shape(*source, fit=fit, size=size)
    # One side may have been rounded when the files were made: 500x333 belongs to 1000x667.
    allowed = 0.0 if fit == "none" else 1 + 0.02 * max(height, width)
    if max(abs(own[0] - height), abs(own[1] - width)) <= allowed:
        return None
    must = "the same size" if fit == "none" else "the same proportions"
    return (
        f"the source is {source.width}x{source.height} pixels and the target {target.width}x{target.height}; "
        f"--fit {fit} needs {must}, --fit stretch does not"
    )


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
        return _resized(pixels, height, width, "NEAREST_EXACT")
    shrunk_height, shrunk_width = min(height, old_height), min(width, old_width)
    if (shrunk_height, shrunk_width) != (old_height, old_width):
        # OpenCV's area mode becomes something else as soon as one side grows, hence two steps where one does.
        groups = range(0, channels, MOST_OPENCV_CHANNELS)
        parts = [pixels[..., c : c + MOST_OPENCV_CHANNELS] for c in groups] if len(groups) > 1 else [pixels]
        shrunk = [_resized(part, shrunk_height, shrunk_width, "AREA") for part in parts]
        pixels = np.concatenate(shrunk, -1) if len(shrunk) > 1 else shrunk[0]
    if (shrunk_height, shrunk_width) != (height, width):
        pixels = _resized(pixels, height, width, "LINEAR")
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


def _resized(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    try:
        import cv2
    except ImportError:
        return without_opencv(pixels, height, width, interpolation)
    resized = cv2.resize(pixels, (width, height), interpolation=getattr(cv2, f"INTER_{interpolation}"))
    return resized.reshape(height, width, pixels.shape[2])  # OpenCV drops a single channel's axis


def without_opencv(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """The same where OpenCV is absent, several times as slowly; what is rounded may differ by one."""
    if interpolation == "AREA":
        down, across = _overlaps(pixels.shape[0], height), _overlaps(pixels.shape[1], width)
        made = np.einsum("yh,hwc,xw->yxc", down, pixels, across, optimize=True)
    else:
        how = {"LINEAR": Image.Resampling.BILINEAR, "NEAREST_EXACT": Image.Resampling.NEAREST}[interpolation]
        planes = [Image.fromarray(np.ascontiguousarray(band, np.float32)) for band in np.moveaxis(pixels, 2, 0)]
        made = np.stack([np.asarray(plane.resize((width, height), how)) for plane in planes], -1)
    return (made if pixels.dtype == np.float32 else np.rint(made)).astype(pixels.dtype)


def _overlaps(old: int, new: int) -> np.ndarray:
    """`[new, old]`: how much of each of `new` equal parts of a side lies in each of its `old` pixels."""
    edges = np.arange(new + 1) * (old / new)
    starts = np.arange(old)
    lengths = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return lengths.clip(0) * (new / old)
