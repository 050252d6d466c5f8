"""The EXIF block that is carried over: everything but the orientation and the thumbnail."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from translate.images import read, write
from translate.images.exif import clean

MAKE, ORIENTATION, EXIF_IFD, GPS_IFD, EXPOSURE = 271, 274, 0x8769, 0x8825, 0x829A


def block(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[MAKE] = "Caméra".encode("latin-1")  # as cameras do, whatever the standard says
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD)[EXPOSURE] = 0.25
    exif.get_ifd(GPS_IFD)[1] = "N"
    return exif.tobytes()


def parsed(data: bytes | None) -> Image.Exif:
    assert data is not None
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_it_comes_through(suffix: str, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "in.jpg", exif=block())
    picture = read(tmp_path / "in.jpg")
    assert picture.pixels.shape == (32, 24, 3)
    write(tmp_path / f"out{suffix}", picture.pixels, exif=picture.exif)
    again = read(tmp_path / f"out{suffix}")
    assert again.pixels.shape == (32, 24, 3)
    for data in (picture.exif, again.exif):
        exif = parsed(data)
        assert exif.get(ORIENTATION, 1) == 1
        if suffix != ".avif":  # Pillow writes the block anew, in ASCII
            assert exif[MAKE] == "Caméra"
        assert exif.get_ifd(EXIF_IFD)[EXPOSURE] == 0.25
        assert exif.get_ifd(GPS_IFD)[1] == "N"


def test_at_full_depth(deep: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "a.png", deep, exif=block())
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, np.rot90(deep, -1))
    write(tmp_path / "a.tif", picture.pixels, exif=picture.exif)
    again = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    for data in (picture.exif, again.exif):
        assert parsed(data)[MAKE] == "Caméra"
        assert parsed(data).get_ifd(EXIF_IFD)[EXPOSURE] == 0.25


def test_the_layout_of_a_tiff_is_not_taken_for_metadata(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 4, 5), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    assert "ImageJ" not in str(read(tmp_path / "a.tif").exif)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_is_blanked(order: str) -> None:
    thumbnail = b"\xff\xd8 the untranslated picture \xff\xd9"
    first, second = 8, 8 + 2 + 12 + 4
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    data += struct.pack(order + "HHHIHxxI", 1, ORIENTATION, 3, 1, 8, second)
    start = second + 2 + 24 + 4
    data += struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, len(thumbnail), 0)
    orientation, cleaned = clean(data + thumbnail)
    assert orientation == 8
    assert cleaned is not None
    assert b"untranslated" not in cleaned
    assert parsed(cleaned)[ORIENTATION] == 1
    _, cleaned = clean(data + thumbnail + b" makers' notes")
    assert cleaned is not None
    assert b"untranslated" not in cleaned
    assert cleaned.endswith(b" makers' notes")


@pytest.mark.parametrize("data", [b"", b"II*\0", b"nonsense", b"Exif\0\0MM\0*\0\0\0\xff", None])
def test_a_broken_block_is_left_out(data: bytes | None) -> None:
    assert clean(data) == (1, None)


def test_a_broken_block_does_not_stop_a_picture(photo: np.ndarray, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG", exif=b"Exif\0\0nonsense")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, photo)
    assert picture.exif is None
