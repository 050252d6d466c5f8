"""`Translator.grid`: sources and outputs of any kind beside each other, pixel for pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conditioned import SHIFTED, save_conditioned
from translate.images.sheet import GAP, LINE
from translate.inference.translator import Translator, load

Make = Callable[..., Any]


def cells(grid: Image.Image, rows: int, columns: int, side: int) -> np.ndarray:
    """The pictures of a grid, `[rows, columns, side, side, 3]`."""
    pixels = np.asarray(grid)
    assert pixels.shape == ((GAP + LINE) + rows * (side + GAP) + GAP, columns * (side + GAP) + GAP, 3)
    places = [LINE + 2 * GAP + row * (side + GAP) for row in range(rows)]
    lefts = [GAP + column * (side + GAP) for column in range(columns)]
    return np.stack([[pixels[y : y + side, x : x + side] for x in lefts] for y in places])


def test_each_row_has_a_source_and_its_output(inverter: Make, tmp_path: Path) -> None:
    t = Translator(inverter())
    one, two = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    Image.fromarray(two).save(tmp_path / "two.png")
    tensor = torch.from_numpy(np.stack([one, two])).permute(0, 3, 1, 2) / 255
    grid = t.grid([one, tmp_path / "two.png", Image.fromarray(one), tensor])
    shown = cells(grid, 5, 2, 16)
    sources = [one, two, one, one, two]
    for row, source in zip(shown, sources, strict=True):
        assert np.array_equal(row[0], source)
        assert np.array_equal(row[1], 255 - source)
    assert np.array_equal(cells(t.grid(two), 1, 2, 16)[0, 1], 255 - two)  # a single one, too


def test_any_depth_and_scale_can_be_looked_at(inverter: Make) -> None:
    t = Translator(inverter((1, "uint16"), (3, "uint16"), scale=2))
    picture = np.arange(64, dtype=np.uint16).reshape(8, 8, 1) * 1000
    source, output = cells(t.grid(picture), 1, 2, 16)[0]
    expected = np.round(picture / 257).astype(int)
    assert np.abs(source[::2, ::2].astype(int) - expected).max() <= 1
    assert np.abs(output[::2, ::2].astype(int) - (255 - expected)).max() <= 1


def test_conditions_and_samples_have_columns(tmp_path: Path) -> None:
    t = load(save_conditioned(tmp_path / "model.safetensors"), device="cpu", allow=SHIFTED)
    pictures = [np.full((9, 9, 3), value, np.uint8) for value in (50, 150)]
    shown = cells(t.grid(pictures, samples=3, label="wood"), 2, 4, 9)
    expected = t(pictures, samples=3, label="wood")
    assert np.array_equal(shown[:, 1:], np.asarray(expected))
    assert t.grid(pictures, seed=3, columns=["three"]).size == (2 * (9 + GAP) + GAP, (GAP + LINE) + 2 * (9 + GAP) + GAP)
    with pytest.raises(ValueError, match="columns has 1 titles, and there are 2 outputs"):
        t.grid(pictures, samples=2, columns=["a"])


def test_nothing_is_no_grid(inverter: Make) -> None:
    with pytest.raises(ValueError, match="a grid needs a picture at least"):
        Translator(inverter()).grid([])
