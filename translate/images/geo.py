"""Where on the earth a GeoTIFF lies: its tags, and what they become when the number of pixels changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

PIXEL_SCALE, TIE_POINTS, MATRIX = 33550, 33922, 34264
KEYS, NUMBERS, TEXTS = 34735, 34736, 34737
DOUBLE, SHORT, TEXT = 12, 3, 2  # types of tags
KINDS = {PIXEL_SCALE: DOUBLE, TIE_POINTS: DOUBLE, MATRIX: DOUBLE, KEYS: SHORT, NUMBERS: DOUBLE, TEXTS: TEXT}
LONGEST = 2**20  # bytes of a tag
RASTER_TYPE, POINT = 1025, 2  # the key of how pixels are placed, and its value for their centres

BANDS, NO_DATA = 42112, 42113
"""GDAL's own tags: XML about the bands of a file, and the value that is no data."""


@dataclass(frozen=True)
class Location:
    """The tags of a GeoTIFF that place its pixels."""

    tags: dict[int, tuple[float | int, ...] | bytes] = field(default_factory=dict)  # numbers, or a text with its zero

    def scaled(self, x: Fraction, y: Fraction) -> Location:
        """Of a picture that has `x` and `y` times the pixels on the same ground.

        Positions in the picture are counted from the corner of the first pixel, or if a key is set from its centre,
        which is elsewhere once pixels have another size.
        """
        if x == y == 1:
            return self
        middle = 0.5 if self._counts_from_middles() else 0.0
        tags = dict(self.tags)
        if scale := self._numbers(PIXEL_SCALE):
            tags[PIXEL_SCALE] = (scale[0] / float(x), scale[1] / float(y), *scale[2:])
        if points := self._numbers(TIE_POINTS):
            moved = list(points)
            moved[0::6] = [(place + middle) * float(x) - middle for place in points[0::6]]
            moved[1::6] = [(place + middle) * float(y) - middle for place in points[1::6]]
            tags[TIE_POINTS] = tuple(moved)
        if matrix := self._numbers(MATRIX):
            rows = list(matrix)
            shift = middle / float(x) - middle, middle / float(y) - middle
            for row in (0, 4, 8):
                a, b = rows[row : row + 2]
                rows[row : row + 2] = a / float(x), b / float(y)
                rows[row + 3] += a * shift[0] + b * shift[1]
            tags[MATRIX] = tuple(rows)
        return Location(tags)

    def _numbers(self, tag: int) -> tuple[float, ...]:
        values = self.tags.get(tag, ())
        return () if isinstance(values, bytes) else values

    def _counts_from_middles(self) -> bool:
        keys = self._numbers(KEYS)
        entries = zip(keys[4::4], keys[5::4], keys[6::4], keys[7::4], strict=False)
        return (RASTER_TYPE, 0, 1, POINT) in entries
