"""The boxes that JPEG 2000 and JPEG XL files are made of."""

from __future__ import annotations

MAX_BOXES = 10_000
METADATA = {b"uuid", b"xml ", b"Exif", b"brob", b"jumb"}
LEFT_OUT = "metadata in boxes (EXIF, XMP, location) left out: they are not carried over"


def left_out(data: bytes) -> tuple[str, ...]:
    """A sentence if a file has metadata in boxes of their own, which are not read."""
    place = 0
    for _ in range(MAX_BOXES):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if name in METADATA:
            return (LEFT_OUT,)
        length = int.from_bytes(data[place + 8 : place + 16], "big") if length == 1 else length
        if length < 8 or place + length >= len(data):
            break
        place += length
    return ()
