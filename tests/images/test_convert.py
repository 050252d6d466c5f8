"""To the channels and depth of a model: numbers worked out by hand, and Pillow's where it has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.images import FULL_SCALE, ImageError, ImageSpec, Picture, to_spec


def picture(pixels: Any, alpha: Any = None, dtype: str = "uint8") -> Picture:
    array = np.asarray(pixels, dtype)
    return Picture(array, None if alpha is None else np.asarray(alpha, dtype), "PNG")


def spec(channels: int, dtype: Any = "uint8", **other: Any) -> ImageSpec:
    return ImageSpec(channels=channels, dtype=dtype, high=other.pop("high", FULL_SCALE[dtype]), **other)


@pytest.mark.parametrize(
    ("value", "found", "wanted", "expected"),
    [
        (200, "uint8", "uint16", 200 * 257),
        (128, "uint16", "uint8", 0),  # 0.498 of a level
        (129, "uint16", "uint8", 1),  # 0.502
        (65535, "uint16", "uint8", 255),
        (51, "uint8", "float32", 0.2),
        (0.2, "float32", "uint8", 51),
        (0.5, "float32", "uint16", 32768),
        (13107, "uint16", "float32", 0.2),
    ],
)
def test_depth(value: float, found: str, wanted: str, expected: float) -> None:
    result = to_spec(picture([[[value]]], dtype=found), spec(1, wanted), name="x")
    assert result.dtype == wanted
    assert result.item() == pytest.approx(expected, rel=1e-6)


def test_depth_is_not_guessed_for_a_microscope() -> None:
    twelve_bits = spec(1, "uint16", high=4095.0)
    with pytest.raises(ImageError, match=r"^slide\.png: is 8-bit, .* 16-bit values from 0 to 4095"):
        to_spec(picture([[[7]]]), twelve_bits, name="slide.png")
    same = to_spec(picture([[[7]]], dtype="uint16"), twelve_bits, name="slide.png")
    assert same.item() == 7


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_floats_beyond_the_scale_are_an_error(value: float) -> None:
    with pytest.raises(ImageError, match="only 0 to 1"):
        to_spec(picture([[[0.5], [value]]], dtype="float32"), spec(1), name="x")


def test_luma_is_pillows() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.array(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(to_spec(picture(colours), spec(1), name="x")[..., 0], expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_luma_at_other_depths(dtype: str) -> None:
    white = FULL_SCALE[dtype]
    row = np.array([[[white, white, white], [white, 0, 0], [0, white, 0], [0, 0, white]]])
    found = to_spec(picture(row, dtype=dtype), spec(1, dtype), name="x").ravel() / white
    np.testing.assert_allclose(found, [1, 0.299, 0.587, 0.114], atol=2e-5)


def test_gray_becomes_colour_by_repetition() -> None:
    found = to_spec(picture([[[7], [8]]]), spec(3), name="x")
    assert found.tolist() == [[[7, 7, 7], [8, 8, 8]]]


def test_alpha_is_laid_on_the_background() -> None:
    """(a p + (255 - a) b) / 255, rounded: 0 -> b, 255 -> p, 51 -> a fifth of the way."""
    alpha = [[0, 255, 51]]
    found = to_spec(picture([[[100, 0, 250]] * 3], alpha), spec(3, background=(10, 20, 30)), name="x")
    assert found.tolist() == [[[10, 20, 30], [100, 0, 250], [28, 16, 74]]]


def test_gray_on_a_coloured_background_is_coloured() -> None:
    found = to_spec(picture([[[100], [100]]], [[0, 255]]), spec(3, background=(10, 20, 30)), name="x")
    assert found.tolist() == [[[10, 20, 30], [100, 100, 100]]]
    gray = to_spec(picture([[[100]]], [[0]]), spec(1, background=(255, 0, 0)), name="x")
    assert gray.item() == 76  # 0.299 of 255


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_background_is_scaled_to_the_depth(dtype: str) -> None:
    found = to_spec(picture([[[0]]], [[0]], dtype), spec(1, dtype, background=(51, 51, 51)), name="x")
    assert found.item() == pytest.approx(FULL_SCALE[dtype] / 5)


def test_alpha_is_the_last_of_two_and_four_channels() -> None:
    assert to_spec(picture([[[7]]], [[9]]), spec(2), name="x").tolist() == [[[7, 9]]]
    assert to_spec(picture([[[7]]]), spec(2), name="x").tolist() == [[[7, 255]]]
    assert to_spec(picture([[[1, 2, 3]]], [[9]]), spec(4), name="x").tolist() == [[[1, 2, 3, 9]]]
    assert to_spec(picture([[[1, 2, 3]]]), spec(4), name="x").tolist() == [[[1, 2, 3, 255]]]
    assert to_spec(picture([[[7]]]), spec(4), name="x").tolist() == [[[7, 7, 7, 255]]]
    assert to_spec(picture([[[1, 2, 3]]], dtype="uint16"), spec(4), name="x").tolist() == [[[0, 0, 0, 255]]]


def test_bands_must_match() -> None:
    five = picture(np.arange(5).reshape(1, 1, 5))
    assert to_spec(five, spec(5), name="x").ravel().tolist() == [0, 1, 2, 3, 4]
    for wanted in (1, 2, 3, 4, 6):
        with pytest.raises(ImageError, match=f"^x: has 5 channels, the model takes {wanted}$"):
            to_spec(five, spec(wanted), name="x")
    with_alpha = picture(np.arange(4).reshape(1, 1, 4), [[9]])
    assert to_spec(with_alpha, spec(5), name="x").ravel().tolist() == [0, 1, 2, 3, 9]
    with pytest.raises(ImageError, match="has 4 channels and alpha"):
        to_spec(with_alpha, spec(3), name="x")


def test_labels_are_never_mixed() -> None:
    colours = spec(3, kind="labels", palette=((0, 0, 0), (255, 0, 0)), background=(0, 0, 0))
    found = to_spec(picture([[[255, 0, 0]] * 4], [[255, 128, 127, 0]]), colours, name="x")
    assert found.tolist() == [[[255, 0, 0], [255, 0, 0], [0, 0, 0], [0, 0, 0]]]
    assert to_spec(picture([[[7]]]), colours, name="x").tolist() == [[[7, 7, 7]]]
    grays = spec(1, kind="labels", palette=((0,), (7,)))
    assert to_spec(picture([[[7, 7, 7]]]), grays, name="x").tolist() == [[[7]]]
    with pytest.raises(ImageError, match=r"^x: is a label map in colour"):
        to_spec(picture([[[7, 7, 8]]]), grays, name="x")
    with pytest.raises(ImageError, match="16-bit"):
        to_spec(picture([[[7]]], dtype="uint16"), grays, name="x")


def test_what_transparency_hides_never_reaches_a_model_that_takes_alpha():
    """An erased part looks the same whatever colour the editor left below it, as derived holes do in training."""
    pixels = np.full((2, 2, 3), 200, np.uint8)
    alpha = np.array([[0, 255], [1, 0]], np.uint8)
    taken = to_spec(Picture(pixels, alpha, "PNG"), ImageSpec(channels=4), name="erased.png")
    assert taken[..., 3].tolist() == alpha.tolist()
    assert taken[0, 0, :3].tolist() == [0, 0, 0]
    assert taken[1, 0, :3].tolist() == [200, 200, 200]
