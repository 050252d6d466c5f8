"""Radiance HDR, which Pillow does not know."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from translate.images.picture import Decoded, Refused, read_whole, refuse_large

MAGIC = (b"#?RADIANCE", b"#?RGBE")
SIZE = re.compile(rb"#\?[^\n]*\n(?:[^\n]+\n)*\n-Y (\d{1,9}) \+X (\d{1,9})\n")
"""The size is what follows the first empty line; other lines that look like one are passed over."""


def decode(file: BinaryIO, *, max_pixels: int) -> Decoded:
    """Radiance HDR: float32 colour in linear light, as stored.

    Raises:
        Refused: too large, or with an unusual orientation; imagecodecs' own errors on damage.
    """
    import imagecodecs

    data = read_whole(file, max_pixels=max_pixels)
    size = SIZE.match(data)
    if size is None:
        raise Refused("an HDR file without a size, or turned in a way that is not supported")
    height, width = int(size[1]), int(size[2])
    refuse_large(width, height, max_pixels=max_pixels, pixel_bytes=12)
    room = np.empty((height, width, 3), np.float32)  # of any other size the decoder refuses to decode
    return Decoded(pixels=imagecodecs.rgbe_decode(data, out=room), format="HDR")
