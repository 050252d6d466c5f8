"""A model that enlarges, by PyTorch: whole, in strips and in tiles, from folders and from what it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from tests.datasets.test_scale import eight, folders, picture
from tests.export.conftest import save_model
from translate.card import Card
from translate.inference.convert import convert
from translate.inference.options import ConvertSettings
from translate.inference.tiles import Overlap, translate_tiles
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import Translator, load
from translate.training.evaluate import evaluate
from translate.training.run import Run, train

MakeCard = Callable[..., Card]
NORMS = [{"norm": "none"}, {"inference_norm": "running"}, {"inference_norm": "image"}]


def saved(path: Path, card: MakeCard, scale: int, **settings: Any) -> Translator:
    small = {"width": 4, "blocks": 2, "scale": scale, **settings}
    return load(save_model(path, card(model="srresnet", settings=small, scale=scale, size=32)), device="cpu")


def far(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("settings", NORMS, ids=str)
def test_pieces_are_those_of_the_whole(scale: int, settings: dict[str, Any], card: MakeCard, tmp_path: Path) -> None:
    t = saved(tmp_path / "m.safetensors", card, scale, **settings)
    backend = t.backend
    assert isinstance(backend, TorchBackend)
    footprint = backend.strips.footprint
    assert (footprint.stride, footprint.radius) == (1, 4 + 2 * 2 + 1 + 3)
    assert footprint.statistics == (settings == NORMS[2])
    source = eight(picture(70, 131))
    (whole,) = backend(source[None])
    assert whole.shape == (70 * scale, 131 * scale, 3)
    assert whole.std() > 20
    for rows in (1, 16, 50):
        assert far(backend.strips(source, rows=rows), whole) <= 1, rows
    if not footprint.statistics:
        assert Overlap.of(footprint, tile=64).exact
        assert far(translate_tiles(backend, source, tile=64, footprint=footprint).pixels, whole) <= 1


def test_what_the_larger_picture_takes_counts(card: MakeCard, tmp_path: Path) -> None:
    """The layers at the result's size take most of the memory: four times as much where that has twice the sides."""
    taken = []
    for scale in (2, 4):
        backend = saved(tmp_path / f"{scale}.safetensors", card, scale).backend
        assert isinstance(backend, TorchBackend)
        taken.append(backend.strips.footprint.pixel_bytes)
    assert taken[0] is not None
    assert taken[1] is not None
    assert taken[0] >= 2 * 4 * 4 * 4  # two layers of the width, float32, at the size of the result
    assert 3 < taken[1] / taken[0] < 5


@pytest.mark.parametrize("kind", ["path", "image", "array", "float array", "tensor"])
def test_every_kind_of_value_is_given_back_larger(kind: str, card: MakeCard, tmp_path: Path) -> None:
    t = saved(tmp_path / "m.safetensors", card, 4)
    pixels = eight(picture(9, 14))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    values = {
        "path": tmp_path / "a.png",
        "image": Image.fromarray(pixels),
        "array": pixels,
        "float array": pixels / 255,
        "tensor": torch.from_numpy(pixels).permute(2, 0, 1),
    }
    made = t(values[kind])
    shape = (
        made.size[::-1] if isinstance(made, Image.Image) else made.shape[-2:] if kind == "tensor" else made.shape[:2]
    )
    assert tuple(shape) == (36, 56)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources, and targets four times as large, one of which has alpha."""
    root = tmp_path_factory.mktemp("photos")
    folders(root, 4, [(20, 25), (24, 24), (13, 40), (18, 22), (25, 20), (19, 30)])
    return root


SMALL: dict[str, Any] = {
    "size": 32,
    "width": 4,
    "blocks": 1,
    "batch": 2,
    "steps": 2,
    "device": "cpu",
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("srresnet", target=photos / "large", out=tmp_path_factory.mktemp("runs") / "run", **SMALL)


def test_a_run_has_figures_and_a_page_at_the_targets_size(run: Run) -> None:
    card = translate.load(run.path).card
    assert (card.scale, card.derive, card.source_size) == (4, "reduced", (8, 8))
    assert {"l1", "psnr", "ssim", "mean_target_l1", "bicubic_l1"} <= card.figures.keys()
    assert card.figures["bicubic_l1"] < card.figures["mean_target_l1"]
    assert "the target reduced by 4" in card.describe()
    assert "4 times the source's size" in card.describe()
    with Image.open(next((run.path / "samples").glob("*.png"))) as page:
        assert page.width > 4 * 18 * 4  # source, raw, averaged, target: all as large as the target


def test_evaluation_is_as_validation_was(run: Run, photos: Path) -> None:
    lines: list[str] = []
    found = evaluate(run.path, device="cpu", say=lines.append)
    assert found.figures["l1"] == pytest.approx(run.figures["l1"], abs=1e-6)
    reached = translate.load(run.path).card.figures
    for name, words in (("bicubic", "the source enlarged (bicubic)"), ("mean_target", "the mean target")):
        assert found.baselines[words]["l1"] == pytest.approx(reached[f"{name}_l1"], abs=1e-6)
    assert "the source itself" not in found.baselines
    given: dict[str, Any] = {"source": photos / "small", "target": photos / "large", "derive": None}
    judged = evaluate(run.path, **given, device="cpu", say=lines.append)
    assert judged.figures.keys() == found.figures.keys()


def test_targets_are_reduced_and_enlarged_again(run: Run, photos: Path, tmp_path: Path) -> None:
    """As in training: a target's source is the file that was made of it. Sides that are no multiples lose the rest."""
    t = translate.load(run.path, device="cpu")
    alpha = np.zeros((83, 101), np.uint8)
    alpha[:40] = 255
    Image.fromarray(np.dstack([eight(picture(83, 101)), alpha])).save(tmp_path / "odd.png")
    for name, data in (("a", photos / "large"), ("b", photos / "small")):
        report = convert(t, data, tmp_path / name, settings=ConvertSettings.make({"derive": name == "a"}))
        assert report.failures == ()
    for path in (tmp_path / "a").glob("*.png"):
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "b" / path.name)))
    convert(t, tmp_path / "odd.png", tmp_path / "larger.png", settings=ConvertSettings.make({"derive": True}))
    made = np.asarray(Image.open(tmp_path / "larger.png"))
    assert made.shape == (80, 100, 4)
    assert np.array_equal(made[..., 3], alpha[:80, :100])


def test_training_on_files_is_training_on_what_is_made(photos: Path, tmp_path: Path) -> None:
    """These sources are the reduced targets: crops begin elsewhere, and validation sees the same pictures."""
    sources, targets = folders(tmp_path, 4, [(22, 27), (16, 30)])
    val: dict[str, Any] = {"val_source": sources, "val_target": targets}
    files = train("srresnet", source=photos / "small", target=photos / "large", out=tmp_path / "a", **val, **SMALL)
    made = train("srresnet", target=photos / "large", val_target=targets, out=tmp_path / "b", **SMALL)
    cards = [translate.load(each.path).card for each in (files, made)]
    assert [card.derive for card in cards] == [None, "reduced"]
    for name in ("mean_target_l1", "bicubic_l1"):
        assert cards[0].figures[name] == pytest.approx(cards[1].figures[name], abs=1e-7)
    assert files.figures["l1"] == pytest.approx(made.figures["l1"], abs=2e-3)
