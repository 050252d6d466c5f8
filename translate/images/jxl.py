"""JPEG XL, as far as an installed library decodes it: its header, and its pixels.

The library gives no profile, so that only colours that need none are read.
"""

from __future__ import annotations

import itertools
from typing import BinaryIO, NamedTuple

import numpy as np

from translate.images import boxes
from translate.images.extras import Extras
from translate.images.picture import Decoded, Refused, read_whole, refuse_large, refuse_many

STREAM, BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
MAGIC = (STREAM, BOXES)
MAX_BOXES = 10_000
LONGEST_HEADER = 65536

GRAY, ALPHA, SPOT, CFA = 1, 0, 2, 5  # numbers of colour spaces and of kinds of further channels
D65, SRGB_PRIMARIES = 1, 1
AS_STORED = {8: "linear", 13: "sRGB"}  # transfer functions; linear light is given as it is, as that of HDR
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class Header(NamedTuple):
    """The header of a code stream."""

    width: int  # as stored
    height: int
    orientation: int  # EXIF's 1 to 8
    gray: bool
    extra: int  # channels besides gray or colour
    alpha: bool
    problem: str | None  # what the library cannot give back


def available() -> bool:
    """Whether a library that decodes JPEG XL is installed."""
    import imagecodecs

    return bool(imagecodecs.JPEGXL.available)


def decode(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """The first frame, uint8, uint16 or float32.

    Raises:
        Refused: too large, or with colours or channels that the library cannot give; its own errors on damage.
    """
    import imagecodecs

    if not available():
        raise Refused("JPEG XL is not read by this installation of imagecodecs: convert it to JPEG or PNG")
    data = read_whole(file, max_pixels=max_pixels)
    header = check(data, max_pixels=max_pixels)
    if header.problem:
        raise Refused(f"JPEG XL with {header.problem} is not supported: convert it to PNG or TIFF")
    bands = imagecodecs.jpegxl_decode(data, index=0, keeporientation=True, numthreads=1)
    colours = 1 if header.gray else 3
    bands = bands.reshape(*bands.shape[:2], -1)
    if bands.shape != (header.height, header.width, colours + header.alpha):
        raise Refused("damaged: its header and its picture differ")
    bands = bands.astype(np.float32) if bands.dtype == np.float16 else bands
    alpha = bands[..., -1].copy() if header.alpha else None
    return Decoded(
        pixels=np.ascontiguousarray(bands[..., :colours]),
        alpha=alpha,
        format="JXL",
        orientation=header.orientation,
        extras=Extras(left_out=() if data.startswith(STREAM) else boxes.left_out(data)),
    )


def check(data: bytes, *, max_pixels: int) -> Header:
    """The header of a file, which is not decoded.

    Raises:
        Refused: too large, truncated, or damaged.
    """
    try:
        header = _header(_Bits(_code_stream(data)))
    except IndexError:
        raise Refused("the file is truncated, or its header is damaged") from None
    channels = (1 if header.gray else 3) + header.extra
    refuse_large(header.width, header.height, max_pixels=max_pixels, pixel_bytes=4 * channels)
    return header


def _code_stream(data: bytes) -> bytes:
    """The beginning of the code stream, which may lie in pieces."""
    if data.startswith(STREAM):
        return data[:LONGEST_HEADER]
    found, place = b"", 0
    for count in itertools.count():
        refuse_many(count, MAX_BOXES, "boxes")
        if place + 8 > len(data) or len(found) >= LONGEST_HEADER:
            return found
        length, name, skip = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8], 8
        if length == 1:
            length, skip = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        if length == 0:
            length = len(data) - place  # to the end
        if length < skip:
            return found
        if name in (b"jxlc", b"jxlp"):
            start = place + skip + (4 if name == b"jxlp" else 0)  # a piece is numbered
            found += data[start : min(place + length, start + LONGEST_HEADER)]
        place += length
    raise AssertionError("unreachable")


class _Bits:
    """Bits of a code stream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 16  # behind the signature

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        first, last = self._place // 8, (self._place + count + 7) // 8
        if last > len(self._data):
            raise IndexError
        value = int.from_bytes(self._data[first:last], "little") >> (self._place % 8)
        self._place += count
        return value & ((1 << count) - 1)

    def choice(self, *kinds: tuple[int, int]) -> int:
        """One of four kinds of number, each some bits and what is added to them."""
        bits, least = kinds[self.take(2)]
        return self.take(bits) + least

    def enum(self) -> int:
        """A number that stands for a name."""
        return self.choice((0, 0), (0, 1), (4, 2), (6, 18))


def _header(bits: _Bits) -> Header:
    width, height = _size(bits)
    if bits.take(1):  # all as usual: 8 bits, sRGB
        return Header(width, height, 1, gray=False, extra=0, alpha=False, problem=None)
    orientation = 1
    if bits.take(1):
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)  # meant for display
        if bits.take(1):
            _preview(bits)
        if bits.take(1):
            _animation(bits)
    _depth(bits)
    bits.take(1)  # whether 16 bits are enough while decoding
    extra = bits.choice((0, 0), (0, 1), (4, 2), (12, 1))
    kinds = [_extra_channel(bits) for _ in range(extra)]
    bits.take(1)  # whether colours are stored as the eye sees them
    gray, problem = _colours(bits)
    alpha = [multiplied for kind, multiplied in kinds if kind == ALPHA]
    if any(alpha):
        problem = problem or "colours multiplied by alpha"
    if len(alpha) != extra:
        problem = problem or "channels beyond colour and alpha"
    return Header(width, height, orientation, gray=gray, extra=extra, alpha=bool(alpha), problem=problem)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    sides = ((9, 1), (13, 1), (18, 1), (30, 1))
    height = 8 * (bits.take(5) + 1) if small else bits.choice(*sides)
    ratio = bits.take(3)
    if ratio:
        wide, high = RATIOS[ratio - 1]
        return height * wide // high, height
    return (8 * (bits.take(5) + 1) if small else bits.choice(*sides)), height


def _preview(bits: _Bits) -> None:
    eighths = bits.take(1)
    sides = ((0, 16), (0, 32), (5, 1), (9, 33)) if eighths else ((6, 1), (8, 65), (10, 321), (12, 1345))
    bits.choice(*sides)
    if not bits.take(3):
        bits.choice(*sides)


def _animation(bits: _Bits) -> None:
    bits.choice((0, 100), (0, 1000), (10, 1), (30, 1))
    bits.choice((0, 1), (0, 1001), (8, 1), (10, 1))
    bits.choice((0, 0), (3, 0), (16, 0), (32, 0))
    bits.take(1)


def _depth(bits: _Bits) -> None:
    if bits.take(1):  # floats
        bits.choice((0, 32), (0, 16), (0, 24), (6, 1))
        bits.take(4)
    else:
        bits.choice((0, 8), (0, 10), (0, 12), (6, 1))


def _extra_channel(bits: _Bits) -> tuple[int, bool]:
    """Its kind, and whether colours are multiplied by it."""
    if bits.take(1):
        return ALPHA, False
    kind = bits.enum()
    _depth(bits)
    bits.choice((0, 0), (0, 3), (0, 4), (3, 1))
    for _ in range(bits.choice((0, 0), (4, 0), (5, 16), (10, 48))):
        bits.take(8)  # a letter of its name
    if kind == ALPHA:
        return kind, bool(bits.take(1))
    if kind == SPOT:
        bits.take(64)
    if kind == CFA:
        bits.choice((0, 1), (2, 0), (4, 3), (8, 19))
    return kind, False


def _colours(bits: _Bits) -> tuple[bool, str | None]:
    """Whether they are gray, and what the library cannot read of them."""
    if bits.take(1):
        return False, None  # sRGB
    profile = bits.take(1)
    space = bits.enum()
    gray = space == GRAY
    if profile:
        return gray, "a colour profile"
    if space not in (0, GRAY):
        return gray, "an unknown colour space"
    if bits.enum() != D65:
        return gray, "another white than sRGB's"
    if not gray and bits.enum() != SRGB_PRIMARIES:
        return gray, "other primaries than sRGB's"
    if bits.take(1) or bits.enum() not in AS_STORED:
        return gray, "another curve than sRGB's"
    return gray, None
