"""Values that mean "nothing was measured here": where they are, and how pictures are changed around them. No torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from translate.images.spec import ImageSpec, Nodata

HALF = 0.5  # least share of a mixed value that has to be measured for it to count as measured


def missing(pixels: np.ndarray, nodata: Nodata) -> np.ndarray:
    """Where `pixels`, of any shape, hold no data, as bool of the same shape; nowhere if `nodata` is None."""
    if nodata is None:
        return np.zeros(pixels.shape, bool)
    if nodata == "nan":
        return ~np.isfinite(pixels)
    return pixels == np.float32(nodata)


def filled(pixels: np.ndarray, nodata: Nodata) -> np.ndarray:
    """`pixels` with the mean of the others in place of no data (0 where there are none); they are not written to."""
    gone = missing(pixels, nodata)
    if not gone.any():
        return pixels
    there = pixels[~gone]
    return np.where(gone, pixels.dtype.type(there.mean() if there.size else 0), pixels)


def change_around(pixels: np.ndarray, nodata: Nodata, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`[H, W, C]` resized or turned by `change`, a linear one, so that no data is never mixed with data.

    A value of the result is the mean of what was measured around it, and no data where that is less than half.
    """
    gone = missing(pixels, nodata)
    if not gone.any():
        changed = change(pixels)
        return put_missing(changed, missing=np.zeros(changed.shape, bool), nodata=nodata)
    share = change((~gone).astype(np.float32))
    total = change(np.where(gone, 0, pixels).astype(np.float32))
    values = total / np.maximum(share, HALF)
    if pixels.dtype != np.float32:
        values = np.rint(values).clip(0, np.iinfo(pixels.dtype).max)
    return put_missing(values.astype(pixels.dtype), missing=share < HALF, nodata=nodata)


def put_missing(pixels: np.ndarray, *, missing: np.ndarray, nodata: Nodata) -> np.ndarray:
    """`pixels` `[..., C]` with no data exactly where `missing`, which broadcasts to them.

    A value that only happens to be the one of no data becomes the nearest other one.
    """
    if nodata is None:
        return pixels
    value = pixels.dtype.type(np.nan if nodata == "nan" else nodata)
    if nodata != "nan":
        other = pixels.dtype.type(beside(nodata, integers=pixels.dtype != np.float32))
        pixels = np.where(pixels == value, other, pixels)
    return np.where(missing, value, pixels)


def beside(nodata: float, *, integers: bool) -> float:
    """A value next to `nodata` that means data, and that every depth has which has `nodata`."""
    if integers:
        return nodata + 1 if nodata < 127 else nodata - 1
    return float(np.nextafter(np.float32(nodata), np.float32(0))) if nodata else 1e-30


def carry_missing(made: np.ndarray, raw: np.ndarray, *, source: ImageSpec, target: ImageSpec) -> np.ndarray:
    """Outputs `[..., H*s, W*s, Ct]` of `raw` `[..., H, W, Cs]`, without data where the source has none in some band.

    Only of targets that have a value for it; elsewhere no output has this value.
    """
    if target.nodata is None:
        return made
    gone = np.any(missing(raw, source.nodata), -1, keepdims=True)
    scale = made.shape[-2] // raw.shape[-2]
    if scale > 1:
        gone = gone.repeat(scale, -3).repeat(scale, -2)
    return put_missing(made, missing=gone, nodata=target.nodata)
