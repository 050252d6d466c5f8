"""From a `Picture`, as its file is, to the channels and depth that a model was trained with."""

from __future__ import annotations

import numpy as np

from translate.images.missing import missing, put_missing
from translate.images.picture import ImageError, Picture, Refused, full_scale
from translate.images.spec import FULL_SCALE, ImageSpec, Nodata, show_nodata

DEPTHS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


def to_spec(picture: Picture, spec: ImageSpec, *, name: str) -> np.ndarray:
    """`[H, W, spec.channels]` of `spec.dtype`, which may share memory with the picture.

    `name` stands for the file in errors.
    - Depth: another one is converted only where black and white of the files are the ends of the model's
      range (`full_scale`); a microscope's 12 bits mean something else at every other depth.
    - Channels: gray becomes colour by repetition, colour gray as Rec. 601 luma. For 1 and 3 channels alpha is
      laid on `spec.background`; for 2 and 4 it is the last of them, opaque where the file has none, and what
      it hides is 0 unless all are measurements. Other counts must match.
    - No data (`spec.nodata`): stays exactly that, and nothing else becomes it. Where bands are mixed, so are pixels of
      which one has none.
    - Label maps: no value is mixed from others. Colour becomes gray only where it is gray, and a pixel is the
      background where it is more transparent than not.

    Raises:
        ImageError: a depth, channel count or value that the model has no use for.
    """
    try:
        if spec.kind == "labels":
            return _labels(picture, spec)
        check_finite(picture, spec.nodata)
        return _to_depth(_kept_missing(_to_channels(picture, spec), picture, spec), spec)
    except Refused as error:
        raise ImageError(f"{name}: {error}") from None


def check_finite(picture: Picture, nodata: Nodata) -> None:
    """
    Raises:
        Refused: there are values that are not finite, and `nodata` does not say that they mean no data.
    """
    if picture.pixels.dtype != np.float32 or nodata == "nan":
        return
    if not all(np.isfinite(values).all() for values in (picture.pixels, picture.alpha) if values is not None):
        raise Refused(
            "holds values that are not finite (NaN or infinity): fill them in, or train with --source-nodata nan or "
            "--target-nodata nan"
        )


def _kept_missing(pixels: np.ndarray, picture: Picture, spec: ImageSpec) -> np.ndarray:
    """`pixels` `[H, W, C]`, made of the picture's, with no data where that has none."""
    if spec.nodata is None or pixels is picture.pixels:
        return pixels
    if picture.alpha is not None and pixels.shape[2] == picture.pixels.shape[2] + 1:
        return pixels  # side by side, and none of them changed
    gone = missing(picture.pixels, spec.nodata)
    if gone.shape[2] == 1 or gone.shape != pixels.shape:
        gone = np.any(gone, -1, keepdims=True)
    return put_missing(pixels, missing=gone, nodata=spec.nodata)


def _to_channels(picture: Picture, spec: ImageSpec) -> np.ndarray:
    pixels, alpha = picture.pixels, picture.alpha
    found = pixels.shape[2]
    if spec.channels in (1, 3) and found in (1, 3):
        return _colours(pixels if alpha is None else _on_background(pixels, alpha, spec), spec.channels)
    if found == spec.channels and alpha is None:
        return pixels
    if spec.channels in (2, 4) and found in (1, 3):
        if alpha is None:
            alpha = np.full(pixels.shape[:2], full_scale(pixels), pixels.dtype)
        colours = _colours(pixels, spec.channels - 1)
        if spec.measured and picture.alpha is not None:
            return np.dstack([colours, alpha])
        # the colours of fully transparent pixels are dropped: they would distinguish filled holes from erased ones
        return np.dstack([np.where((alpha > 0)[..., None], colours, pixels.dtype.type(0)), alpha])
    if alpha is not None and found + 1 == spec.channels:
        return np.dstack([pixels, alpha])
    raise Refused(f"has {_count(picture)}, the model takes {spec.channels}")


def _count(picture: Picture) -> str:
    count = picture.pixels.shape[2]
    return f"{count} channel{'s' * (count > 1)}" + (" and alpha" if picture.alpha is not None else "")


def _colours(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Between one and three channels."""
    if pixels.shape[2] == channels:
        return pixels
    return np.repeat(pixels, 3, axis=2) if channels == 3 else luma(pixels)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Rec. 601 gray `[H, W, 1]` of colour `[H, W, 3]`, same dtype; integers rounded as Pillow does."""
    if pixels.dtype == np.float32:
        return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
    weighted = pixels @ np.array([[19595], [38470], [7471]], np.uint32)  # 16 fractional bits; 65535 just fits
    return ((weighted + np.uint32(0x8000)) >> 16).astype(pixels.dtype)


def _on_background(pixels: np.ndarray, alpha: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Alpha laid on the background, in colour where either is; colours of clear pixels do not show."""
    white = full_scale(pixels)
    background = np.array(spec.background, np.float64) * (white / 255)
    if pixels.shape[2] == 1 and len(set(spec.background)) > 1:
        pixels = np.repeat(pixels, 3, axis=2)
    wide = "float32" if pixels.dtype == np.uint8 else "float64"  # exact, up to the rounding at the end
    share = (alpha / white).astype(wide)[..., None]
    mixed = share * pixels + (1 - share) * background[: pixels.shape[2]].astype(wide)
    return mixed.astype(np.float32) if pixels.dtype == np.float32 else np.rint(mixed).astype(pixels.dtype)


def _to_depth(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    found = pixels.dtype.name
    if found == spec.dtype:
        return pixels
    if not spec.full_scale:
        without = "" if spec.nodata is None else f" with {show_nodata(spec.nodata)} as no data"
        raise Refused(
            f"is {DEPTHS[found]}, the model was trained on {DEPTHS[spec.dtype]} values from {spec.low:g} to "
            f"{spec.high:g}{without}, and how the two relate is not known: convert the file first"
        )
    if found == "float32":
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            raise Refused(
                f"holds float values from {low:g} to {high:g}, and only 0 to 1 can be taken as "
                f"{DEPTHS[spec.dtype]} values"
            )
    return change_depth(pixels, spec.dtype)


def change_depth(values: np.ndarray, dtype: str) -> np.ndarray:
    """Full-scale values (white is 255, 65535 or 1) at another depth, rounded to the nearest. Any shape."""
    if values.dtype == dtype:
        return values
    if dtype == "uint16" and values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if dtype == "uint8" and values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if dtype == "float32":
        return values.astype(np.float32) / np.float32(full_scale(values))
    return np.rint(values.astype(np.float64) * FULL_SCALE[dtype]).astype(dtype)


def _labels(picture: Picture, spec: ImageSpec) -> np.ndarray:
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype.name != spec.dtype:
        raise Refused(f"is {DEPTHS[pixels.dtype.name]}, and label maps are {DEPTHS[spec.dtype]} pictures")
    if pixels.shape[2] not in (1, 3) or spec.channels not in (1, 3):
        if pixels.shape[2] == spec.channels and alpha is None:
            return pixels
        raise Refused(f"has {_count(picture)}, the label maps of the model have {spec.channels}")
    if alpha is not None:
        seen = (alpha >= full_scale(alpha) / 2)[..., None]
        pixels = np.where(seen, _colours(pixels, 3), np.array(spec.background, pixels.dtype))
    if pixels.shape[2] == 3 and spec.channels == 1:
        if (pixels != pixels[..., :1]).any():
            raise Refused("is a label map in colour, those of the model are gray")
        return pixels[..., :1]
    return _colours(pixels, spec.channels)
