"""The size of what a TIFF file makes its decoder read: pages, strips and tiles, and files of other formats inside them.

All of it is counted before anything is decoded.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from translate.images import jpeg, jpeg2000, jxl, pillow, png, webp
from translate.images.directories import Directories, Tag
from translate.images.picture import Refused, max_bytes, refuse_large, refuse_many

if TYPE_CHECKING:
    from tifffile import TiffPage

CANON = b"CR\x02"  # at byte 8 of its files
PHOTOMETRIC, SUB_PAGES, DNG_VERSION = 262, 330, 50706
CFA, LINEAR_RAW = 32803, 34892

PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
SIZES = re.compile(r"""\bSize([CZT])\s*=\s*["'](\d{1,18})""")
COUNTS = re.compile(r"""\b(?:PlaneCount|IFD|First[CZT])\s*=\s*["'](\d{1,18})""")

MAX_PAGES = 50_000
MAX_SEGMENTS = 200_000

PLAIN = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000}
"""Compressions whose decoders get the size of the output; the others' take it from the segment's own header."""

JPEGS, JPEGS2000, PNG, WEBP, JXL, LERC = (
    {6, 7, 33007, 34892},
    {33003, 33004, 33005, 34712},
    34933,
    50001,
    {50002, 52546},
    34887,
)


def check_directories(file: BinaryIO) -> None:
    """Counts the pages, and what the tags of the first would read.

    Raises:
        Refused: too many pages or tags, tags that lie upon one another, or a camera's own file, whose first page is a
            preview. Chains that are cut off pass.
    """
    file.seek(8)
    head = file.read(len(CANON))
    try:
        directories = Directories(file)
        place, count = directories.first, 0
        while place:
            tags, place = directories.read(place)
            if not count and directories.is_bomb(tags):
                raise Refused("damaged: its tags lie upon one another")
            if not count and (head == CANON or _is_raw(directories, tags)):
                raise Refused(pillow.RAW)
            count += 1
            refuse_many(count, MAX_PAGES, "pages")
    except struct.error:
        return


def check_description(text: str) -> None:
    """Counts the planes that an OME description names, which tifffile goes through.

    Raises:
        Refused: more than a file may have.
    """
    planes = 0
    for element in PIXELS.findall(text):
        sizes = {axis: int(size) for axis, size in SIZES.findall(element)}
        planes += math.prod(sizes.values())
    planes += sum(int(count) for count in COUNTS.findall(text))
    refuse_many(planes, 4 * MAX_PAGES, "planes in its description")


def _is_raw(directories: Directories, tags: dict[int, Tag]) -> bool:
    """Whether the picture is raw sensor data behind a colour filter array."""
    inner = [directories.read(place)[0] for place in directories.numbers(tags[SUB_PAGES])] if SUB_PAGES in tags else []
    kinds = [directories.numbers(page[PHOTOMETRIC]) for page in (tags, *inner) if PHOTOMETRIC in page]
    return DNG_VERSION in tags or [CFA] in kinds or (bool(inner) and [LINEAR_RAW] in kinds)


def check_pages(file: BinaryIO, pages: Sequence[TiffPage], *, max_pixels: int) -> None:
    """Counts what decoding the pages of one picture takes.

    Raises:
        Refused: too much room, too many strips or tiles, or a compression whose room is not known.
    """
    bands, segments, length = 0, 0, 0
    first = pages[0]
    for page in pages:
        if page.imagedepth != 1:
            raise Refused(f"a volume {page.imagedepth} deep is not supported: store one picture a page")
        bands += page.samplesperpixel * _bytes(page)
        segments += max((page.tags[tag].count for tag in (273, 324) if tag in page.tags), default=0)
        refuse_many(segments, MAX_SEGMENTS, "strips or tiles")
        length += sum(page.databytecounts)
        if page.is_tiled:
            _refuse_large_tile(page, max_pixels=max_pixels)
        refuse_large(page.imagewidth, page.imagelength, max_pixels=max_pixels, pixel_bytes=max(bands, 1))
    if length > max_bytes(max_pixels):
        raise Refused(f"its strips or tiles count {length:,} bytes, over the limit of {max_bytes(max_pixels):,}")
    if first.compression not in PLAIN:
        for page in pages:
            _check_inner(file, page, max_pixels=max_pixels)


def _bytes(page: TiffPage) -> int:
    return page.dtype.itemsize if page.dtype is not None else 8


def _refuse_large_tile(page: TiffPage, *, max_pixels: int) -> None:
    bands = page.samplesperpixel if page.planarconfig == 1 else 1
    refuse_large(
        page.tilewidth,
        page.tilelength,
        max_pixels=max_pixels,
        pixel_bytes=max(bands * page.tiledepth * _bytes(page), 1),
    )


def _check_inner(file: BinaryIO, page: TiffPage, *, max_pixels: int) -> None:
    """Every strip or tile is a file of its own, with a header that the decoder goes by."""
    name = getattr(page.compression, "name", page.compression)
    for place, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(place)
        data = file.read(length)
        if page.compression in JPEGS:
            jpeg.layout((page.jpegheader or b"") + data, max_pixels=max_pixels)
        elif page.compression in JPEGS2000:
            jpeg2000.check(data, max_pixels=max_pixels)
        elif page.compression in JXL:
            jxl.check(data, max_pixels=max_pixels)
        elif page.compression == PNG:
            png.check(data, max_pixels=max_pixels)
        elif page.compression == WEBP:
            webp.check(data, max_pixels=max_pixels)
        elif page.compression == LERC:
            _check_lerc(data, max_pixels=max_pixels)
        else:
            raise Refused(f"TIFF compressed as {name} is not supported: store it with deflate")


def _check_lerc(data: bytes, *, max_pixels: int) -> None:
    if data[:6] != b"Lerc2 ":
        raise Refused("TIFF compressed as LERC, and further or by its first version, is not supported")
    version = int.from_bytes(data[6:10], "little")
    height, width = struct.unpack_from("<II", data.ljust(22, b"\0"), 14 if version >= 3 else 10)
    values = int.from_bytes(data[22:26], "little") if version >= 4 else 1
    values *= data.count(b"Lerc2 ")  # bands may follow one another
    refuse_large(width, height, max_pixels=max_pixels, pixel_bytes=8 * max(values, 1))
