"""Size and bands of plain JPEG and PNG files from their bytes, without decoding them."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from typing import NamedTuple

from translate.images import exif, jpeg, png
from translate.images.picture import ALWAYS_READ_BYTES, Refused
from translate.images.read import MAX_PIXELS

PLAIN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"tIME", b"sBIT", b"bKGD"}
"""Without transparency, orientation and animation; and without texts in which there may be an orientation."""

EXIF_AS_TEXT = b"Raw profile"  # how its keyword begins

USUAL_FRAMES = (0xC0, 0xC1, 0xC2)  # of JPEG: Huffman codes, in sequence or progressive
BANDS = {0: 1, 2: 3}  # of PNG's colour types without a palette and without alpha


class Glance(NamedTuple):
    """A picture of 8 bits without alpha, upright, whose file ends where it should."""

    height: int
    width: int
    bands: int


def glance_hashed(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[Glance, bytes] | None:
    """What a file holds and sha256 of its bytes; None where only decoding can tell, or tell what is wrong with it."""
    try:
        state = os.stat(path)  # noqa: PTH116 - a Path takes several times as long, as in the next line
        if not stat.S_ISREG(state.st_mode) or state.st_size > ALWAYS_READ_BYTES:
            return None
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read(state.st_size + 1)
    except (OSError, ValueError):
        return None
    found = glance(data, max_pixels=max_pixels) if len(data) == state.st_size else None
    return found and (found, hashlib.sha256(data).digest())


def glance(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Glance | None:
    """What a plain JPEG or PNG file of these bytes holds.

    None for every other, for one that is cut short or whose PNG checksums are wrong. What only decoding finds is a
    JPEG file whose tables are damaged (flaws of its compressed pixels no decoder reports), or a PNG file written wrong.
    """
    try:
        if data.startswith(jpeg.MAGIC):
            return _jpeg(data, max_pixels=max_pixels)
        if data.startswith(png.SIGNATURE):
            return _png(data, max_pixels=max_pixels)
    except (Refused, struct.error, IndexError, ValueError):  # decoding says why
        return None
    return None


def _jpeg(data: bytes, *, max_pixels: int) -> Glance | None:
    found = jpeg.layout(data, max_pixels=max_pixels)
    frame = found.frames[0]
    plain = frame.bits == 8 and frame.components in (1, 3) and frame.kind in USUAL_FRAMES
    if not (plain and found.whole and found.scans and frame.width and frame.height):
        return None
    turned = exif.clean(found.exif)[0] >= 5 if found.exif else False
    height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
    return Glance(height, width, frame.components)


def _png(data: bytes, *, max_pixels: int) -> Glance | None:
    depth, colour = png.check(data, max_pixels=max_pixels)
    width, height = struct.unpack_from(">II", data, 16)
    if depth != 8 or colour not in BANDS or not (width and height):
        return None
    end, pixels = 0, False
    for name, start, end in png.chunks_of(data):
        comment = name == b"tEXt" and not data.startswith(EXIF_AS_TEXT, start + 8)
        if not (comment or name in PLAIN_CHUNKS) or not png.is_intact(data, start, end):
            return None
        pixels = pixels or name == b"IDAT"
    whole = pixels and data.startswith(b"\0\0\0\0IEND", end)
    return Glance(height, width, BANDS[colour]) if whole else None
