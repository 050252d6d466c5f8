"""Pictures out of noise: what follows from a seed, from a condition, and from a file without PyTorch."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from translate.card import Card
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.inference.sample import SampleSettings, draw_code, sample, write_samples
from translate.models import build
from translate.models.dcgan import DCGANSettings
from translate.training.folder import save_model
from translate.training.run import train

RGB = ImageSpec(channels=3)


def saved(path: Path, labels: tuple[str, ...] = ()) -> Path:
    """A small file whose weights make pictures differ."""
    conditions = Conditions(labels=labels, z=7)
    settings = DCGANSettings.make({"width": 4, "z": 7, "code_width": 5, "condition": "label" if labels else "none"})
    torch.manual_seed(0)
    model = build("dcgan", settings, source=None, target=RGB, size=16, conditions=conditions)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    card = Card(
        model="dcgan",
        settings=settings.as_json(),
        target=RGB,
        size=16,
        inputs=model.inputs,
        conditions=conditions,
    )
    save_model(path, model.eval(), card)
    return path


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return translate.load(saved(tmp_path_factory.mktemp("noise") / "m.safetensors", ("brick", "wood")), device="cpu")


def test_a_picture_follows_from_seed_and_number_however_many_are_made(translator):
    many, few = sample(translator, 20, seed=3), sample(translator, 2, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=False))
    assert many[0].shape == (16, 16, 3)
    assert not np.array_equal(many[0], many[1])
    assert not np.array_equal(many[1], sample(translator, 1, seed=4)[0])  # seeds share no pictures


def test_what_is_given_back_are_pil_images_and_codes_may_be_given(translator):
    (made,) = translator.sample(1, seed=5)
    assert made.size == (16, 16)
    (again,) = translator.sample(1, z=draw_code(7, 5, 1))
    assert np.array_equal(np.asarray(made), np.asarray(again))


def test_the_label_changes_the_picture(translator):
    brick, wood = translator.sample(2, z=draw_code(7, 0, 1), label=["brick", "wood"])
    assert not np.array_equal(np.asarray(brick), np.asarray(wood))
    with pytest.raises(ValueError, match=r'"stone".*it knows'):
        translator.sample(1, label="stone")


def cell(page: Image.Image, column: int, row: int = 0) -> np.ndarray:
    left, top = 4 + column * 20, 20 + row * 20
    return np.asarray(page)[top : top + 16, left : left + 16]


def test_sheets_hold_the_pictures_that_they_are_made_of(translator, tmp_path):
    settings = SampleSettings(count=4, seed=2, grid=True, interpolate=5, arithmetic="1-2+3")
    write_samples(translator, tmp_path / "out", settings)
    pictures = [np.asarray(Image.open(tmp_path / "out" / f"000{i}.png")) for i in range(1, 5)]
    grid, between, sums = (Image.open(tmp_path / "out" / f"{n}.png") for n in ("grid", "interpolation", "arithmetic"))
    assert all(np.array_equal(cell(grid, i), pictures[i]) for i in range(4))
    for row in range(2):  # the ends are the two samples themselves
        assert np.array_equal(cell(between, 0, row), pictures[2 * row])
        assert np.array_equal(cell(between, 4, row), pictures[2 * row + 1])
        assert not np.array_equal(cell(between, 2, row), pictures[2 * row])
    assert all(np.array_equal(cell(sums, i), pictures[i]) for i in range(3))
    one, two, three = (draw_code(7, 2, number) for number in (1, 2, 3))
    assert np.array_equal(cell(sums, 3), np.asarray(translator.sample(1, z=one - two + three)[0]))


def test_a_copy_makes_the_same_pictures(translator):
    one, other = pickle.loads(pickle.dumps(translator)).sample(1)[0], translator.sample(1)[0]
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_files_that_are_there_are_not_replaced_unasked(translator, tmp_path):
    write_samples(translator, tmp_path, SampleSettings(count=1))
    with pytest.raises(ValueError, match=r"0001.png: is there already"):
        write_samples(translator, tmp_path, SampleSettings(count=2))
    assert not (tmp_path / "0002.png").exists()
    write_samples(translator, tmp_path, SampleSettings(count=2, overwrite=True))


def test_each_kind_of_model_says_what_it_is_for(translator, tmp_path):
    with pytest.raises(ValueError, match="translate sample"):
        translator(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="translate sample"):
        translator.convert(tmp_path, tmp_path / "out")
    from tests.conditioned import SHIFTED, save_conditioned

    other = translate.load(save_conditioned(tmp_path / "s.safetensors"), allow=SHIFTED, device="cpu")
    with pytest.raises(ValueError, match="translate convert"):
        other.sample(1)


def test_the_card_has_no_source_and_one_of_pictures_needs_one(translator):
    metadata = translator.card.to_metadata()
    values = json.loads(metadata["translate"])
    assert "source" not in values
    assert Card.from_metadata(metadata, path="x") == translator.card
    with pytest.raises(ValueError, match="source is missing"):
        Card.from_metadata({"translate": json.dumps(values | {"inputs": ["image"]})}, path="x")


@pytest.mark.slow
@pytest.mark.parametrize("labels", [(), ("brick", "wood")])
def test_an_exported_file_gives_the_same_pictures_at_any_batch(labels, tmp_path):
    pytest.importorskip("onnxruntime")
    translator = translate.load(saved(tmp_path / "m.safetensors", labels), device="cpu")
    translator.export(tmp_path / "m.onnx")
    exported = translate.load(tmp_path / "m.onnx", device="cpu")
    for count in (1, 5):
        rows = {"z": np.stack([draw_code(7, 0, number) for number in range(1, count + 1)])}
        rows |= {"label": np.eye(2, dtype=np.float32)[np.arange(count) % 2]} if labels else {}
        one, other = (t.backend.generate(rows).astype(int) for t in (translator, exported))
        assert one.shape == (count, 16, 16, 3)
        assert np.abs(one - other).max() <= 1
        assert one.std() > 10
    assert np.abs(np.asarray(exported.sample(1)[0]).astype(int) - np.asarray(translator.sample(1)[0])).max() <= 1
    with pytest.raises(ValueError, match="--precision"):
        translator.export(tmp_path / "h.onnx", precision="fp16")


def test_sample_pages_show_the_same_codes_all_along(fronts, tmp_path):
    """Nothing is learned at this rate, and the page stays; it shows what `sample` makes."""
    flags: dict[str, Any] = {
        "size": 16,
        "width": 4,
        "discriminator_width": 4,
        "batch": 2,
        "lr": 1e-30,
        "norm": "instance",
    }
    flags |= {"steps": 2, "validate_every": 1, "samples": 2, "tensorboard": False, "device": "cpu", "ema": 0}
    run = train("dcgan", data=fronts, out=tmp_path / "run", **flags)
    one, two = (Image.open(path) for path in sorted((run.path / "samples").iterdir()))
    assert np.array_equal(np.asarray(one), np.asarray(two))
    made = run.load(device="cpu").sample(9)
    assert np.abs(cell(one, 0).astype(int) - np.asarray(made[0])).max() <= 1
    assert np.abs(cell(one, 0, 1).astype(int) - np.asarray(made[8])).max() <= 1
    with pytest.raises(ValueError, match="--best l1 needs true pairs"):
        train("dcgan", data=fronts, out=tmp_path / "other", best="l1", **flags)
    assert json.loads((run.path / "config.json").read_text())["settings"]["best"] == "auto"
