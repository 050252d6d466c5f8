"""JPEG XL as the library that decodes it has it, and what its header says that the library does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from translate.images import ImageError, jxl, read

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.skipif(not jxl.available(), reason="imagecodecs is built without JPEG XL")


def encoded(pixels: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, **options))


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_values_come_back(channels: int, dtype: str, container: bool, tmp_path: Path) -> None:
    values = RNG.random((13, 29, channels), np.float32)
    pixels = values.astype(dtype) if dtype.startswith("float") else (values * np.iinfo(dtype).max).astype(dtype)
    path = tmp_path / "a.jxl"
    path.write_bytes(encoded(pixels if channels > 1 else pixels[..., 0], lossless=True, usecontainer=container))
    picture = read(path)
    expected = pixels.astype(np.float32) if dtype == "float16" else pixels
    found = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    np.testing.assert_array_equal(found, expected)
    assert picture.format == "JXL"
    assert (picture.alpha is not None) == (channels in (2, 4))


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (1, 1), (7, 300), (600, 9), (2000, 10), (40, 30), (256, 256)])
def test_sizes_are_those_of_the_header(size: tuple[int, int]) -> None:
    """However the header writes them: by eighths, by ratio, in 9, 13 or 18 bits."""
    for effort, lossless in ((1, True), (3, False)):
        data = encoded(np.zeros((*size, 3), np.uint8), effort=effort, lossless=lossless)
        found = jxl.check(data, max_pixels=10**6)
        assert (found.height, found.width) == size
        assert found.problem is None


def test_lossy_looks_the_same(photo: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(encoded(photo, level=95))
    assert np.abs(read(path).pixels.astype(int) - photo).mean() < 3


def header(*fields: tuple[int, int]) -> bytes:
    """Values and their widths in bits, the lowest bit of each byte first."""
    bits = place = 0
    for value, width in fields:
        bits |= value << place
        place += width
    return b"\xff\x0a" + bits.to_bytes(64, "little")


SMALL = ((1, 1), (0, 5), (1, 3))  # 8x8, by eighths and the ratio 1:1
PLAIN = (*SMALL, (0, 1), (0, 1), (0, 1), (0, 2), (1, 1), (0, 2), (0, 1))  # 8 bits, no further channels, no XYB
RGB, D65 = (0, 2), (1, 2)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (((1, 1),), None),
        (((0, 1), (1, 1)), "a colour profile"),
        (((0, 1), (0, 1), (3, 2), (0, 6)), "an unknown colour space"),
        (((0, 1), (0, 1), RGB, (2, 2), (9, 4)), "another white than sRGB's"),
        (((0, 1), (0, 1), RGB, D65, (2, 2), (9, 4)), "other primaries than sRGB's"),
        (((0, 1), (0, 1), RGB, D65, (1, 2), (1, 1)), "another curve than sRGB's"),
        (((0, 1), (0, 1), RGB, D65, (1, 2), (0, 1), (2, 2), (14, 4)), "another curve than sRGB's"),
    ],
)
def test_colours_that_the_library_does_not_tell_are_refused(
    fields: tuple[tuple[int, int], ...], problem: str | None, tmp_path: Path
) -> None:
    data = header(*PLAIN, *fields)
    assert jxl.check(data, max_pixels=100).problem == problem
    (tmp_path / "a.jxl").write_bytes(data)
    with pytest.raises(ImageError, match=f"JPEG XL with {problem} is not supported" if problem else "damaged"):
        read(tmp_path / "a.jxl")


def test_further_channels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(encoded(np.zeros((5, 8, 8), np.uint8), planar=True, photometric="GRAY"))
    with pytest.raises(ImageError, match="channels beyond colour and alpha"):
        read(tmp_path / "a.jxl")


def test_damage_is_refused(photo: np.ndarray, tmp_path: Path) -> None:
    data, path = encoded(photo, lossless=True), tmp_path / "a.jxl"
    for length in (3, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match="truncated"):
            read(path)
