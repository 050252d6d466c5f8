"""From pixels to a file that is written whole or not at all, with a profile and an EXIF block."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from translate.files import write_bytes
from translate.images import color, jpeg, jpeg2000, png, tags
from translate.images.exif import into_tiff, resolution, with_resolution
from translate.images.extras import JPEG_SEGMENT, NOTHING, Extras, fitting
from translate.images.formats import can_hold, format_for
from translate.images.picture import ImageError
from translate.images.resolution import Resolution
from translate.images.spec import FULL_SCALE


def write(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    extras: Extras = NOTHING,
    format: str | None = None,
    quality: int = 95,
) -> None:
    """Write `pixels` `[H, W, C]` or `[H, W]` of uint8, uint16 or float32 in sRGB, replacing what was there.

    It is `save` of what `encode` gives.

    `alpha` is `[H, W]` of the same dtype; without it the last of two or four channels is alpha, except in
    TIFF, where bands are bands. The format follows the suffix of `path` unless given. `quality` (1 to 100)
    is for JPEG, WebP and AVIF. A gray or colour profile `icc` that fits the pixels is stored and the pixels
    converted to it, so that the picture looks the same; others, and those that the format cannot store, are
    left out, which means sRGB. `exif` is stored where the format has a place for it, in TIFF without makers'
    notes, and so is `extras`. Missing folders are made. Nothing is left behind when writing fails.

    Raises:
        ImageError: pixels or alpha that the format cannot hold, an unknown format, or a disk that is full
            or not writable (the `OSError` is the cause).
    """
    save(path, encode(path, pixels, alpha=alpha, icc=icc, exif=exif, extras=extras, format=format, quality=quality))


def encode(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    extras: Extras = NOTHING,
    format: str | None = None,
    quality: int = 95,
) -> bytes:
    """The bytes that `write` would write to `path`. Uses the CPU alone, not the disk.

    Raises:
        ImageError: pixels or alpha that the format cannot hold, or an unknown format.
    """
    path = Path(path)
    if not (format or path.suffix):
        raise ImageError(f"{path}: no suffix, so the format is unknown: add one, or name the format")
    try:
        name = format_for(format or path.suffix)
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    _check(path, name, pixels, alpha, quality)
    if alpha is None and name != "TIFF" and pixels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    icc, exif = fitting(icc, exif, format=name)
    pixels, icc = color.from_srgb(pixels, icc)
    extras = extras.held(name)
    if extras.resolution:
        exif = _same_resolution(name, exif, extras.resolution)
    bands = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=-1)
    bands = np.ascontiguousarray(bands)
    try:
        return _encode(name, bands, alpha=alpha is not None, icc=icc, exif=exif, extras=extras, quality=quality)
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to encode it") from error
    except Exception as error:  # encoders raise nearly anything, most often on sides that are too long
        raise ImageError(f"{path}: cannot be written as {name}: {error}") from error


def save(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file or nothing, replacing what was there. Most of the time is the disk's.

    Raises:
        ImageError: a disk that is full or not writable (the `OSError` is the cause).
    """
    try:
        write_bytes(Path(path), data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check(path: Path, name: str, pixels: np.ndarray, alpha: np.ndarray | None, quality: int) -> None:
    if pixels.ndim != 3 or pixels.size == 0:
        raise ImageError(f"{path}: cannot write an array of shape {pixels.shape}: give [H, W, C], not empty")
    if pixels.dtype.name not in FULL_SCALE:
        raise ImageError(f"{path}: cannot write values of type {pixels.dtype}: give {', '.join(FULL_SCALE)}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        found = f"the alpha is {alpha.dtype} {alpha.shape}, the pixels are {pixels.dtype} {pixels.shape[:2]}"
        raise ImageError(f"{path}: {found}")
    if not 1 <= quality <= 100:
        raise ImageError(f"{path}: quality {quality} is not within 1 to 100")
    if not can_hold(name, channels=pixels.shape[2], dtype=pixels.dtype.name, alpha=alpha is not None):
        what = f"{pixels.shape[2]} channels of {pixels.dtype}" + (" with alpha" if alpha is not None else "")
        raise ImageError(f"{path}: {name} cannot hold {what}: write PNG (up to 16 bits) or TIFF (anything)")


def _same_resolution(name: str, exif: bytes | None, dots: Resolution) -> bytes | None:
    """The EXIF block with this resolution, where it has one or the format no other place, or only whole numbers."""
    whole = all(value.denominator == 1 for value in dots)
    if name in ("WEBP", "AVIF") or (name == "JPEG" and not whole) or resolution(exif):
        changed = with_resolution(exif, dots)
        return changed if name != "JPEG" or len(changed) <= JPEG_SEGMENT else exif
    return exif


def _encode(
    name: str,
    bands: np.ndarray,
    *,
    alpha: bool,
    icc: bytes | None,
    exif: bytes | None,
    extras: Extras,
    quality: int,
) -> bytes:
    if name == "JPEG":
        return jpeg.encode(bands, quality=quality, icc=icc, exif=exif, extras=extras)
    if name == "PNG":
        return png.with_metadata(_png(bands), icc=icc, exif=exif, extras=extras)
    if name == "TIFF":
        data = _tiff(bands, alpha=alpha, icc=icc, extras=extras)
        return into_tiff(data, exif) if exif else data
    options: dict[str, Any] = {}
    if name in ("WEBP", "AVIF"):
        options["quality"] = quality
    if icc:
        options["icc_profile"] = icc
    if exif:
        options["exif"] = exif
    if extras.xmp:
        options["xmp"] = extras.xmp
    if name == "BMP":  # Pillow would make up 96
        options["dpi"] = tuple(float(value) for value in extras.resolution or (0, 0))
    buffer = io.BytesIO()
    Image.fromarray(bands if bands.shape[2] > 1 else bands[..., 0]).save(buffer, name, **options)
    data = buffer.getvalue()
    return jpeg2000.with_resolution(data, extras.resolution) if name == "JPEG2000" and extras.resolution else data


def _png(bands: np.ndarray) -> bytes:
    """OpenCV is three to ten times faster than Pillow here, for a tenth more bytes, and knows 16 bits."""
    import cv2

    if bands.shape[2] == 2:  # gray and alpha, which OpenCV does not know
        import imagecodecs

        return bytes(imagecodecs.png_encode(bands))
    swap = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[bands.shape[2]]
    done, data = cv2.imencode(".png", bands if swap is None else cv2.cvtColor(bands, swap))
    if not done:
        raise ValueError("OpenCV could not encode it")
    return data.tobytes()


def _tiff(bands: np.ndarray, *, alpha: bool, icc: bytes | None, extras: Extras) -> bytes:
    """One page, bands interleaved, deflated; what is not colour is declared alpha or unspecified."""
    import tifffile

    colours = 3 if bands.shape[2] - alpha == 3 else 1
    extra = ["unspecified"] * (bands.shape[2] - colours)
    if alpha:
        extra[-1] = "unassalpha"
    dots = extras.resolution
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        bands if bands.shape[2] > 1 else bands[..., 0],
        byteorder="<",
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if bands.shape[2] > 1 else None,
        extrasamples=extra or None,
        compression="zlib",
        predictor=True,
        iccprofile=icc,
        extratags=tags.written(extras),
        resolution=dots and (dots.x.as_integer_ratio(), dots.y.as_integer_ratio()),
        resolutionunit="INCH" if dots else None,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()
