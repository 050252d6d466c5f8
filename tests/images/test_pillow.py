"""What Pillow leaves to its callers: palettes, transparency, animations, foreign modes, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.images import ImageError, from_pil, read


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode(mode: str, photo: np.ndarray) -> None:
    image = Image.fromarray(photo).convert(mode)
    picture = from_pil(image, name="x")
    channels = 1 if mode in ("1", "L", "LA") else 3
    expected = np.array(image.convert("RGB" if channels == 3 else "L")).reshape(24, 32, channels)
    assert np.abs(picture.pixels.astype(int) - expected).max() <= 1
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    assert (picture.palette is not None) == (mode == "P")


def test_wide_integers_are_16_bits_where_they_fit() -> None:
    wide = Image.fromarray(np.array([[0, 65535], [7, 300]], np.int32))
    assert from_pil(wide, name="x").pixels.dtype == np.uint16
    wider = Image.fromarray(np.array([[0, 65536], [7, -300]], np.int32))
    assert from_pil(wider, name="x").pixels.tolist() == [[[0.0], [65536.0]], [[7.0], [-300.0]]]


@pytest.mark.parametrize("transparency", [3, bytes([255, 128, 0, 7])])
def test_palette_with_transparent_entries(transparency: Any, photo: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(photo).quantize(16)
    image.save(tmp_path / "a.png", transparency=transparency)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.array(opened.convert("RGBA"))
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, expected[..., :3])
    np.testing.assert_array_equal(picture.alpha, expected[..., 3])
    assert 0 in expected[..., 3]


def test_colour_with_one_transparent_colour(photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png", transparency=(200, 30, 90))
    picture = read(tmp_path / "a.png")
    expected = np.full((24, 32), 255)
    expected[6:12, 8:20] = 0
    np.testing.assert_array_equal(picture.alpha, expected)
    np.testing.assert_array_equal(picture.pixels, photo)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first(format: str, photo: np.ndarray, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(photo, 5 * i, 0)) for i in range(3)]
    path = tmp_path / "a"
    frames[0].save(path, format, save_all=True, append_images=frames[1:], lossless=True)
    picture = read(path)
    assert picture.frames == 3
    assert picture.format == format
    tolerance = 60 if format == "GIF" else 0  # 256 colours
    assert np.abs(picture.pixels.astype(int) - photo).max() <= tolerance


def test_the_name_says_nothing(photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "a.jpg", "PNG")
    picture = read(tmp_path / "a.jpg")
    assert picture.format == "PNG"
    np.testing.assert_array_equal(picture.pixels, photo)


def test_a_lazily_opened_file_that_pillow_would_cut_is_refused(awkward: Path) -> None:
    with (
        Image.open(awkward / "rgb16.png") as image,
        pytest.raises(ImageError, match=r"^mine: .*would cut to 8"),
    ):
        from_pil(image, name="mine")


def test_files_and_pil_images_mean_the_same(awkward: Path) -> None:
    for name in ("exif_6.jpg", "cmyk.jpg", "grey.jpg", "exif_landscape_6.jpg", "palette_alpha.png"):
        from_file = read(awkward / name)
        with Image.open(awkward / name) as image:
            from_image = from_pil(image, name=name)
        np.testing.assert_array_equal(from_file.pixels, from_image.pixels)
        assert (from_file.exif, from_file.icc) == (from_image.exif, from_image.icc)


def test_threads_read_what_one_reads(awkward: Path) -> None:
    """Profiles, palettes, both TIFF decoders and failing files together."""
    names = [
        "grey.jpg",
        "exif_landscape_6.jpg",
        "palette_alpha.png",
        "lzw.tif",
        "rgb16.png",
        "truncated_half.jpg",
    ] * 6

    def attempt(name: str) -> Any:
        try:
            return read(awkward / name).pixels.tobytes()
        except ImageError as error:
            return str(error)

    alone = [attempt(name) for name in names]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, names)) == alone
