"""The size of a WebP picture, which its decoder takes room for as it is opened."""

from __future__ import annotations

import struct

from translate.images.picture import Refused, refuse_large

START = 30  # bytes that hold the size


def is_webp(head: bytes) -> bool:
    """Whether these first bytes of a file begin a WebP picture."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def check(data: bytes, *, max_pixels: int) -> None:
    """Raises Refused: too large, truncated or damaged."""
    kind = data[12:16]
    if len(data) < START:
        raise Refused("the file is truncated")
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise Refused("damaged: a WebP file without a picture")
    refuse_large(width, height, max_pixels=max_pixels, pixel_bytes=12)  # the picture, and those before and after it
