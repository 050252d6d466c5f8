"""Tags of a TIFF file that are kept: resolution, XMP and the position on the earth."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from translate.images import exif, geo, xmp
from translate.images.directories import Directories, Tag
from translate.images.extras import PHOTOSHOP_LEFT_OUT, Extras
from translate.images.picture import Refused

XMP = 700
BYTE = 1  # a type of tags
IPTC, PHOTOSHOP = 33723, 34377
LONGEST_TEXT = 64  # bytes of a value that means no data


def extras(file: BinaryIO, *, orientation: int = 1) -> Extras:
    """The metadata of the first directory; `orientation` is the one that pixels have been turned by already.

    A directory that is cut off is reported in a sentence.
    """
    try:
        directories = Directories(file)
        tags, _ = directories.read(directories.first)
        return _extras(directories, tags).turned(orientation)
    except (struct.error, Refused):
        return Extras(left_out=("metadata left out: they are damaged",))


def written(extras: Extras) -> list[tuple[int, int, int, Any, bool]]:
    """The tags of a new file, as tifffile takes them."""
    tags: list[tuple[int, int, int, Any, bool]] = []
    if extras.xmp:
        tags.append((XMP, BYTE, len(extras.xmp), extras.xmp, True))
    for tag, values in (extras.location.tags if extras.location else {}).items():
        tags.append((tag, geo.KINDS[tag], len(values), values, True))
    if extras.no_data:
        text = extras.no_data.encode("ascii", "replace") + b"\0"
        tags.append((geo.NO_DATA, geo.TEXT, len(text), text, True))
    return tags


def _extras(directories: Directories, tags: dict[int, Tag]) -> Extras:
    left_out = []
    location, problem = _location(directories, tags)
    if problem:
        left_out.append(problem)
    packet = None
    if XMP in tags:
        raw = directories.raw(tags[XMP], longest=xmp.LONGEST)
        packet = xmp.clean(raw) if raw else None
        if packet is None:
            left_out.append(xmp.LEFT_OUT)
    if geo.BANDS in tags:
        left_out.append("GDAL's metadata left out: they describe the bands of the input")
    if IPTC in tags or PHOTOSHOP in tags:
        left_out.append(PHOTOSHOP_LEFT_OUT)
    no_data = directories.raw(tags[geo.NO_DATA], longest=LONGEST_TEXT) if geo.NO_DATA in tags else None
    return Extras(
        resolution=exif.resolution_of(directories, tags),
        xmp=packet,
        location=location,
        no_data=no_data.strip(b"\0 ").decode("ascii", "replace") or None if no_data else None,
        left_out=tuple(left_out),
    )


def _location(directories: Directories, tags: dict[int, Tag]) -> tuple[geo.Location | None, str | None]:
    """The geographic tags of a TIFF directory, and a sentence for each that is left out.

    Raises:
        struct.error: it is cut off.
    """
    found: dict[int, tuple[float | int, ...] | bytes] = {}
    for tag in geo.KINDS.keys() & tags.keys():
        raw = directories.raw(tags[tag], longest=geo.LONGEST) if tags[tag].kind == geo.KINDS[tag] else None
        if not raw or (geo.KINDS[tag] == geo.DOUBLE and not _fits(tag, len(raw) // 8)):
            return None, "location (GeoTIFF) left out: it is damaged or too long"
        form = {geo.DOUBLE: "d", geo.SHORT: "H"}.get(geo.KINDS[tag])
        found[tag] = struct.unpack(f"{directories.order}{tags[tag].values}{form}", raw) if form else raw
    return (geo.Location(found) if found else None), None


def _fits(tag: int, count: int) -> bool:
    """Whether a tag may have so many numbers."""
    return {geo.PIXEL_SCALE: count in (2, 3), geo.TIE_POINTS: count % 6 == 0, geo.MATRIX: count == 16}.get(tag, True)
