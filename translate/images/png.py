"""PNG: its chunks apart from its pixels, 16-bit colour, which Pillow cuts to 8, and metadata for a fast encoder."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from translate.images import pillow, png_texts
from translate.images.exif import PREFIX
from translate.images.extras import NOTHING, TEXTS, Extras
from translate.images.picture import Decoded, Refused, read_whole, refuse_large, refuse_many
from translate.images.resolution import from_metric

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # no decoder gets others: flaws in them are not the picture's
METADATA_CHUNKS = (b"iCCP", b"eXIf", b"acTL", b"pHYs")
LARGEST_PROFILE = 16 * 2**20  # bytes; deflate could make gigabytes of a small chunk
HEADER = 33  # bytes of the signature and the IHDR chunk
MAX_CHUNKS = 1_000_000  # the usual 8 KiB each make 8 GB
GRAY = 0  # colour type
METRE = 1  # unit of dots


def decode(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """A PNG at the depth of the file, of an animation the picture that stands for it.

    Raises:
        Refused: too large, truncated, or without a header where it belongs; the decoders' own errors on damage.
    """
    data = read_whole(file, max_pixels=max_pixels)
    depth, colour = check(data, max_pixels=max_pixels)
    chunks = list(chunks_of(data))
    pixels_only = b"".join(
        [SIGNATURE, *(data[start:end] for name, start, end in chunks if name in PIXEL_CHUNKS), _chunk(b"IEND", b"")]
    )
    if depth == 16:
        decoded = _decode_deep(pixels_only)
    else:
        bits = depth if colour == GRAY else None  # the transparent colour of a gray picture counts in its depth
        decoded = pillow.decode(
            io.BytesIO(pixels_only), head=data[:HEADER], max_pixels=max_pixels, formats=("PNG",), gray_bits=bits
        )
    extra = {
        name: data[start + 8 : end - 4]
        for name, start, end in reversed(chunks)  # of several of a name the first counts
        if name in METADATA_CHUNKS and is_intact(data, start, end)
    }
    texts = [(name, start, end) for name, start, end in chunks if name in TEXTS["PNG"]]
    extras, block = png_texts.read(data, texts, is_intact=is_intact)
    dots = extra.get(b"pHYs", b"")
    if len(dots) == 9 and dots[8] == METRE:
        extras = replace(extras, resolution=from_metric(*struct.unpack_from(">II", dots)))
    return replace(
        decoded,
        icc=_inflate_profile(extra.get(b"iCCP")),
        exif=extra.get(b"eXIf") or block,
        extras=extras,
        frames=_frames(extra, chunks),
    )


def check(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """Bits a channel and colour type, from the header of a PNG, which is not decoded.

    Raises:
        Refused: too large, truncated, or without a header where it belongs.
    """
    if data[12:16] == b"CgBI":
        raise Refused("a PNG in Apple's own variant (CgBI) is not supported: convert it with Xcode's pngcrush")
    if len(data) < HEADER:
        raise Refused("the file is truncated")
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise Refused("damaged: the PNG does not begin with its header")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    refuse_large(width, height, max_pixels=max_pixels, pixel_bytes=max(depth // 2, 4))
    return depth, colour


def _decode_deep(data: bytes) -> Decoded:
    """16 bits a channel: gray, colour, either with alpha."""
    import imagecodecs

    bands = np.ascontiguousarray(np.atleast_3d(imagecodecs.png_decode(data)))  # [H, W, 1 to 4]
    alpha = bands[..., -1].copy() if bands.shape[2] in (2, 4) else None
    return Decoded(pixels=bands if alpha is None else bands[..., :-1].copy(), alpha=alpha, format="PNG")


def chunks_of(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Every chunk up to the end: its name, and where it begins and ends with length and checksum.

    What is missing behind the pixels is not missed.

    Raises:
        Refused: there is a second header, or the file ends within a chunk that belongs to the pixels.
    """
    place = len(SIGNATURE)
    for count in itertools.count():
        refuse_many(count, MAX_CHUNKS, "chunks")
        if place + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if name == b"IEND" or (end > len(data) and name not in PIXEL_CHUNKS):
            return
        if end > len(data):
            raise Refused("the file is truncated")
        if name == b"IHDR" and count:
            raise Refused("damaged: the PNG has two headers")
        yield name, place, end
        place = end


def is_intact(data: bytes, start: int, end: int) -> bool:
    """Whether the checksum of a chunk is that of its bytes."""
    return zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def _frames(extra: dict[bytes, bytes], chunks: list[tuple[bytes, int, int]]) -> int:
    """Pictures of an animation, with the one that stands for it if that is none of them."""
    if len(extra.get(b"acTL", b"")) < 8:
        return 1
    before = [name for name, _, _ in itertools.takewhile(lambda chunk: chunk[0] != b"IDAT", chunks)]
    return max(int.from_bytes(extra[b"acTL"][:4], "big") + (b"fcTL" not in before), 1)


def _inflate_profile(payload: bytes | None) -> bytes | None:
    """The profile in an iCCP chunk (a name, a zero, the method, deflated bytes); None if it is broken or too long."""
    if payload is None:
        return None
    try:
        inflater = zlib.decompressobj()
        profile = inflater.decompress(payload[payload.index(b"\0") + 2 :], LARGEST_PROFILE)
    except (ValueError, zlib.error):
        return None
    return profile if inflater.eof else None


def with_metadata(data: bytes, *, icc: bytes | None, exif: bytes | None, extras: Extras = NOTHING) -> bytes:
    """An encoded PNG with a profile, an EXIF block and the rest put in behind its header."""
    added = b""
    if icc:
        added += _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc))
    if exif:
        added += _chunk(b"eXIf", exif.removeprefix(PREFIX))
    if extras.resolution:
        added += _chunk(b"pHYs", struct.pack(">IIB", *extras.resolution.per_metre(), METRE))
    if extras.xmp:
        added += _chunk(b"iTXt", png_texts.of_xmp(extras.xmp))
    added += b"".join(_chunk(name, text) for name, text in extras.texts)
    return data[:HEADER] + added + data[HEADER:]


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
