"""Which real pictures a file is checked on, and how they are cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.card import Card
from translate.export import real
from translate.export.pictures import cropped, is_flat, middle
from translate.images import ImageSpec

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]


def draw(path: Path, *, size: tuple[int, int], red: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(red).integers(0, 256, (*size, 3), dtype=np.uint8)
    pixels[..., 0] = red
    Image.fromarray(pixels).save(path)


def run_folder(folder: Path, **settings: Any) -> Path:
    """What a run has beside its model, as far as it matters here."""
    folder.mkdir(exist_ok=True)
    values = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    (folder / "config.json").write_text(json.dumps({"model": "pix2pix", "settings": {**values, "width": 8}}))
    return folder / "model.safetensors"


@pytest.mark.parametrize(("direction", "side"), [("AtoB", "A"), ("BtoA", "B")])
def test_a_run_is_checked_on_the_sources_that_it_was_validated_on(
    direction: str, side: str, tmp_path: Path, card: MakeCard
) -> None:
    for split, start in (("train", 0), ("val", 100)):
        for name in range(6):
            draw(tmp_path / "data" / split / "A" / f"{name}.png", size=(20, 24), red=start + name)
            draw(tmp_path / "data" / split / "B" / f"{name}.png", size=(20, 24), red=start + 50 + name)
    model = run_folder(tmp_path / "run", data=tmp_path / "data", direction=direction)
    known = card(run={"direction": direction})
    reds = [int(picture[0, 0, 0]) for picture in real.remembered(model, known).pictures]
    assert reds == [number + (100 if side == "A" else 150) for number in (0, 1, 3, 4)]
    back = card(run={"direction": "BtoA" if direction == "AtoB" else "AtoB"})  # the other way of a model of both
    assert {int(p[0, 0, 0]) // 50 for p in real.remembered(model, back).pictures} == {3 if side == "A" else 2}


def test_halves_and_derived_sources_are_what_training_saw(tmp_path: Path, card: MakeCard, spec: MakeSpec) -> None:
    for name in range(3):
        draw(tmp_path / "pairs" / "train" / f"{name}.png", size=(16, 32), red=name)
    model = run_folder(tmp_path / "run", data=tmp_path / "pairs")
    assert {picture.shape for picture in real.remembered(model, card()).pictures} == {(16, 16, 3)}
    model = run_folder(tmp_path / "run", target=tmp_path / "pairs", derive="gray")
    derived = real.remembered(model, card(spec(1), spec(3), derive="gray")).pictures
    colours = np.asarray(Image.open(tmp_path / "pairs" / "train" / "0.png"))
    assert derived[0].shape == (16, 32, 1)
    assert np.abs(derived[0][..., 0] - colours @ [0.299, 0.587, 0.114]).max() < 1


def test_a_model_that_is_alone_has_none(tmp_path: Path, card: MakeCard) -> None:
    assert real.remembered(tmp_path / "model.safetensors", card()).pictures == ()
    gone = run_folder(tmp_path / "run", data=tmp_path / "gone")
    assert real.remembered(gone, card()).pictures == ()


def test_pictures_come_as_the_model_takes_them(tmp_path: Path, card: MakeCard, spec: MakeSpec) -> None:
    """Evenly from the folder; the middle of large ones; what cannot be read is told."""
    for name in range(9):
        draw(tmp_path / "photos" / f"{name}.png", size=(300, 20), red=name)
    (tmp_path / "photos" / "2.png").write_bytes(b"nothing")
    sample = real.given(tmp_path / "photos", card(spec(1, "uint16")))
    assert [(p.shape, p.dtype) for p in sample.pictures] == [((256, 20, 1), np.uint16)] * 3
    (problem,) = sample.problems
    assert "2.png" in problem
    (one,) = real.given(tmp_path / "photos" / "3.png", card()).pictures
    assert np.array_equal(one, np.asarray(Image.open(tmp_path / "photos" / "3.png"))[22:278])


@pytest.mark.parametrize(("files", "apart"), [(1, 1), (2, 1), (4, 1), (12, 3), (100, 16)])
def test_a_folder_is_divided(files: int, apart: int, tmp_path: Path, card: MakeCard) -> None:
    for name in range(files):
        draw(tmp_path / f"{name:03}.png", size=(2, 2), red=name)
    calibration, held_out = real.divided(tmp_path, card(), count=30)
    used, judged = ({int(p[0, 0, 0]) for p in sample.pictures} for sample in (calibration, held_out))
    assert len(judged) == apart
    assert len(used) == min(max(files - apart, 1), 30)
    assert not used & judged or files == 1
    assert files < 12 or max(judged) - min(judged) > files / 2  # spread over the folder


def test_crops_have_odd_sides_and_three_together() -> None:
    pictures = [np.full((height, width, 1), height, np.uint8) for height, width in ((20, 31), (24, 28), (18, 40))]
    shapes = [batch.shape for batch in cropped(pictures)]
    assert shapes == [(1, 20, 31, 1), (1, 24, 28, 1), (1, 18, 40, 1), (1, 19, 27, 1), (3, 18, 28, 1)]
    assert [batch.shape for batch in cropped(pictures[:1])] == [(1, 20, 31, 1), (1, 19, 27, 1)]
    assert [batch.shape for batch in cropped([np.zeros((1, 1, 3))])] == [(1, 1, 1, 3)]
    assert list(cropped([])) == []
    row = np.arange(10)[None, :, None]
    assert middle(row, 5, 4).ravel().tolist() == [3, 4, 5, 6]


def test_a_white_page_is_not_judged_by(spec: MakeSpec) -> None:
    page = np.full((1, 40, 40, 3), 255, np.uint8)
    assert is_flat(page, spec())
    page[0, 10:20, 10:20] = 0
    assert not is_flat(page, spec())
    assert is_flat(page[:, :7], spec())
