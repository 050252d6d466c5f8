"""Fax compressions of TIFF, whose decoders return white for damaged data without an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from translate.images.picture import Refused

if TYPE_CHECKING:
    from tifffile import TiffPage

COMPRESSIONS = RLE, GROUP3, GROUP4 = 2, 3, 4
END_OF_LINE = bytes(11) + b"\1"  # one byte a bit; no run is written so
UNCHANGED = b"\1"  # in group 4, a line like the one above


def check(file: BinaryIO, page: TiffPage, lines: np.ndarray) -> None:
    """Whether the lines `[H, W]` that were decoded, 0 for white, are as many as the file holds.

    Raises:
        Refused: the lines end before the picture does, and the rest would be white.
    """
    if page.is_tiled:
        return
    misses = {RLE: _misses_repeats, GROUP3: _misses_ends, GROUP4: _misses_white}[int(page.compression)]
    for index, (place, length) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        file.seek(place)
        data = np.frombuffer(file.read(length), np.uint8)
        bits = np.unpackbits(data, bitorder="little" if page.fillorder == 2 else "big").tobytes()
        part = lines[index * page.rowsperstrip :][: page.rowsperstrip]
        if misses(bits, part):
            raise Refused("damaged: its fax data end before the picture does, and the rest would be white")


def _misses_repeats(bits: bytes, lines: np.ndarray) -> bool:
    """Run lengths: whether the white lines at the end are not what the data end with, the same bytes for each."""
    white = _white_lines(lines)
    if white < 2:
        return False
    end = bits[: len(bits) - (16 if bits.endswith(bytes(16)) else 0)]
    codes = (end[-length:] for length in range(8, 129, 8))
    return not any(len(set(code)) == 2 and end.endswith(code * white) for code in codes)


def _misses_ends(bits: bytes, lines: np.ndarray) -> bool:
    """Group 3: whether ends of lines are marked, as the format asks, but not of all."""
    return bits.count(END_OF_LINE) < len(lines) - 1


def _misses_white(bits: bytes, lines: np.ndarray) -> bool:
    """Group 4: whether the white lines at the end are not what the data end with."""
    end = bits.rstrip(b"\0")
    for _ in range(2):
        end = end.removesuffix(END_OF_LINE)
    return not end.endswith(UNCHANGED * (_white_lines(lines) - 1))


def _white_lines(lines: np.ndarray) -> int:
    """How many at the end have no ink."""
    inked = np.flatnonzero(lines.any(1))
    return len(lines) - (int(inked[-1]) + 1 if inked.size else 0)
