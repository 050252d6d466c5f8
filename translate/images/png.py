"""PNG beyond Pillow: 16-bit colour, which it cuts to 8 without a word, and metadata for a fast encoder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from translate.images.exif import PREFIX
from translate.images.picture import Decoded, Refused, refuse_large

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = (b"IHDR", b"tRNS", b"IDAT", b"IEND")  # the decoder complains on stderr about flaws in others
LARGEST_PROFILE = 16 * 2**20  # bytes; deflate could make gigabytes of a small chunk
HEADER = 33  # bytes of the signature and the IHDR chunk


def is_deep(head: bytes) -> bool:
    """Whether these first bytes of a file begin a PNG of 16 bits a channel."""
    return head.startswith(SIGNATURE) and len(head) >= HEADER and head[24] == 16


def gray_bits(head: bytes) -> int | None:
    """Bits a pixel of a gray PNG, whose transparent colour counts in that depth; None for anything else."""
    return head[24] if head.startswith(SIGNATURE) and len(head) >= HEADER and head[25] == 0 else None


def read_deep(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """A 16-bit PNG at full depth: gray, colour, either with alpha.

    Raises:
        Refused: too large, or damaged.
    """
    import imagecodecs

    data = file.read(HEADER)
    width, height = struct.unpack_from(">II", data, 16)
    refuse_large(width, height, max_pixels=max_pixels)
    data += file.read()
    chunks = list(_chunks(data))
    extra = {name: chunk[8:-4] for name, chunk in reversed(chunks)}  # of several of a name the first counts
    pixels_only = SIGNATURE + b"".join(chunk for name, chunk in chunks if name in PIXEL_CHUNKS)
    bands = np.ascontiguousarray(np.atleast_3d(imagecodecs.png_decode(pixels_only)))  # [H, W, 1 to 4]
    alpha = bands[..., -1].copy() if bands.shape[2] in (2, 4) else None
    return Decoded(
        pixels=bands if alpha is None else bands[..., :-1].copy(),
        alpha=alpha,
        format="PNG",
        icc=_inflate_profile(extra.get(b"iCCP")),
        exif=extra.get(b"eXIf"),
        frames=struct.unpack_from(">I", extra[b"acTL"])[0] if b"acTL" in extra else 1,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk: its name, and the whole of it with length and checksum.

    Raises:
        Refused: the file ends before its end chunk.
    """
    place = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        if place + 12 > len(data):
            raise Refused("the file is truncated")
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, data[place : place + 12 + length]
        place += 12 + length


def _inflate_profile(payload: bytes | None) -> bytes | None:
    """The profile in an iCCP chunk (a name, a zero, the method, deflated bytes); None where it is broken."""
    if payload is None:
        return None
    try:
        return zlib.decompressobj().decompress(payload[payload.index(b"\0") + 2 :], LARGEST_PROFILE)
    except (ValueError, zlib.error):
        return None


def with_metadata(data: bytes, *, icc: bytes | None, exif: bytes | None) -> bytes:
    """An encoded PNG with a profile and an EXIF block put in behind its header."""
    added = b""
    if icc:
        added += _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc))
    if exif:
        added += _chunk(b"eXIf", exif.removeprefix(PREFIX))
    return data[:HEADER] + added + data[HEADER:]


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
