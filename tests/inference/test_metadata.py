"""What a conversion carries over beside pixels, and what it says that it left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from translate.images import ImageSpec
from translate.inference.translator import Translator

Make = Callable[..., Any]
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
PLACE = (PIXEL_SCALE, TIE_POINT, KEYS) = 33550, 33922, 34735
GEO = [
    (PIXEL_SCALE, 12, 3, (4.0, 4.0, 0.0), True),
    (TIE_POINT, 12, 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), True),
    (KEYS, 3, 8, (1, 1, 0, 1, 1025, 0, 1, 1), True),
    (42113, 2, 0, "0", True),
    (42112, 2, 0, "<GDALMetadata/>", True),
]


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A PNG of 16x8 with a resolution, a text, XMP and EXIF."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode())
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.new("RGB", (16, 8), "red").save(tmp_path / "a.png", dpi=(300, 300), pnginfo=info, exif=exif)
    return tmp_path / "a.png"


@pytest.fixture
def map_(tmp_path: Path) -> Path:
    pixels = np.full((8, 16, 3), 9, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=GEO, resolution=(72, 72))
    return tmp_path / "a.tif"


def tags(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as tif:
        return {tag.code: tag.value for tag in tif.pages.first.tags}


EVERYTHING = {
    "png": set(),
    "jpg": {"texts of PNG left out: JPEG cannot hold them"},
    "tif": {"texts of PNG left out: TIFF cannot hold them"},
    "webp": {"texts of PNG left out: WEBP cannot hold them"},
    "avif": {"texts of PNG left out: AVIF cannot hold them"},
    "bmp": {
        "texts of PNG left out: BMP cannot hold them",
        "XMP left out: BMP cannot hold it",
        "EXIF and colour profile left out: BMP cannot hold them (colours are sRGB)",
    },
    "jp2": {
        "texts of PNG left out: JPEG2000 cannot hold them",
        "XMP left out: JPEG2000 cannot hold it",
        "EXIF and colour profile left out: JPEG2000 cannot hold them (colours are sRGB)",
    },
    "tga": {
        "texts of PNG left out: TGA cannot hold them",
        "XMP left out: TGA cannot hold it",
        "EXIF and colour profile left out: TGA cannot hold them (colours are sRGB)",
        "resolution (dots per inch) left out: TGA cannot hold it",
    },
}


@pytest.mark.parametrize("suffix", EVERYTHING)
def test_each_kind_is_carried_or_named(suffix: str, inverter: Make, tagged: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(tagged.read_bytes())
    report = Translator(inverter()).convert(tmp_path / "in", tmp_path / "out", format=suffix)
    assert {(note.text, note.count, note.first) for note in report.notes} == {
        (text, 2, "a.png") for text in EVERYTHING[suffix]
    }
    data = (tmp_path / "out" / f"b.{suffix}").read_bytes()
    held = suffix in ("png", "jpg", "tif", "webp", "avif")
    assert (PACKET in data, b"Maker" in data) == (held, held)
    assert (b"somebody" in data) == (suffix == "png")
    Translator(inverter()).convert(tagged, tmp_path / f"bare.{suffix}", keep_metadata=False)
    bare = (tmp_path / f"bare.{suffix}").read_bytes()
    assert not any(text in bare for text in (PACKET, b"Maker", b"somebody", b"pHYs"))
    if suffix == "bmp":
        assert bare[38:46] == bytes(8), "no resolution is made up"
    silent = Translator(inverter()).convert(tagged, tmp_path / f"silent.{suffix}", keep_metadata=False, overwrite=True)
    assert silent.notes == ()


def test_the_size_on_paper_stays(inverter: Make, tagged: Path, tmp_path: Path) -> None:
    Translator(inverter(scale=2)).convert(tagged, tmp_path / "twice.png")
    Translator(inverter()).convert(tagged, tmp_path / "less.tif", resize=5)
    Translator(inverter()).convert(tagged, tmp_path / "less.jpg", resize=5)
    with Image.open(tmp_path / "twice.png") as image:
        assert image.size == (32, 16)
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.02)
    for suffix in ("tif", "jpg"):
        with Image.open(tmp_path / f"less.{suffix}") as image:
            assert image.size == (10, 5)
            exact = float(image.getexif()[282]), float(image.getexif()[283])
            assert exact == (300 * 10 / 16, 300 * 5 / 8)
    with Image.open(tmp_path / "less.jpg") as image:
        assert image.info["dpi"] == (188, 188), "whole numbers are all that this field holds"


@pytest.mark.parametrize(("scale", "resize"), [(1, None), (2, None), (1, 4)])
def test_the_place_on_the_ground_stays(
    scale: int, resize: int | None, inverter: Make, map_: Path, tmp_path: Path
) -> None:
    report = Translator(inverter(scale=scale)).convert(map_, tmp_path / "b.tif", resize=resize)
    found = tags(tmp_path / "b.tif")
    factor = 0.5 if resize else scale
    assert found[PIXEL_SCALE] == (4 / factor, 4 / factor, 0)
    assert (found[TIE_POINT], found[KEYS]) == (GEO[1][3], GEO[2][3])
    assert found[282] == (72 * factor, 1)
    assert not {42112, 42113} & found.keys()
    assert sorted(note.text for note in report.notes) == [
        "GDAL's metadata left out: they describe the bands of the input",
        "GDAL's no-data value left out: the outputs have a value everywhere",
    ]


def test_no_data_is_that_of_the_output(inverter: Make, card: Make, map_: Path, tmp_path: Path) -> None:
    target = ImageSpec(channels=3, dtype="uint8", high=255, nodata=7)
    Translator(inverter(card=card(target=target))).convert(map_, tmp_path / "b.tif")
    assert tags(tmp_path / "b.tif")[42113] == "7"


def test_where_the_place_is_left_out_it_is_noted(inverter: Make, map_: Path, tmp_path: Path) -> None:
    report = Translator(inverter()).convert(map_, tmp_path / "b.png")
    assert "location (GeoTIFF) left out: PNG cannot hold it" in [note.text for note in report.notes]
    tifffile.imwrite(
        tmp_path / "c.tif", np.zeros((8, 4, 3), np.uint8), photometric="rgb", extratags=[*GEO, (274, 3, 1, 6, True)]
    )
    report = Translator(inverter()).convert(tmp_path / "c.tif", tmp_path / "d.tif")
    assert "location (GeoTIFF) left out: the picture is turned upright" in [note.text for note in report.notes]
    assert not set(PLACE) & tags(tmp_path / "d.tif").keys()


def test_what_is_too_long_for_jpeg_is_left_out_and_the_picture_made(inverter: Make, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode() + " " * 70_000)
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    Image.new("RGB", (16, 8), "red").save(tmp_path / "a.png", pnginfo=info, exif=exif)
    report = Translator(inverter()).convert(tmp_path / "a.png", tmp_path / "b.jpg")
    assert (report.converted, report.failed) == (1, 0)
    assert [note.text for note in report.notes] == [
        "EXIF left out: too long for JPEG",
        "XMP left out: too long for JPEG",
    ]
