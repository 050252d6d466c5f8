"""The location of a GeoTIFF, which is carried over as long as it is true; and wrong tags, which stop nothing."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile

from translate.images import read, write
from translate.images.geo import KEYS, MATRIX, PIXEL_SCALE, TIE_POINTS, Location

GEO = {
    33550: (12, (2.0, 3.0, 0.0)),
    33922: (12, (1.0, 2.0, 0.0, 500000.0, 4100000.0, 0.0)),
    34735: (3, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32632)),
    34736: (12, (6378137.0, 298.257)),
    34737: (2, "WGS 84 / UTM zone 32N|"),
}


def geo_tags(path: Path) -> dict[int, object]:
    with tifffile.TiffFile(path) as tif:
        return {code: tif.pages.first.tags[code].value for code in GEO if code in tif.pages.first.tags}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_location_of_a_geotiff_comes_through(order: Literal["<", ">"], big: bool, tmp_path: Path) -> None:
    bands = np.random.default_rng(0).random((6, 7, 5), np.float32)
    tags = [(code, kind, 0 if kind == 2 else len(values), values, True) for code, (kind, values) in GEO.items()]
    tifffile.imwrite(
        tmp_path / "a.tif", bands, byteorder=order, bigtiff=big, photometric="minisblack", planarconfig="contig",
        extratags=[*tags, (42113, 2, 0, "-9999", True), (42112, 2, 0, "<GDALMetadata/>", True)],
    )  # fmt: skip
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, bands)
    write(tmp_path / "b.tif", picture.pixels, exif=picture.exif, extras=picture.extras)
    assert geo_tags(tmp_path / "b.tif") == geo_tags(tmp_path / "a.tif") == {k: v for k, (_, v) in GEO.items()}
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages.first.nodata == -9999
        assert 42112 not in tif.pages.first.tags
    assert picture.extras.left_out == ("GDAL's metadata left out: they describe the bands of the input",)
    assert picture.extras.turned(3).location is None


@pytest.mark.parametrize("middles", [False, True])
@pytest.mark.parametrize("way", ["scale", "matrix"])
def test_a_place_on_the_ground_stays_when_pixels_change(middles: bool, way: str) -> None:
    def ground(location: Location, column: float, row: float) -> np.ndarray:
        """Of a point counted in pixels from the corner, computed as the GeoTIFF standard says."""
        column, row = (column - 0.5, row - 0.5) if middles else (column, row)
        if way == "matrix":
            matrix = np.reshape(np.array(location.tags[MATRIX], float), (4, 4))
            return (matrix @ (column, row, 0, 1))[:2]
        i, j, _, east, north, _ = map(float, location.tags[TIE_POINTS])
        wide, high, *_ = map(float, location.tags[PIXEL_SCALE])
        return np.array([east + (column - i) * wide, north - (row - j) * high])

    keys = {KEYS: (1, 1, 0, 1, 1025, 0, 1, 2 if middles else 1)}
    places: dict[int, tuple[float | int, ...] | bytes] = {PIXEL_SCALE: (2.0, 3.0, 0.0)}
    places[TIE_POINTS] = (1.0, 2.0, 0.0, 500.0, 900.0, 0.0)
    if way == "matrix":
        places = {MATRIX: (2.0, 0.3, 0.0, 500.0, -0.2, -3.0, 0.0, 900.0, *(0.0,) * 4, 0.0, 0.0, 0.0, 1.0)}
    before = Location({**keys, **places})
    for x, y in ((4, 4), (Fraction(1, 3), Fraction(2, 5)), (2, Fraction(1, 2))):
        after = before.scaled(Fraction(x), Fraction(y))
        for column, row in ((0, 0), (10, 0), (0, 10), (3, 7)):
            np.testing.assert_allclose(
                ground(after, column * float(x), row * float(y)), ground(before, column, row), rtol=1e-12
            )


@pytest.mark.parametrize("code", [282, 296, 700, 33550, 33922, 34264, 34735, 34736, 34737, 42113])
@pytest.mark.parametrize("flaw", ["beyond the end", "no such type", "of nothing", "of very many"])
@pytest.mark.parametrize("big", [False, True])
def test_a_wrong_tag_of_a_tiff_does_not_stop_it(code: int, flaw: str, big: bool, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    tags = [(c, kind, 0 if kind == 2 else len(v), v, True) for c, (kind, v) in GEO.items()]
    tags += [(34264, 12, 16, (1.0,) * 16, True), (700, 1, 4, b"<x/>", True), (42113, 2, 0, "-9999", True)]
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    tifffile.imwrite(buffer, pixels, byteorder="<", bigtiff=big, resolution=(72, 72), extratags=tags)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        place = tif.pages.first.tags[code].offset
    number, size, offset = ("<Q", 8, 12) if big else ("<I", 4, 8)
    if flaw == "beyond the end":
        struct.pack_into(number, data, place + 4, 1000)
        struct.pack_into(number, data, place + offset, 2 ** (8 * size) - 2)
    elif flaw == "no such type":
        struct.pack_into("<H", data, place + 2, 99)
    else:
        struct.pack_into(number, data, place + 4, 0 if flaw == "of nothing" else 2 ** (8 * size) - 1)
    (tmp_path / "a.tif").write_bytes(data)
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels[..., 0], pixels)
    write(tmp_path / "b.tif", picture.pixels, exif=picture.exif, extras=picture.extras)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), pixels)
