"""A glance at a file tells what decoding it tells, or nothing."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from translate.images import ImageError, read
from translate.images.glance import Glance, glance, glance_hashed


def saved(mode: str, kind: str, **options: object) -> bytes:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, bands), dtype=np.uint8)
    file = io.BytesIO()
    Image.frombytes(mode, (9, 6), pixels.tobytes()).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


COMMENT = PngImagePlugin.PngInfo()
COMMENT.add_text("date:create", "x")
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Raw profile type exif", "x")
PLAIN = {
    "colour": saved("RGB", "JPEG"),
    "gray": saved("L", "JPEG"),
    "progressive": saved("RGB", "JPEG", progressive=True, dpi=(72, 72), comment=b"\xff\xd9"),
    "on its side": saved("RGB", "JPEG", exif=turned(6)),
    "upside down": saved("RGB", "JPEG", exif=turned(3)),
    "png": saved("RGB", "PNG", dpi=(72, 72)),
    "gray png": saved("L", "PNG", pnginfo=COMMENT),
}
OTHER = {
    "cmyk": saved("CMYK", "JPEG"),
    "alpha": saved("RGBA", "PNG"),
    "gray and alpha": saved("LA", "PNG"),
    "palette": saved("P", "PNG"),
    "transparent": saved("RGB", "PNG", transparency=(0, 0, 0)),
    "turned png": saved("RGB", "PNG", exif=turned(6)),
    "text": saved("RGB", "PNG", pnginfo=TEXT),
    "webp": saved("RGB", "WEBP"),
    "empty": b"",
    "no picture": b"\xff\xd8\xffno picture",
    "cut jpeg": PLAIN["colour"][:-2],
    "cut png": PLAIN["png"][:-20],
    "without an end": PLAIN["png"][:-12],
    "a bit is wrong": PLAIN["png"][:-30] + bytes([PLAIN["png"][-30] ^ 1]) + PLAIN["png"][-29:],
}


@pytest.mark.parametrize("name", PLAIN)
def test_it_tells_what_decoding_tells(name, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(PLAIN[name])
    found = glance_hashed(path)
    picture = read(path)
    assert found is not None
    assert found == (picture.pixels.shape, hashlib.sha256(PLAIN[name]).digest())
    assert (picture.pixels.dtype, picture.alpha, picture.frames) == (np.uint8, None, 1)


@pytest.mark.parametrize("name", OTHER)
def test_of_others_it_tells_nothing(name):
    assert glance(OTHER[name]) is None


def test_too_large_a_picture_and_no_file_are_left_to_the_reader(tmp_path):
    assert glance(PLAIN["png"], max_pixels=54) == Glance(6, 9, 3)
    assert glance(PLAIN["png"], max_pixels=53) is None
    assert glance(PLAIN["colour"], max_pixels=53) is None
    assert glance_hashed(tmp_path / "none") is None
    assert glance_hashed(tmp_path) is None


def broken_table() -> bytes:
    data = bytearray(PLAIN["colour"])
    place = data.index(b"\xff\xc4")
    data[place + 5 : place + 21] = b"\xff" * 16  # more codes than there are
    return bytes(data)


def broken_deflate() -> bytes:
    data = bytearray(PLAIN["png"])
    place = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, place - 4)
    data[place + 4 + 2] ^= 6  # the kind of the first block
    data[place + 4 + length : place + 8 + length] = struct.pack(">I", zlib.crc32(data[place : place + 4 + length]))
    return bytes(data)


@pytest.mark.parametrize("data", [broken_table(), broken_deflate()], ids=["jpeg", "png"])
def test_what_only_decoding_finds(data, tmp_path):
    (tmp_path / "a").write_bytes(data)
    assert glance(data) is not None
    with pytest.raises(ImageError, match="damaged"):
        read(tmp_path / "a")
