"""What is not pixels never decides whether pixels are read; what cannot be read is called by its name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile_files import LONG, SHORT, bomb, by_pillow, chunk, header, page, png, tiff
from translate.images import FORMATS, ImageError, read

OTHERS = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"tIME", b"bKGD", b"hIST", b"sBIT"]
OTHERS += [b"sPLT", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"cICP", b"mDCV", b"caBX", b"prVt"]
PAYLOADS = {
    "wrong checksum": lambda name: chunk(name, b"abc", checksum=1),
    "junk": lambda name: chunk(name, b"\xff" * 50),
    "empty": lambda name: chunk(name, b""),
    "large": lambda name: chunk(name, b"workflow\0" + b"x" * 5_000_000),
    "large, deflated": lambda name: chunk(name, b"workflow\0\0" + bomb(2**27)),
}


def wrong(path: Path, data: bytes, expected: np.ndarray) -> str | None:
    path.write_bytes(data)
    try:
        found = read(path).pixels
    except ImageError as error:
        return str(error)
    return None if np.array_equal(found, expected) else "other pixels"


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("depth", [8, 16])
def test_png(depth: int, kind: str, tmp_path: Path) -> None:
    """A chunk of every other name, before the pixels and behind them."""
    lines = zlib.compress(b"".join(b"\0" + bytes([row * 9]) * (8 * depth // 8) for row in range(8)))
    pixels = chunk(b"IDAT", lines)
    expected = np.repeat(np.arange(8) * 9 * (257 if depth == 16 else 1), 8).reshape(8, 8, 1)
    start = header(8, 8, depth=depth)
    for name in OTHERS:
        other = PAYLOADS[kind](name)
        for chunks in ((other, pixels), (pixels, other)):
            assert wrong(tmp_path / "a.png", png(start, *chunks), expected) is None, name
    cut = png(start, pixels, other)[:-20]
    assert wrong(tmp_path / "a.png", cut, expected) is None


def test_png_with_damaged_pixels_or_transparency_is_refused(tmp_path: Path) -> None:
    lines = zlib.compress(bytes(72), 0)  # stored as it is
    clear = chunk(b"tRNS", b"\0\0", checksum=1)
    for chunks in ((clear, chunk(b"IDAT", lines)), (chunk(b"IDAT", lines[:40]),)):
        (tmp_path / "a.png").write_bytes(png(header(8, 8), *chunks))
        with pytest.raises(ImageError, match="damaged"):
            read(tmp_path / "a.png")


JUNK = [b"", b"\0\0\0", b"Exif\0\0II*\0" + b"\xff" * 40, b"Exif\0\0", b"ICC_PROFILE\0", b"ICC_PROFILE\0\1\1junk"]
JUNK += [
    b"MPF\0II*\0\xff\xff\xff\xff",
    b"Photoshop 3.0\08BIM\xff\xff",
    b"http://ns.adobe.com/xap/1.0/\0<junk",
    b"\xff" * 999,
]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(mode: str, tmp_path: Path) -> None:
    """Segments of applications, but Adobe's own, which says what the colours are, and comments."""
    data = by_pillow("JPEG", mode=mode)
    (tmp_path / "whole.jpg").write_bytes(data)
    expected = read(tmp_path / "whole.jpg").pixels
    for marker in [*range(0xE1, 0xEE), 0xEF, 0xFE]:
        for junk in JUNK:
            segment = struct.pack(">BBH", 0xFF, marker, len(junk) + 2) + junk
            assert wrong(tmp_path / "a.jpg", data[:2] + segment + data[2:], expected) is None, (hex(marker), junk)


TAGS = [254, 255, 269, 270, 271, 272, 282, 283, 285, 286, 287, 296, 297, 305, 306, 315, 316, 318, 319, 337, 342, 700]
TAGS += [33550, 33922, 34735, 34736, 34737, 33723, 34377, 34665, 34675, 34853, 37724, 40965, 42112, 42113, 50838, 65000]
VALUES: list[tuple[int, Any]] = [
    (2, b"\xff\xfejunk\0"),
    (7, b""),
    (7, b"\xff" * 40),
    (LONG, [2**32 - 1]),
    (SHORT, [65535] * 5),
    (12, [0.5] * 2),
]


@pytest.mark.parametrize("tag", TAGS)
def test_tiff(tag: int, tmp_path: Path) -> None:
    for kind, values in VALUES:
        tags = page(8, 8, length=64, compression=1) | {tag: (kind, values)}
        assert wrong(tmp_path / "a.tif", tiff([tags], bytes(64)), np.zeros((8, 8, 1))) is None, values


def with_inner(inner: int) -> bytes:
    """A small page, and within it one of another kind."""
    main = page(8, 8, length=64, compression=1) | {330: (LONG, [0])}
    data = bytearray(tiff([main, page(8, 8, length=64, compression=1, photometric=inner)], bytes(64)))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    link = first + 2 + 12 * count
    entry = next(p for p in range(first + 2, link, 12) if struct.unpack_from("<H", data, p)[0] == 330)
    data[entry + 8 : entry + 12], data[link : link + 4] = data[link : link + 4], bytes(4)
    return bytes(data)


RAW: dict[str, Callable[[], bytes]] = {
    "nef": lambda: with_inner(32803),
    "linear.dng": lambda: with_inner(34892),
    "dng": lambda: tiff([page(8, 8, length=64, compression=1) | {50706: (1, [1, 4, 0, 0])}], bytes(64)),
    "pef": lambda: tiff([page(8, 8, length=64, compression=1, photometric=32803)], bytes(64)),
    "cr2": lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(400),
    "cr3": lambda: b"\0\0\0\x18ftypcrx " + bytes(400),
    "raf": lambda: b"FUJIFILMCCD-RAW 0201" + bytes(400),
    "orf": lambda: b"IIRO\x08\0\0\0" + bytes(400),
    "rw2": lambda: b"IIU\0\x08\0\0\0" + bytes(400),
    "crw": lambda: b"II\x1a\0\0\0HEAPCCDR" + bytes(400),
    "x3f": lambda: b"FOVb" + bytes(400),
    "mrw": lambda: b"\0MRM" + bytes(400),
}


@pytest.mark.parametrize("name", RAW)
def test_camera_raw_is_named(name: str, tmp_path: Path) -> None:
    """Most begin as a TIFF file, whose first page is a preview."""
    path = tmp_path / f"a.{name}"
    path.write_bytes(RAW[name]())
    with pytest.raises(ImageError, match="camera raw is not read: develop it into PNG or TIFF first"):
        read(path)


UNLISTED = {
    *("BLP", "FTEX", "GBR", "IM", "IMT", "MCIDAS", "MSP", "PALM", "PIXAR", "XVTHUMB"),  # of one program or game each
    *("BUFR", "GRIB", "HDF5", "IPTC", "MPEG", "WMF", "EPS", "PDF"),  # no pictures, or drawn by another program
    *("DCX", "FITS", "FLI", "PCD", "SPIDER"),  # several pictures, or measurements, in one file
}
"""Formats that Pillow knows and whose files in a folder are not taken for pictures; named, most are read."""


def test_the_list_follows_from_what_the_libraries_read() -> None:
    """A format that a new version of Pillow reads is listed, or said here not to be."""
    Image.init()
    aliases = {"DIB": "BMP", "MPO": "JPEG"}
    known = {aliases.get(format, format) for format in Image.OPEN}
    assert known <= FORMATS.keys() | UNLISTED
    assert not UNLISTED & FORMATS.keys()
    suffixes = {suffix for suffix, format in Image.EXTENSION.items() if aliases.get(format, format) in FORMATS}
    listed = {suffix for entry in FORMATS.values() for suffix in entry.suffixes}
    assert suffixes <= listed
