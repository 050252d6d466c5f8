"""TIFF at full depth: 16 bits, floats, any number of bands, planes and channel pages, through tifffile."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from translate.images import exif, fax, pillow, segments, tags
from translate.images.picture import Decoded, Refused, full_scale, narrow

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION, ICC = 274, 34675
LAYOUT_TAGS = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
"""Without one of these that was there, the pixels would be taken for something else."""

OWN_BANDS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "SEPARATED": 4, "LINEAR_RAW": 1}
"""Bands that a kind of picture has by itself; those after them are alpha or further measurements. Other kinds
(palettes, YCbCr, Lab) are left to Pillow, which converts them and has them at 8 bits only."""

TO_8_BITS = {1: 255, 2: 85, 4: 17}
"""Factors from small integers to full scale. 9 to 15 bits stay as stored: their white is known from the data only."""


def decode(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """The first picture of a TIFF file. `ExtraSamples` decides whether a band is alpha.

    Raises:
        Refused: too large, truncated, or of a kind that has no place among 8-bit, 16-bit and float bands;
            tifffile's and Pillow's own errors on damage.
    """
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # silent, unless the program listens
    segments.check_directories(file)
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        pages, frames = _pages(tif)
        segments.check_pages(file, pages, max_pixels=max_pixels)
        _check_whole(tif, pages)
        kind = getattr(pages[0].photometric, "name", "")
        decoded = (
            _decode_bands(file, pages, kind)
            if kind in OWN_BANDS
            else _decode_by_pillow(file, kind, pages[0].bitspersample)
        )
        turned = 1 if kind in OWN_BANDS else pages[0].tags.valueof(ORIENTATION)  # by Pillow
    extras = tags.extras(file, orientation=turned if turned in range(2, 9) else 1)
    return replace(decoded, frames=frames, exif=exif.from_tiff(file), extras=extras)


def _pages(tif: TiffFile) -> tuple[list[TiffPage], int]:
    """The pages that make the first picture, and how many pictures there are.

    Pages are channels only where the file declares it, as ImageJ and OME do with an axis called C; else they
    are pages.

    Raises:
        Refused: the file names more pages than it has.
    """
    count = len(tif.pages)
    if tif.is_ome:
        segments.check_description(tif.pages.first.description)
    if count > 1 or tif.is_imagej or tif.is_ome:
        series = tif.series[0]
        planes = series.shape[:-2]
        if series.axes.endswith("YX") and "C" in series.axes:
            if len(series.pages) != np.prod(planes):
                raise Refused("the file is truncated: pages that its description names are missing")
            order = np.arange(len(series.pages)).reshape(planes)
            channels = order[tuple(slice(None) if axis == "C" else 0 for axis in series.axes[:-2])]
            pages = [page.aspage() for i in channels if (page := series.pages[int(i)]) is not None]
            if len(pages) < channels.size or any(page.parent is not tif for page in pages):
                raise Refused("some of its channels are missing, or in other files, which is not supported")
            return pages, order.size // channels.size
    return [tif.pages.first], count


def _check_whole(tif: TiffFile, pages: list[TiffPage]) -> None:
    """Check for damage that tifffile ignores.

    Raises:
        Refused: the chain of pages or a directory is cut off, or strips are missing, which would be black.
    """
    size = tif.filehandle.size
    whole = _directory(tif, tif.pages[len(tif.pages) - 1].offset)[1] == 0
    for page in pages:
        tags, following = _directory(tif, page.offset)
        lost = (tags & LAYOUT_TAGS) - {tag.code for tag in page.tags}
        strips = zip(page.dataoffsets, page.databytecounts, strict=True)
        whole &= following is not None and not lost
        whole &= all(0 < start < start + length <= size for start, length in strips)
    if not whole:
        raise Refused("the file is truncated, or parts of the picture are missing in it")


def _directory(tif: TiffFile, offset: int) -> tuple[set[int], int | None]:
    """Codes of the tags in a directory, and where the next one is: 0 for nowhere, None if it is cut off."""
    layout, file = tif.tiff, tif.filehandle
    file.seek(offset)
    (count,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    entries = file.read(count * layout.tagsize)
    link = file.read(layout.offsetsize)
    codes = {code for (code,) in struct.iter_unpack(f"{layout.byteorder}H{layout.tagsize - 2}x", entries)}
    return codes, struct.unpack(layout.offsetformat, link)[0] if len(link) == layout.offsetsize else None


def _decode_by_pillow(file: BinaryIO, kind: str, bits: int) -> Decoded:
    file.seek(0)
    with pillow.rules():
        try:
            image = Image.open(file, formats=("TIFF",))
        except UnidentifiedImageError:
            raise Refused(f"a TIFF of this kind ({kind or 'unknown colours'}, {bits} bits) is not supported") from None
        return pillow.from_image(image)


def _decode_bands(file: BinaryIO, pages: list[TiffPage], kind: str) -> Decoded:
    first = pages[0]
    if first.dtype is None or isinstance(first.bitspersample, tuple):
        raise Refused(f"a TIFF of {first.bitspersample} bits is not supported")
    bands = np.concatenate([_bands(page) for page in pages], axis=-1)  # [H, W, C]
    bits = first.bitspersample
    if first.compression in fax.COMPRESSIONS:
        fax.check(file, first, bands[..., 0])
    if kind == "MINISWHITE" and bands.dtype.kind in "ub":
        bands = (~bands if bands.dtype == np.bool_ else (2**bits - 1) - bands).astype(bands.dtype)
    if bits < 8 and bands.dtype == np.uint8:
        if bits not in TO_8_BITS:
            raise Refused(f"a TIFF of {bits} bits is not supported")
        bands = bands * np.uint8(TO_8_BITS[bits])
    pixels, alpha = _part_alpha(np.ascontiguousarray(narrow(bands)), first, OWN_BANDS[kind])
    return Decoded(
        pixels=pixels,
        format="TIFF",
        alpha=alpha,
        cmyk=kind == "SEPARATED" and pixels.shape[2] == 4,
        icc=icc if isinstance(icc := first.tags.valueof(ICC), bytes) else None,
        orientation=first.tags.valueof(ORIENTATION) or 1,
    )


def _bands(page: TiffPage) -> np.ndarray:
    """`[H, W, C]`, whether the file holds its bands interleaved or plane by plane."""
    array = page.asarray(squeeze=False, maxworkers=1)  # [planes, depth, H, W, interleaved]
    assert array.shape[1] == 1, "depth is checked before"
    return np.moveaxis(array[:, 0], 0, -1).reshape(*array.shape[2:4], -1)


def _part_alpha(bands: np.ndarray, page: TiffPage, own: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The bands without alpha, and the alpha, if a band beyond the `own` ones is declared to be it."""
    kinds = [int(kind) for kind in page.extrasamples]
    places = [bands.shape[2] - len(kinds) + i for i, kind in enumerate(kinds) if kind in (1, 2)]
    if not places or places[0] < own:
        return bands, None
    alpha = bands[..., places[0]].copy()
    pixels = np.delete(bands, places[0], axis=-1)
    multiplied = kinds[places[0] - bands.shape[2]] == 1
    return _unmultiplied(pixels, alpha) if multiplied else pixels, alpha


def _unmultiplied(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours of a file that stores them multiplied by alpha; black where alpha is 0."""
    white = full_scale(pixels)
    found = np.empty_like(pixels)
    for row, line in enumerate(pixels):  # as floats the whole would take eight times the room
        share = alpha[row, :, None].astype(np.float64) / white
        colours = np.divide(line, share, out=np.zeros(line.shape), where=share > 0)
        found[row] = colours if pixels.dtype == np.float32 else np.rint(np.minimum(colours, white))
    return found
