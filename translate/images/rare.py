"""Radiance HDR, and JPEG 2000 of more than 8 bits, which Pillow does not know or would cut."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

import numpy as np

from translate.images.picture import Decoded, Refused, refuse_large

LONGEST_HEADER = 65536
HDR = (b"#?RADIANCE", b"#?RGBE")
JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
SIZE_MARKER = b"\xff\x4f\xff\x51"


def _start(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(LONGEST_HEADER)


def read_hdr(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """Radiance HDR: float32 colour in linear light, as stored.

    Raises:
        Refused: too large, or turned in a way that nobody writes; imagecodecs' own errors on damage.
    """
    import imagecodecs

    size = re.search(rb"\n-Y (\d+) \+X (\d+)\n", _start(file))
    if size is None:
        raise Refused("an HDR file without a size, or turned in a way that is not supported")
    refuse_large(int(size[2]), int(size[1]), max_pixels=max_pixels)
    file.seek(0)
    return Decoded(pixels=imagecodecs.rgbe_decode(file.read()), format="HDR")


def is_deep_jpeg2000(head: bytes, file: BinaryIO) -> bool:
    """Whether this is JPEG 2000 of more than 8 bits a channel."""
    return head.startswith(JPEG2000) and _jpeg2000_size(file)[2] > 8


def read_jpeg2000(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """JPEG 2000 of 9 to 16 bits, as stored; the last channel is alpha where the file says so.

    Raises:
        Refused: too large, too deep, or signed; imagecodecs' own errors on damage.
    """
    import imagecodecs

    width, height, bits = _jpeg2000_size(file)
    refuse_large(width, height, max_pixels=max_pixels)
    if bits > 16:
        raise Refused(f"JPEG 2000 of {bits} bits is not supported")
    declared = declares_alpha(file)
    file.seek(0)
    bands = np.atleast_3d(imagecodecs.jpeg2k_decode(file.read()))
    if bands.dtype != np.uint16:
        raise Refused("JPEG 2000 with negative values is not supported")
    if bands.shape[2] in (2, 4) and declared:
        return Decoded(pixels=bands[..., :-1].copy(), alpha=bands[..., -1].copy(), format="JPEG2000")
    return Decoded(pixels=bands, format="JPEG2000")


def declares_alpha(file: BinaryIO) -> bool:
    """Whether JPEG 2000 says that its last channel is opacity; a bare code stream says nothing of its channels."""
    start = _start(file)
    boxes = start[: max(start.find(SIZE_MARKER), 0)]
    place = boxes.find(b"cdef")
    if place < 0 or place + 6 > len(boxes):
        return False
    (count,) = struct.unpack_from(">H", boxes, place + 4)
    entries = boxes[place + 6 : place + 6 + 6 * count]
    kinds = {channel: kind for channel, kind, _ in struct.iter_unpack(">HHH", entries[: len(entries) // 6 * 6])}
    return kinds.get(count - 1) in (1, 2)  # opacity, as it is or multiplied in


def _jpeg2000_size(file: BinaryIO) -> tuple[int, int, int]:
    """Width, height and bits a channel, from the SIZ marker that begins the code stream."""
    start = _start(file)
    place = start.find(SIZE_MARKER)
    if place < 0 or place + 43 > len(start):
        raise Refused("a JPEG 2000 file without a size: it is damaged")
    right, bottom, left, top = struct.unpack_from(">4I", start, place + 8)
    return right - left, bottom - top, (start[place + 42] & 0x7F) + 1
