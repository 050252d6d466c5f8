"""The result of reading a file, and the errors of reading and writing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from translate.images.extras import NOTHING, Extras
from translate.images.spec import FULL_SCALE

_FULL_SCALE = {np.dtype(name): white for name, white in FULL_SCALE.items()}  # `dtype.name` takes microseconds

ALWAYS_READ_BYTES = 2**26
"""A file up to this length is read as a whole, however few pixels are allowed: it may hold more than pixels."""


class ImageError(ValueError):
    """A picture that cannot be read, converted or written; the message starts with the file's path."""


class Refused(ValueError):
    """A reason in plain words, raised where the file's name is not known; `read` puts the name in front."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded file: upright, in sRGB, at the depth of the file, with transparency kept apart."""

    pixels: np.ndarray  # [H, W, C] uint8, uint16 or float32; no alpha inside
    alpha: np.ndarray | None  # [H, W] of the pixels' dtype; full scale is opaque
    format: str  # Pillow's name: "JPEG", "PNG", "TIFF", ...
    palette: np.ndarray | None = None  # [K, 3] uint8 for palette files, whose pixels are already looked up
    icc: bytes | None = None  # the file's own profile, to be carried over; `write` converts back to it
    exif: bytes | None = None  # orientation reset to 1, thumbnail dropped
    extras: Extras = NOTHING  # resolution, XMP and the like
    frames: int = 1  # more than 1: an animation or several pages, of which the first was read


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a decoder found in a file, before orientation and colour management."""

    pixels: np.ndarray  # [H, W, C] as stored
    format: str
    alpha: np.ndarray | None = None  # [H, W]
    index: np.ndarray | None = None  # [H, W] places in the palette; `pixels` is then the palette, [1, K, 3]
    cmyk: bool = False  # the four bands are inks, full scale is full ink
    icc: bytes | None = None
    exif: bytes | None = None  # as stored
    extras: Extras = NOTHING  # as stored
    orientation: int | None = None  # EXIF's 1 to 8; None: that of `exif`
    frames: int = 1


def full_scale(pixels: np.ndarray) -> float:
    """The value of white, and of full opacity, at the depth of `pixels`."""
    return _FULL_SCALE[pixels.dtype]


def keyed_alpha(pixels: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """Alpha `[H, W]` of a file that names one colour as transparent."""
    opaque = (pixels != np.asarray(key, np.int64)).any(-1)
    return (opaque * full_scale(pixels)).astype(pixels.dtype)


def refuse_large(width: int, height: int, *, max_pixels: int, pixel_bytes: int = 1) -> None:
    """Called with the header's numbers that the decoder uses, before anything is decoded.

    `pixel_bytes` are those that decoding a pixel takes.

    Raises:
        Refused: the picture has more than `max_pixels` pixels, takes more than 16 bytes for each of `max_pixels`, or
            has no pixels.
    """
    if width < 1 or height < 1:
        raise Refused(f"holds no pixels ({width}x{height})")
    if width * height > max_pixels:
        raise Refused(
            f"{width}x{height} is {width * height:,} pixels, over the limit of {max_pixels:,}: "
            "raise it with --max-pixels, or make the picture smaller"
        )
    if width * height * pixel_bytes > max_bytes(max_pixels):
        raise Refused(
            f"{width}x{height} pixels of {pixel_bytes:,} bytes take {width * height * pixel_bytes:,} bytes, over the "
            f"limit of {max_bytes(max_pixels):,}: raise it with --max-pixels (16 bytes for each), "
            "or make the picture smaller"
        )


def refuse_many(count: int, limit: int, parts: str) -> None:
    """Called with the number of `parts` that each take time to decode, before the first is decoded.

    Raises:
        Refused: there are more than `limit`.
    """
    if count > limit:
        raise Refused(f"has {count:,} {parts}, over the limit of {limit:,}: store it anew with fewer of them")


def max_bytes(max_pixels: int) -> int:
    """Bytes that decoding one picture may take."""
    return 16 * max_pixels


def refuse_long(file: BinaryIO, *, max_pixels: int) -> None:
    """Called before a decoder reads a file as a whole.

    Raises:
        Refused: the file alone takes more memory than a picture may.
    """
    size = file.seek(0, io.SEEK_END)
    if size > max(max_bytes(max_pixels), ALWAYS_READ_BYTES):
        raise Refused(
            f"the file has {size:,} bytes, over the limit of {max_bytes(max_pixels):,}: "
            "raise it with --max-pixels (16 bytes for each)"
        )


def read_whole(file: BinaryIO, *, max_pixels: int) -> bytes:
    """All bytes of a file, for decoders that want them at once.

    Raises:
        Refused: the file alone takes more memory than a picture may.
    """
    refuse_long(file, max_pixels=max_pixels)
    file.seek(0)
    return file.read()


def narrow(array: np.ndarray) -> np.ndarray:
    """Numbers of any type as uint8, uint16 or float32, whichever holds the type; wide integers only if exact.

    Raises:
        Refused: integers beyond what float32 holds, complex numbers.
    """
    if array.dtype in (np.uint8, np.uint16, np.float32):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise Refused(f"values of type {array.dtype} are not supported")
    floats = array.astype(np.float32)
    if array.dtype.kind != "f" and not np.array_equal(floats.astype(array.dtype), array):
        raise Refused(f"{array.dtype} values too large to be held exactly: convert the file to 16 bits or float")
    return floats
