"""Dots per inch, in the units of each format: the size of a picture on paper."""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

DOTS_PER_METRE = Fraction(10_000, 254)  # of one dot per inch
ROUNDING = Fraction(127, 10_000)  # dots per inch: half a dot per metre, which is the step of PNG and BMP
HIGHEST = 1_000_000  # dots per inch
DENOMINATOR = 1000  # the largest, so that numerators fit 32 bits


class Resolution(NamedTuple):
    """Dots per inch, each above 0 and at most `HIGHEST`."""

    x: Fraction  # along a row
    y: Fraction

    def scaled(self, x: Fraction, y: Fraction) -> Resolution | None:
        """Of a picture that has `x` and `y` times the pixels on the same paper."""
        return make(self.x * x, self.y * y)

    def rounds_to(self, other: Resolution) -> bool:
        """Whether `other` is the same in whole numbers."""
        return all(abs(mine - theirs) <= Fraction(1, 2) for mine, theirs in zip(self, other, strict=True))

    def per_metre(self) -> tuple[int, int]:
        """Whole dots per metre, at least 1."""
        x, y = (max(round(value * DOTS_PER_METRE), 1) for value in self)
        return x, y


@lru_cache(maxsize=64)  # fractions are slow, and the pictures of a folder mostly have the same
def make(x: Fraction | float, y: Fraction | float) -> Resolution | None:
    """Dots per inch, or None if unknown. A value that a metric format has rounded becomes the whole number again."""
    found = []
    for value in (x, y):
        if not 0 < value <= HIGHEST:  # NaN neither
            return None
        exact = Fraction(value)
        near = round(exact)
        whole = near > 0 and abs(exact - near) < ROUNDING
        found.append(Fraction(near) if whole else exact.limit_denominator(DENOMINATOR))
    return Resolution(*found) if all(found) else None


def from_metric(x: int, y: int, *, metre: int = 1) -> Resolution | None:
    """`x` and `y` dots on a metre, or on a part of it."""
    return make(*(dots * metre / DOTS_PER_METRE for dots in (x, y)))


def from_jfif(segment: bytes) -> Resolution | None:
    """The resolution in a JFIF segment: a unit and whole dots per inch or centimetre; None if there is none."""
    if len(segment) < 12:
        return None
    unit, x, y = struct.unpack_from(">BHH", segment, 7)
    return make(x, y) if unit == 1 else from_metric(x, y, metre=100) if unit == 2 else None


def into_jfif(data: bytes, resolution: Resolution) -> bytes:
    """A JPEG file that begins with a JFIF segment, with whole dots per inch in it if they are no more than it holds."""
    x, y = (round(value) for value in resolution)
    return data[:13] + struct.pack(">BHH", 1, x, y) + data[18:] if min(x, y) > 0 and max(x, y) < 2**16 else data
