"""Netpbm beyond 8 bits (PGM, PPM, PAM) and PFM floats, which Pillow cuts to 8 bits or does not know."""

from __future__ import annotations

import re
from typing import BinaryIO, NamedTuple

import numpy as np

from translate.images.picture import Decoded, Refused, read_whole, refuse_large

LONGEST_HEADER = 65536
TEXT_BYTES = 48  # that a number written as text takes while it is read
WORD = rb"(?:\s|#[^\n]*\n)*([^\s#]+)"


class Header(NamedTuple):
    """The header of the file."""

    width: int
    height: int
    channels: int
    white: int  # the value of full scale; 0 for floats
    kind: str  # numpy's name of the stored numbers; empty where they are written as text
    begin: int  # byte at which the numbers begin
    alpha: bool = False  # whether the file declares its last channel as alpha


def is_deep(head: bytes, file: BinaryIO) -> bool:
    """Whether a file that begins with `head` is of a kind that is read here rather than by Pillow."""
    if head.startswith((b"PF", b"Pf", b"P7")):
        return True
    return head[:2] in (b"P2", b"P3", b"P5", b"P6") and _header(file).white > 255


def read(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """Integers scaled so that the file's white is 255 or 65535; floats as stored.

    Raises:
        Refused: too large, truncated, or a header that makes no sense.
    """
    header = _header(file)
    shape = (header.height, header.width, header.channels)
    each = header.channels * (np.dtype(header.kind).itemsize if header.kind else TEXT_BYTES)
    refuse_large(header.width, header.height, max_pixels=max_pixels, pixel_bytes=each)
    file.seek(header.begin)
    count = header.width * header.height * header.channels
    if header.kind:
        values = np.frombuffer(file.read(count * np.dtype(header.kind).itemsize), header.kind)
    else:
        text = read_whole(file, max_pixels=max_pixels)[header.begin :]
        values = np.array(text.split(None, count)[:count], np.uint32)
    if values.size < count:
        raise Refused("the file is truncated")
    bands = values.reshape(shape)
    if not header.white:
        return Decoded(pixels=bands[::-1].astype(np.float32), format="PPM")  # PFM stores the bottom row first
    pixels = np.empty(shape, np.uint16 if header.white > 255 else np.uint8)
    for row, line in enumerate(bands):
        pixels[row] = _scaled(line, header.white)
    if header.channels in (2, 4) and header.alpha:
        return Decoded(pixels=pixels[..., :-1].copy(), alpha=pixels[..., -1].copy(), format="PPM")
    return Decoded(pixels=pixels, format="PPM")


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    """Whole numbers up to `white` on the scale of 255, or of 65535 beyond 8 bits."""
    full = 65535 if white > 255 else 255
    return (np.minimum(values, white).astype(np.uint32) * full + white // 2) // white


def _header(file: BinaryIO) -> Header:
    file.seek(0)
    start = file.read(LONGEST_HEADER)
    try:
        header = _pam(start) if start.startswith(b"P7") else _plain(start)
    except (KeyError, ValueError):
        raise Refused("a Netpbm file with a damaged header") from None
    if not (0 <= header.white <= 65535 and header.channels >= 1):
        raise Refused(f"a Netpbm file of {header.channels} channels whose white is {header.white} is not supported")
    return header


def _plain(start: bytes) -> Header:
    match = re.match(WORD * 4, start)
    if match is None:
        raise ValueError("too few words")
    channels = 3 if match[1] in (b"P3", b"P6", b"PF") else 1
    width, height, begin = int(match[2]), int(match[3]), match.end() + 1
    if match[1] in (b"PF", b"Pf"):
        return Header(width, height, channels, 0, "<f4" if float(match[4]) < 0 else ">f4", begin)
    white = int(match[4])
    kind = "" if match[1] in (b"P2", b"P3") else ">u2" if white > 255 else "u1"
    return Header(width, height, channels, max(white, 1), kind, begin)


def _pam(start: bytes) -> Header:
    end = start.index(b"ENDHDR\n")
    words = dict(re.findall(rb"^(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\d+)", start[:end], re.MULTILINE))
    width, height, channels, white = (int(words[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    kind = ">u2" if white > 255 else "u1"
    alpha = re.search(rb"^TUPLTYPE\s+\w+_ALPHA\b", start[:end], re.MULTILINE) is not None
    return Header(width, height, channels, max(white, 1), kind, end + len(b"ENDHDR\n"), alpha)
