"""JPEG as Pillow has it, to the last bit, with less waiting, and its segments without the decoder.

Pillow's encoder keeps Python's lock until a file is done, and all threads wait; its decoder copies a picture three
times, and takes 1.3 to 1.5 times as long for a large photo.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

from translate.images import resolution, xmp
from translate.images.extras import COMMENT, MAX_TEXTS, NOTHING, PHOTOSHOP_LEFT_OUT, TEXTS_LEFT, Extras, bounded
from translate.images.picture import Refused, max_bytes, refuse_large, refuse_many

MAGIC = b"\xff\xd8\xff"
SHARP_FROM = 90  # quality from which colour keeps its full resolution
HEADER = 20  # bytes of the start marker and the JFIF segment, which the encoder always writes
JFIF, EXIF, ICC, PHOTOSHOP, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xFE  # application markers, and that of comments
METADATA = {EXIF, ICC, PHOTOSHOP, COM}
JFIF_NAME = b"JFIF\0"
EXIF_NAME = b"Exif\0\0"
ICC_NAME = b"ICC_PROFILE\0"
LARGEST = 65533  # bytes that a segment holds besides its marker and length

MAX_SCANS = 100  # optimisers write up to 20; each is a pass over all coefficients
MAX_SEGMENTS = 100_000

SCAN, END = 0xDA, 0xD9
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")
"""The next marker with a length: a zero after 0xFF makes it a value, and restarts belong to the scan."""


class Frame(NamedTuple):
    """The fields of a frame header."""

    kind: int  # the marker
    bits: int
    width: int
    height: int
    components: int


@dataclass
class Layout:
    """The segments of a file, as libjpeg finds them."""

    frames: list[Frame] = field(default_factory=list)
    scans: int = 0
    whole: bool = False  # whether the marker that ends a picture is where it belongs, not in a preview within EXIF
    exif: bytes | None = None
    icc: bytes | None = None
    jfif: bytes = b""
    xmp: bytes | None = None
    comments: list[bytes] = field(default_factory=list)
    others: set[str] = field(default_factory=set)  # a sentence for each kind of metadata that is not carried
    metadata: list[tuple[int, int]] = field(default_factory=list)  # where each segment of it begins and ends


def layout(data: bytes, *, max_pixels: int) -> Layout:
    """The segments of a JPEG file, which is not decoded.

    Raises:
        Refused: a picture that is too large, of more passes than anybody writes, or without one frame header.
    """
    found = Layout()
    profile: dict[int, bytes] = {}
    place, segments = 2, 0
    while match := MARKER.search(data, place):
        kind, place = match[1][0], match.end()
        if kind == END:
            found.whole = True
            break
        segments += 1
        refuse_many(segments, MAX_SEGMENTS, "segments")
        length = int.from_bytes(data[place : place + 2], "big")
        if kind == SCAN:
            found.scans += 1
        elif kind in FRAMES and length >= 8 and place + 8 <= len(data):
            bits, height, width, components = struct.unpack_from(">BHHB", data, place + 2)
            found.frames.append(Frame(kind, bits, width, height, components))
        elif kind == EXIF and data.startswith(EXIF_NAME, place + 2):
            part = data[place + 2 : place + length]
            found.exif = part if found.exif is None else found.exif + part[len(EXIF_NAME) :]
        elif kind == ICC and data.startswith(ICC_NAME, place + 2):
            part = data[place + 2 + len(ICC_NAME) : place + length]
            profile[part[0] if part else 0] = part
        elif kind in (JFIF, EXIF, PHOTOSHOP, COM):
            _take(found, kind, data[place + 2 : place + length])
        if kind in METADATA:
            found.metadata.append((match.start(), place + length))
        place += length
    found.icc = _joined(profile)
    _check(found, max_pixels=max_pixels)
    return found


def _take(found: Layout, kind: int, payload: bytes) -> None:
    """Metadata besides EXIF block and profile."""
    if kind == JFIF and payload.startswith(JFIF_NAME):
        found.jfif = found.jfif or payload
    elif kind == EXIF and payload.startswith(xmp.JPEG_NAME):
        found.xmp = found.xmp or payload[len(xmp.JPEG_NAME) :]
    elif kind == EXIF and payload.startswith(xmp.EXTENDED_NAME):
        found.others.add(xmp.EXTENDED_LEFT_OUT)
    elif kind == PHOTOSHOP:
        found.others.add(PHOTOSHOP_LEFT_OUT)
    elif kind == COM and payload and len(found.comments) <= MAX_TEXTS:  # one more shows that there are too many
        found.comments.append(payload)


def extras(found: Layout) -> Extras:
    """Metadata of a file beside its pixels, profile and EXIF block."""
    packet = xmp.clean(found.xmp) if found.xmp else None
    comments = bounded([(COMMENT, text) for text in found.comments])
    left_out = sorted(found.others)
    left_out += [xmp.LEFT_OUT] if found.xmp and packet is None else []
    left_out += [TEXTS_LEFT] if comments is None else []
    return Extras(
        resolution=resolution.from_jfif(found.jfif), xmp=packet, texts=comments or (), left_out=tuple(left_out)
    )


def _joined(parts: dict[int, bytes]) -> bytes | None:
    """The profile from its parts by their number, each with its number and their count in front; None if one lacks."""
    if not parts or any(len(part) < 2 for part in parts.values()) or len(parts) != next(iter(parts.values()))[1]:
        return None
    return b"".join(parts[number][2:] for number in sorted(parts)) or None


def _check(found: Layout, *, max_pixels: int) -> None:
    if not found.frames:
        raise Refused("the file is truncated, or no JPEG: it has no frame header")
    if len(found.frames) > 1:
        raise Refused("damaged: it has two frame headers")
    frame = found.frames[0]
    refuse_large(frame.width, frame.height, max_pixels=max_pixels, pixel_bytes=2 * frame.components)
    refuse_many(found.scans, MAX_SCANS, "scans")
    passes = found.scans * frame.width * frame.height
    if passes > max_bytes(max_pixels):
        raise Refused(
            f"{found.scans} scans of {frame.width}x{frame.height} are {passes:,} pixels to go through, over the limit "
            f"of {max_bytes(max_pixels):,}: raise it with --max-pixels (16 for each), or store it anew"
        )


def pixels_only(data: bytes, found: Layout) -> bytes:
    """The file without metadata, which no decoder has to follow then."""
    edges = [0, *(edge for span in found.metadata for edge in span), len(data)]
    return b"".join(data[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


def decode(data: bytes, frame: Frame) -> np.ndarray:
    """uint8 gray `[H, W, 1]` or colour `[H, W, 3]`, to the last bit as Pillow decodes it, of a whole file.

    Raises:
        the decoder's own errors on damage.
    """
    try:
        import imagecodecs
    except ImportError:  # the same pixels, more slowly: what a machine without it was given to train on is read
        with Image.open(io.BytesIO(data)) as image:
            return np.atleast_3d(np.asarray(image))
    shape = (frame.height, frame.width, frame.components)[: 2 if frame.components == 1 else 3]
    return np.atleast_3d(imagecodecs.jpeg8_decode(data, out=np.empty(shape, np.uint8)))


def encode(
    bands: np.ndarray,
    *,
    quality: int,
    icc: bytes | None = None,
    exif: bytes | None = None,
    extras: Extras = NOTHING,
) -> bytes:
    """A file of uint8 gray `[H, W, 1]` or colour `[H, W, 3]`, with a profile and an EXIF block that has its prefix.

    In colour it is what Pillow writes, to the last byte.

    Raises:
        ValueError: an EXIF block or profile that is too long; the encoder's own errors, as on sides beyond 65535.
    """
    import imagecodecs

    pixels = (bands if bands.shape[2] == 3 else bands[..., 0]).copy()  # along a side of 1 any stride counts as whole
    subsampling = "444" if quality >= SHARP_FROM else "420"
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=subsampling))
    segments = [_segment(EXIF, exif)] if exif else []
    if extras.xmp:
        segments.append(_segment(EXIF, xmp.JPEG_NAME + extras.xmp))
    if icc:
        step = LARGEST - len(ICC_NAME) - 2
        parts = [icc[start : start + step] for start in range(0, len(icc), step)]
        if len(parts) > 255:
            raise ValueError("the colour profile is too long for the format")
        segments += [_segment(ICC, ICC_NAME + bytes([i, len(parts)]) + part) for i, part in enumerate(parts, 1)]
    segments += [_segment(COM, text) for _, text in extras.texts]
    if extras.resolution:
        data = resolution.into_jfif(data, extras.resolution)
    return data[:HEADER] + b"".join(segments) + data[HEADER:]


def _segment(marker: int, payload: bytes) -> bytes:
    if len(payload) > LARGEST:
        raise ValueError("the EXIF block is too long for the format")
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
