"""Icons of Windows and macOS, which hold whole files in other formats: these are read as such files are."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import BinaryIO

from PIL.IcnsImagePlugin import IcnsFile, read_png_or_jpeg2000
from PIL.IcoImagePlugin import IcoFile

from translate.images import jpeg2000, pillow, png
from translate.images.picture import Decoded, Refused, refuse_large, refuse_many

ICO, ICNS = b"\0\0\1\0", b"icns"
MAX_ICONS = 1_000


def decode_ico(file: BinaryIO, *, head: bytes, max_pixels: int) -> Decoded:
    """The picture of a Windows icon that Pillow chooses, the largest.

    Raises:
        Refused: too large, by the header of the picture inside, not the icon's; Pillow's errors on damage.
    """
    refuse_many(int.from_bytes(head[4:6], "little"), MAX_ICONS, "pictures")
    icon = IcoFile(file)
    if not icon.entry:
        raise Refused("an icon without a picture")
    file.seek(icon.entry[0].offset)
    start = file.read(24)
    if start.startswith(png.SIGNATURE):
        file.seek(icon.entry[0].offset)
        return replace(png.decode(io.BytesIO(file.read()), max_pixels=max_pixels), format="ICO")
    if len(start) < 16:
        raise Refused("the file is truncated")
    old = int.from_bytes(start[:4], "little") == 12  # OS/2
    width, height = struct.unpack_from("<HH" if old else "<ii", start, 4)
    refuse_large(abs(width), abs(height) // 2, max_pixels=max_pixels, pixel_bytes=8)  # twice as high, for the mask
    file.seek(0)
    return pillow.decode(file, head=head, max_pixels=max_pixels, formats=("ICO",))


def decode_icns(file: BinaryIO, *, head: bytes, max_pixels: int) -> Decoded:
    """The largest picture of a macOS icon.

    Raises:
        Refused: too large, by the header of the picture inside, not the icon's; Pillow's errors on damage.
    """
    icon = IcnsFile(file)
    for name, reader in icon.SIZES[icon.bestsize()]:
        if reader is not read_png_or_jpeg2000 or name not in icon.dct:
            continue
        place, length = icon.dct[name]
        file.seek(place)
        inner = io.BytesIO(file.read(length))
        start = inner.read(png.HEADER)
        inner.seek(0)
        if start.startswith(png.SIGNATURE):
            return replace(png.decode(inner, max_pixels=max_pixels), format="ICNS")
        if start.startswith(jpeg2000.MAGIC):
            return replace(jpeg2000.decode(inner, head=start, max_pixels=max_pixels), format="ICNS")
        raise Refused("an icon that holds neither PNG nor JPEG 2000 is not supported")
    file.seek(0)
    return pillow.decode(file, head=head, max_pixels=max_pixels, formats=("ICNS",))
