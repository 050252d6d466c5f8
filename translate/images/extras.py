"""Metadata of a file beside its pixels, profile and EXIF block, and which format can hold which.

None of it decides whether pixels are read: what is damaged, or longer than anybody writes, is left out with a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from translate.images import geo, xmp
from translate.images.formats import FORMATS
from translate.images.resolution import Resolution

MAX_TEXTS = 1000
MAX_TEXT_BYTES = 16 * 2**20  # of all texts of a file
JPEG_SEGMENT = 65_533  # bytes
JPEG_PROFILE = 255 * 65_519  # bytes

COMMENT = b"COM"  # a JPEG's; the other names of texts are those of PNG's chunks
TEXTS = {"PNG": (b"tEXt", b"zTXt", b"iTXt"), "JPEG": (COMMENT,)}
PHOTOSHOP_LEFT_OUT = "IPTC and Photoshop's fields left out: they are not carried over"
TEXTS_LEFT = "texts left out: there are more than are carried"


@dataclass(frozen=True)
class Extras:
    """What is carried over as far as the output can hold it."""

    resolution: Resolution | None = None
    xmp: bytes | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()  # name and bytes as stored, never inflated
    location: geo.Location | None = None
    no_data: str | None = None  # the value that means no data, as GDAL writes it
    left_out: tuple[str, ...] = ()  # what could not be taken out of the file, a sentence each

    @property
    def weight(self) -> int:
        """Bytes in memory, of what may be long."""
        return len(self.xmp or b"") + sum(len(text) for _, text in self.texts)

    def turned(self, orientation: int) -> Extras:
        """Of a picture that was stored with EXIF's `orientation`, and has been turned upright."""
        if orientation == 1:
            return self
        extras = self.without_location("the picture is turned upright")
        if orientation < 5:
            return extras
        return replace(
            extras,
            resolution=self.resolution and Resolution(self.resolution.y, self.resolution.x),
            xmp=self.xmp and xmp.turned(self.xmp),
        )

    def scaled(self, x: Fraction, y: Fraction) -> Extras:
        """Of a picture that has `x` and `y` times the pixels: the size on paper and on the ground stays."""
        if x == y == 1:
            return self
        return replace(
            self,
            resolution=self.resolution and self.resolution.scaled(x, y),
            xmp=self.xmp and xmp.scaled(self.xmp, x, y),
            location=self.location and self.location.scaled(x, y),
        )

    def without_location(self, reason: str) -> Extras:
        """Without what would no longer be true of the pixels."""
        if self.location is None:
            return self
        return replace(self, location=None, left_out=(*self.left_out, f"location (GeoTIFF) left out: {reason}"))

    def held(self, format: str) -> Extras:
        """What of it a format can hold."""
        entry = FORMATS[format]
        fits = format != "JPEG" or len(xmp.JPEG_NAME) + len(self.xmp or b"") <= JPEG_SEGMENT
        return Extras(
            resolution=self.resolution if entry.resolution else None,
            xmp=self.xmp if entry.metadata and fits else None,
            texts=tuple(text for text in self.texts if text[0] in TEXTS.get(format, ())),
            location=self.location if format == "TIFF" else None,
            no_data=self.no_data if format == "TIFF" else None,
        )


NOTHING = Extras()


def bounded(texts: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...] | None:
    """The texts of a file; None if they are more, or longer, than are carried."""
    long = sum(len(text) for _, text in texts) > MAX_TEXT_BYTES
    return None if long or len(texts) > MAX_TEXTS else tuple(texts)


def left_out(extras: Extras, *, icc: bytes | None, exif: bytes | None, format: str) -> list[str]:
    """A sentence for each kind of metadata that a file of this format will not have."""
    notes = list(extras.left_out)
    if (exif or icc) and not FORMATS[format].metadata:
        notes.append(f"EXIF and colour profile left out: {format} cannot hold them (colours are sRGB)")
    fitting_icc, fitting_exif = fitting(icc, exif, format=format)
    if FORMATS[format].metadata and exif and not fitting_exif:
        notes.append(f"EXIF left out: too long for {format}")
    if FORMATS[format].metadata and icc and not fitting_icc:
        notes.append(f"colour profile left out: too long for {format} (colours are sRGB)")
    held = extras.held(format)
    if extras.resolution and not held.resolution:
        notes.append(f"resolution (dots per inch) left out: {format} cannot hold it")
    if extras.xmp and not held.xmp:
        notes.append(f"XMP left out: {'too long for JPEG' if format == 'JPEG' else f'{format} cannot hold it'}")
    if lost := {name for name, _ in extras.texts} - {name for name, _ in held.texts}:
        notes.append(f"{'comments' if COMMENT in lost else 'texts of PNG'} left out: {format} cannot hold them")
    if extras.location and not held.location:
        notes.append(f"location (GeoTIFF) left out: {format} cannot hold it")
    if extras.no_data and not held.no_data:
        notes.append(f"GDAL's no-data value left out: {format} cannot hold it")
    return notes


def fitting(icc: bytes | None, exif: bytes | None, *, format: str) -> tuple[bytes | None, bytes | None]:
    """Profile and EXIF block without what is too long for a format that has a place for them."""
    if not FORMATS[format].metadata:
        return None, None
    if format == "JPEG":
        icc = icc if len(icc or b"") <= JPEG_PROFILE else None
        exif = exif if len(exif or b"") <= JPEG_SEGMENT else None
    return icc, exif
