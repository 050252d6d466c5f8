"""JPEG 2000: its sizes from where the decoder takes them, and more than 8 bits, which Pillow would cut."""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import replace
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import numpy as np

from translate.images import boxes, pillow
from translate.images.extras import Extras
from translate.images.picture import Decoded, Refused, read_whole, refuse_large, refuse_many
from translate.images.resolution import DOTS_PER_METRE, Resolution, make

BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
STREAM = b"\xff\x4f\xff\x51"  # the start of a code stream, and the marker of its size
MAGIC = (BOXES, STREAM)

MAX_BOXES = 10_000
MAX_TILES = 20_000  # tiles and their components, of which each takes kilobytes before anything is decoded
MAX_PRECINCTS = 200_000  # of the smallest size that is named, of all components
MAX_LAYERED = 20_000_000
CODING, COMPONENT_CODING, TILE_PART, DATA = 0xFF52, 0xFF53, 0xFF90, 0xFF93


class Size(NamedTuple):
    """The header of a code stream."""

    width: int
    height: int
    components: int
    bits: int


def decode(file: BinaryIO, *, head: bytes, max_pixels: int) -> Decoded:
    """JPEG 2000 of up to 16 bits, as stored; the last channel is alpha where the file declares it.

    Raises:
        Refused: too large, too deep, or signed; the decoders' own errors on damage.
    """
    data = read_whole(file, max_pixels=max_pixels)
    size = check(data, max_pixels=max_pixels)
    if size.components > 4:
        raise Refused(f"JPEG 2000 of {size.components} components is not supported: convert it to TIFF")
    alpha, extras = declares_alpha(data), Extras(resolution=resolution_of(data), left_out=boxes.left_out(data))
    if size.bits <= 8:
        decoded = pillow.decode(io.BytesIO(data), head=head, max_pixels=max_pixels, formats=("JPEG2000",), alpha=alpha)
        return replace(decoded, extras=extras)
    if size.bits > 16:
        raise Refused(f"JPEG 2000 of {size.bits} bits is not supported")
    import imagecodecs

    bands = np.atleast_3d(imagecodecs.jpeg2k_decode(data))
    if bands.dtype != np.uint16:
        raise Refused("JPEG 2000 with negative values is not supported")
    if bands.shape[2] in (2, 4) and alpha:
        return Decoded(pixels=bands[..., :-1].copy(), alpha=bands[..., -1].copy(), format="JPEG2000", extras=extras)
    return Decoded(pixels=bands, format="JPEG2000", extras=extras)


def check(data: bytes, *, max_pixels: int) -> Size:
    """The size of the picture, which is not decoded.

    Raises:
        Refused: too large, or of more tiles or layers than anybody writes.
    """
    place = _code_stream(data)
    if not data.startswith(STREAM, place) or place + 43 > len(data):
        raise Refused("a JPEG 2000 file without a size: it is damaged")
    right, bottom, left, top, wide, high, x, y = struct.unpack_from(">8I", data, place + 8)
    components, bits = struct.unpack_from(">HB", data, place + 40)
    size = Size(right - left, bottom - top, components, (bits & 0x7F) + 1)
    refuse_large(size.width, size.height, max_pixels=max_pixels, pixel_bytes=4 * max(components, 1))
    if not (wide and high and x <= left and y <= top):
        raise Refused("a JPEG 2000 file without tiles: it is damaged")
    tiles = -((x - right) // wide) * -((y - bottom) // high)
    refuse_many(tiles * (components + 1), MAX_TILES, "components of tiles")
    _check_coding(data, place + 2, size)
    return size


def declares_alpha(data: bytes) -> bool:
    """Whether the file declares its last channel as opacity; a bare code stream has no such field.

    Raises:
        Refused: as `check`.
    """
    box = _box(data, b"cdef")
    if len(box) < 2:
        return False
    (count,) = struct.unpack_from(">H", box)
    entries = box[2 : 2 + 6 * count]
    kinds = {channel: kind for channel, kind, _ in struct.iter_unpack(">HHH", entries[: len(entries) // 6 * 6])}
    return kinds.get(count - 1) in (1, 2)  # opacity, as it is or multiplied in


def resolution_of(data: bytes) -> Resolution | None:
    """Dots per inch at which the picture was taken or scanned, if the file has it.

    Raises:
        Refused: as `check`.
    """
    box = _box(data, b"resc")
    if len(box) < 10:
        return None
    *parts, y_power, x_power = struct.unpack_from(">HHHHbb", box)
    if not all(parts) or max(abs(x_power), abs(y_power)) > 9:
        return None
    y, x = (
        Fraction(parts[0], parts[1]) * Fraction(10) ** y_power,
        Fraction(parts[2], parts[3]) * Fraction(10) ** x_power,
    )
    return make(x / DOTS_PER_METRE, y / DOTS_PER_METRE)


def _box(data: bytes, name: bytes) -> bytes:
    """All that follows the name of a box, up to the code stream; empty where there is no such box.

    Raises:
        Refused: as `check`.
    """
    return data[: _code_stream(data)].partition(name)[2]


def with_resolution(data: bytes, resolution: Resolution) -> bytes:
    """A file as Pillow writes it, with the resolution at the end of its header box."""
    place = data.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", data, place)
    fields: list[int] = []
    powers: list[int] = []
    for dots in reversed(resolution.per_metre()):
        power = max(len(str(dots)) - 4, 0) if dots >= 2**16 else 0
        fields += [round(dots / 10**power), 1]
        powers.append(power)
    box = struct.pack(">I4sI4s4H2b", 26, b"res ", 18, b"resc", *fields, *powers)
    end = place + length
    return data[:place] + struct.pack(">I", length + len(box)) + data[place + 4 : end] + box + data[end:]


def _code_stream(data: bytes) -> int:
    """Where the code stream begins: the first box that is one, as the decoder has it."""
    if not data.startswith(BOXES):
        return 0
    place = 0
    for count in itertools.count():
        refuse_many(count, MAX_BOXES, "boxes")
        if place + 16 > len(data):
            raise Refused("the file is truncated, or a JPEG 2000 file without a picture")
        length, name, longer = struct.unpack_from(">I4sQ", data, place)
        if name == b"jp2c":
            return place + (16 if length == 1 else 8)
        if length == 1:
            length = longer
        if length < 8:
            raise Refused("damaged: a box of a JPEG 2000 file has no length")
        place += length
    raise AssertionError("unreachable")


def _check_coding(data: bytes, place: int, size: Size) -> None:
    """Counts layers and precincts, by all marker segments from `place` on about the coding of tiles."""
    layers, smallest, parts = 1, 30, 0
    end = len(data)  # of the tile part
    while place + 12 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == TILE_PART:
            parts += 1
            refuse_many(parts, MAX_TILES, "parts of tiles")
            (long,) = struct.unpack_from(">I", data, place + 6)
            end = place + long if long else len(data)
        elif marker in (CODING, COMPONENT_CODING):
            named = 5 if marker == CODING else 1 if size.components <= 256 else 2
            if marker == CODING:
                layers = max(layers, struct.unpack_from(">H", data, place + 6)[0])
            defined = data[place + 4 + (0 if marker == CODING else named)] & 1
            start = place + 4 + named + (0 if marker == CODING else 1) + 5  # behind levels, block, style and wavelet
            sides = data[start : place + 2 + length] if defined else b""
            smallest = min([smallest, *((side & 15) + (side >> 4) for side in sides)])
        elif marker == DATA or marker < 0xFF00:
            place = end  # to the next tile part
            continue
        place += 2 + length
    precincts = size.components * -(-size.width * size.height // 2**smallest)
    refuse_many(precincts, MAX_PRECINCTS, "precincts")
    refuse_many(precincts * layers, MAX_LAYERED, "precincts in layers")
