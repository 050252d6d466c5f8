"""Every kind that a translator takes, and what it gives back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.images import ImageSpec
from translate.inference.translator import Translator, load, model_file

Make = Callable[..., Any]


def test_array_of_the_targets_depth(inverter: Make, texture: np.ndarray) -> None:
    made = Translator(inverter())(texture)
    assert made.dtype == np.uint8
    assert np.array_equal(made, 255 - texture)


def test_sixteen_bits_in_eight_out(inverter: Make, texture: np.ndarray) -> None:
    deep = texture.astype(np.uint16) * 257
    made = Translator(inverter((3, "uint16"), (3, "uint8")))(deep)
    assert made.dtype == np.uint8
    assert np.array_equal(made, 255 - texture)


def test_eight_bits_in_sixteen_out(inverter: Make, texture: np.ndarray) -> None:
    made = Translator(inverter((3, "uint8"), (3, "uint16")))(texture)
    assert made.dtype == np.uint16
    swapped = texture.astype(">u2") * 257  # the other byte order, as some TIFF readers give it
    assert np.array_equal(Translator(inverter((3, "uint16"), (3, "uint16")))(swapped), made)
    assert np.array_equal(made, (255 - texture.astype(np.uint16)) * 257)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_come_back_as_floats(inverter: Make, texture: np.ndarray, dtype: type) -> None:
    made = Translator(inverter())((texture / 255).astype(dtype))
    assert made.dtype == dtype
    assert np.abs(made - (255 - texture) / 255.0).max() < 1.1 / 255  # eight bits a channel on the way


def test_float_models_have_their_own_units(inverter: Make, card: Make) -> None:
    kelvin = ImageSpec(channels=1, dtype="float32", low=200, high=400)
    made = Translator(inverter(card=card(kelvin, kelvin)))(np.array([[200.0, 250.0, 400.0]], np.float32))
    assert made.tolist() == [[400.0, 350.0, 200.0]]


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((5, 7), 1, (5, 7)),
        ((5, 7), 3, (5, 7, 3)),
        ((5, 7, 1), 1, (5, 7, 1)),
        ((5, 7, 3), 1, (5, 7, 1)),
        ((5, 7, 4), 3, (5, 7, 4)),
        ((5, 7, 2), 1, (5, 7, 2)),
    ],
)
def test_shapes_of_arrays(inverter: Make, shape: tuple[int, ...], channels: int, expected: tuple[int, ...]) -> None:
    made = Translator(inverter((3, "uint8"), (channels, "uint8")))(np.full(shape, 200, np.uint8))
    assert made.shape == expected


def test_scale_enlarges_picture_and_alpha(inverter: Make) -> None:
    made = Translator(inverter(scale=2))(np.full((5, 7, 4), 255, np.uint8))
    assert made.shape == (10, 14, 4)
    assert (made[..., 3] == 255).all()


def test_alpha_is_composited_for_the_network_and_carried(inverter: Make) -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 255, 0))  # magenta that nobody can see
    image.putpixel((0, 0), (10, 20, 30, 255))
    made = Translator(inverter())(image)
    assert made.mode == "RGBA"
    assert made.getpixel((0, 0)) == (245, 235, 225, 255)
    assert made.getpixel((1, 0)) == (0, 0, 0, 0)  # the inverse of the white background
    assert Translator(inverter())(image, keep_alpha=False).mode == "RGB"


def test_a_source_with_alpha_is_not_composited(inverter: Make) -> None:
    backend = inverter((4, "uint8"), (4, "uint8"))
    made = Translator(backend)(Image.new("RGBA", (4, 2), (255, 0, 255, 100)))
    assert made.mode == "RGBA"
    assert made.getpixel((0, 0)) == (0, 255, 0, 155)


@pytest.mark.parametrize(
    ("mode", "target", "expected"),
    [
        ("RGB", (3, "uint8"), "RGB"),
        ("L", (3, "uint8"), "RGB"),
        ("1", (1, "uint8"), "L"),
        ("P", (3, "uint8"), "RGB"),
        ("LA", (1, "uint8"), "LA"),
        ("CMYK", (3, "uint8"), "RGB"),
        ("RGB", (1, "uint16"), "I;16"),
        ("RGB", (1, "float32"), "F"),
        ("RGB", (4, "uint8"), "RGBA"),
    ],
)
def test_modes_of_pil_images(inverter: Make, mode: str, target: tuple[int, str], expected: str) -> None:
    made = Translator(inverter((3, "uint8"), target))(Image.new(mode, (6, 4)))
    assert made.mode == expected
    assert made.size == (6, 4)


def test_sixteen_bit_pil_images_keep_their_depth(inverter: Make) -> None:
    deep = np.array([[0, 1, 1000, 65535]], np.uint16)
    made = Translator(inverter((1, "uint16"), (1, "uint16")))(Image.fromarray(deep))
    assert made.mode == "I;16"
    assert np.array_equal(np.asarray(made), 65535 - deep)


def test_sixteen_bit_colour_has_no_pil_mode(inverter: Make, texture: np.ndarray) -> None:
    made = Translator(inverter((3, "uint8"), (3, "uint16")))(Image.fromarray(texture))
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.uint16


def test_orientation_of_pil_images_is_applied(inverter: Make, tmp_path: Path) -> None:
    sideways = Image.new("RGB", (8, 4), "black")
    sideways.paste("white", (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright: the left half is the upper one then
    sideways.save(tmp_path / "a.png", exif=exif)
    t = Translator(inverter())
    with Image.open(tmp_path / "a.png") as opened:
        from_image = t(opened)
    from_file = t(tmp_path / "a.png")
    assert from_image.size == from_file.size == (4, 8)
    assert from_image.getpixel((1, 1)) == from_file.getpixel((1, 1)) == (0, 0, 0)
    assert from_image.getpixel((1, 6)) == from_file.getpixel((1, 6)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_tensors(inverter: Make, texture: np.ndarray, dtype: torch.dtype) -> None:
    one = torch.from_numpy(texture).permute(2, 0, 1)
    one = one if dtype == torch.uint8 else (one / 255).to(dtype)
    batch = torch.stack([one, one.flip(2)])
    t = Translator(inverter())
    made, several = t(one), t(batch)
    assert made.dtype == several.dtype == dtype
    assert made.shape == one.shape
    assert several.shape == batch.shape
    assert torch.equal(several, torch.stack([made, made.flip(2)]))
    white = 255 if dtype == torch.uint8 else 1
    assert (made.double() - (white - one.double())).abs().max() < (0.5 if dtype == torch.uint8 else 1e-3)


def test_tensors_with_gradients_end_them(inverter: Make) -> None:
    assert not Translator(inverter())(torch.rand(3, 4, 5, requires_grad=True)).requires_grad


def test_lists_give_lists_in_order_and_go_by_size(inverter: Make, texture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(texture).save(tmp_path / "a.png")
    backend = inverter()
    tall = np.ascontiguousarray(texture[:, :5])
    made = Translator(backend, batch=2)(
        [
            texture,
            tall,
            Image.fromarray(texture),
            str(tmp_path / "a.png"),
            torch.from_numpy(tall).permute(2, 0, 1),
        ]
    )
    assert [type(m).__name__ for m in made] == ["ndarray", "ndarray", "Image", "Image", "Tensor"]
    assert sorted(shape[0] for shape in backend.batches) == [1, 2, 2]
    for picture in (made[0], np.asarray(made[2]), np.asarray(made[3])):
        assert np.array_equal(picture, 255 - texture)
    assert np.array_equal(made[1], 255 - tall)
    assert np.array_equal(made[4].permute(1, 2, 0).numpy(), 255 - tall)
    assert Translator(backend)([]) == []
    assert isinstance(Translator(backend)((texture,)), list)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "cannot take a NoneType"),
        ([[1]], "image 0: cannot take a list"),
        (np.zeros((2, 3, 4, 3), np.uint8), r"shape \(2, 3, 4, 3\)"),
        (np.zeros((4,), np.uint8), r"shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((4, 4, 3), np.int64), "dtype int64"),
        (np.zeros((3, 64, 80), np.uint8), r"80 channels.*arrays are \[H, W, C\]"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.full((4, 4, 3), 200.0), "image"),
        (torch.zeros(4, 4), r"shape \(4, 4\)"),
        (torch.zeros(0, 3, 4, 4), "shape"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "dtype torch.int64"),
        (torch.zeros(5, 4, 4), "5 channels"),
        ("absent.png", "absent.png"),
    ],
)
def test_wrong_input_is_one_clear_error(inverter: Make, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Translator(inverter())(value)
    assert "\n" not in str(caught.value)


def test_another_depth_is_refused_where_its_meaning_is_not_known(inverter: Make, card: Make) -> None:
    twelve_bits = ImageSpec(channels=1, dtype="uint16", low=0, high=4095)
    backend = inverter(card=card(twelve_bits, twelve_bits))
    assert Translator(backend)(np.array([[0, 4095]], np.uint16)).tolist() == [[4095, 0]]
    with pytest.raises(ValueError, match="image"):
        Translator(backend)(np.zeros((4, 4), np.uint8))


def test_threads_do_not_disturb_each_other(inverter: Make) -> None:
    t = Translator(inverter())
    wrong: list[int] = []

    def call(value: int) -> None:
        for _ in range(20):
            if (t(np.full((8, 8, 3), value, np.uint8)) != 255 - value).any():
                wrong.append(value)

    threads = [threading.Thread(target=call, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_does_not_fit_together_goes_one_by_one(inverter: Make, texture: np.ndarray) -> None:
    backend = inverter(fits=texture[..., 0].size)
    made = Translator(backend, batch=3)([texture] * 3)
    assert all(np.array_equal(m, 255 - texture) for m in made)
    assert [shape[0] for shape in backend.batches] == [3, 1, 1, 1]
    with pytest.raises(MemoryError, match="34x13 pixels do not fit"):
        Translator(backend)(np.concatenate([texture, texture], 1))


def test_paths_that_are_no_models(inverter: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model file"):
        load(tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match=r"without model\.safetensors"):
        load(tmp_path)
    (tmp_path / "last.safetensors").touch()
    with pytest.raises(ValueError, match=r"first validation writes it\); use .*last\.safetensors"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    assert model_file(tmp_path) == tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load(tmp_path)
    (tmp_path / "model.pth").touch()
    with pytest.raises(ValueError, match=r'no model file is of type "\.pth"'):
        load(tmp_path / "model.pth")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Translator(inverter(), batch=0)
    with pytest.raises(ValueError, match=r"--precision"):
        load(tmp_path, precision="float23")
