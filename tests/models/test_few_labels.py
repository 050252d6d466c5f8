"""A partly labelled folder: what is read of it, the discriminator that learns from it, and its error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawn import with_draws
from translate.batch import Batch
from translate.conditions import Conditions
from translate.datasets.layouts import classes
from translate.images import ImageSpec
from translate.inference.translator import read_card
from translate.losses import feature_matching
from translate.models import MODELS, build
from translate.networks.discriminator import Shown
from translate.settings import DataSettings
from translate.training.run import train

RGB = ImageSpec(channels=3)
NAMES = ("blue", "red")
SHORT: dict[str, Any] = {
    "size": 16,
    "width": 4,
    "discriminator_width": 8,
    "batch": 16,
    "z": 8,
    "device": "cpu",
    "samples": 0,
    "tensorboard": False,
    "flip": False,
    "norm": "instance",
}


def shape_picture(kind: int, rng: np.random.Generator) -> np.ndarray:
    """A square somewhere on noise of any colour, more blue or more red: `[16, 16, 3]` uint8."""
    picture = rng.integers(0, 90, (16, 16, 3)) + rng.integers(0, 60, 3)
    top, left = rng.integers(0, 8, 2)
    picture[top : top + 8, left : left + 8, 0 if kind else 2] += 110
    return picture.clip(0, 255).astype(np.uint8)


def folder_of_squares(root: Path, *, labelled: int, unlabelled: int, val: int) -> Path:
    rng = np.random.default_rng(0)
    for split, numbers in (("train", {"blue": labelled, "red": labelled, "unlabelled": unlabelled}), ("val", {})):
        for name, count in (numbers or dict.fromkeys(NAMES, val)).items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                kind = NAMES.index(name) if name in NAMES else i % 2
                Image.fromarray(shape_picture(kind, rng)).save(root / split / name / f"{i}.png")
    return root


def model_of(**changes: Any):
    torch.manual_seed(0)
    settings = MODELS["dcgan"].settings_class.make(
        {"semi_supervised": True, "width": 4, "discriminator_width": 4, "z": 8, "norm": "instance"} | changes
    )
    conditions = Conditions(classes=("one", "other", "third"), z=8)
    return build("dcgan", settings, source=None, target=RGB, size=16, conditions=conditions)


def batch_for(model, label):
    pictures = torch.rand(len(label), 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return with_draws(Batch({"target": pictures}, condition={"label": label}), model)


@pytest.mark.parametrize("kind", ["unlabelled", "Unlabeled"])
def test_pictures_of_a_folder_called_unlabelled_have_no_label(kind, tmp_path):
    folder_of_squares(tmp_path, labelled=2, unlabelled=3, val=1)
    (tmp_path / "train" / "unlabelled").rename(tmp_path / "train" / kind)
    found = classes.find(DataSettings(data=tmp_path)).listing
    assert sorted(pair.label or "" for pair in found.train) == ["", "", "", "blue", "blue", "red", "red"]
    assert {pair.name.split("/")[0] for pair in found.train if pair.label is None} == {kind}


def test_the_classes_are_no_condition_of_the_model():
    conditions = Conditions(classes=NAMES, z=8)
    assert conditions.inputs == ("z",)
    assert conditions.in_training.labels == NAMES
    needs = MODELS["dcgan"].data_needs(MODELS["dcgan"].settings_class.make({"semi_supervised": True}))
    assert (needs.label, needs.classified, needs.required, needs.z) == (True, True, False, 100)


def test_the_generator_matches_the_features_before_the_logits_as_published():
    model = model_of()
    label = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1]])
    batch = batch_for(model, label)
    images = model.generate(batch, ["generator"])
    losses, _ = model.objective("generator", batch, images)
    (on_real,), (on_fake,) = model.discriminator(Shown(batch.target), Shown(images["fake"]))
    expected = feature_matching(on_real.features[-1:], on_fake.features[-1:])
    assert losses["g_features"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["g_gan"].item() == 0
    assert model_of(lambda_gan=1.0, lambda_features=0.0).settings.lambda_gan == 1  # the usual cost, if asked


def test_the_discriminator_has_the_game_and_the_labels():
    model = model_of(lambda_labels=2.0)
    label = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    batch = batch_for(model, label)
    images = model.generate(batch, ["discriminator"])
    losses, stats = model.objective("discriminator", batch, images)
    on_real, on_fake = (model.classify(p) for p in (batch.target, images["fake"]))
    softplus = torch.nn.functional.softplus
    game = 0.5 * (softplus(-on_real.logsumexp(1)).mean() + softplus(on_fake.logsumexp(1)).mean())
    assert losses["d"].item() == pytest.approx(game.item(), rel=1e-5)
    known = torch.nn.functional.cross_entropy(on_real[[0, 2]], torch.tensor([0, 2]))
    assert losses["d_labels"].item() == pytest.approx(2 * known.item(), rel=1e-5)
    assert stats["d_labelled"].item() == 0.5
    assert stats["d_misclassified"].item() in (0, 0.25, 0.5)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.discriminator.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"condition": "label"}, "--semi-supervised: the discriminator finds the labels itself.*leave out --condition"),
        ({"objective": "lsgan"}, "--semi-supervised: .*--objective lsgan has none of: use vanilla, minimax"),
        ({"objective": "hinge"}, "--objective hinge has none of"),
    ],
)
def test_what_it_makes_no_sense_with_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS["dcgan"].settings_class.make({"semi_supervised": True, **changes})


def test_its_weight_is_refused_without_it_and_several_labels_with_it():
    with pytest.raises(ValueError, match=r"--lambda-labels 2.0 changes nothing without --semi-supervised"):
        MODELS["dcgan"].settings_class.make({"lambda_labels": 2.0}).refuse_unused()
    settings = MODELS["dcgan"].settings_class.make({"semi_supervised": True, "width": 4})
    conditions = Conditions(classes=NAMES, several=True, z=100)
    with pytest.raises(ValueError, match="one class each, and these have several labels"):
        build("dcgan", settings, source=None, target=RGB, size=16, conditions=conditions)


def test_a_run_reports_its_error_and_its_file_needs_no_label(tmp_path):
    """Also from a table whose labels are partly empty."""
    data = folder_of_squares(tmp_path / "data", labelled=2, unlabelled=6, val=3)
    run = train("dcgan", data=data, out=tmp_path / "run", semi_supervised=True, steps=2, **SHORT | {"batch": 4})
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    figures = [line["validation"] for line in lines if "validation" in line][-1]
    assert all(0 <= figures[name]["error"] <= 1 for name in ("raw", "averaged"))
    assert figures["raw"]["error"] == figures["averaged"]["error"]
    assert all(name in line["losses"] for line in lines if "losses" in line for name in ("d_labels", "g_features"))
    card = read_card(run.path)
    assert (card.conditions.classes, card.conditions.inputs) == (NAMES, ("z",))
    assert len(run.load(device="cpu").sample(2)) == 2
    assert train(resume=run.path, steps=3).finished
    table = ["file_name,label"]
    for path in sorted((data / "train").rglob("*.png")):
        label = path.parent.name if path.parent.name in NAMES else ""
        table.append(f"{path.relative_to(data / 'train').as_posix()},{label}")
    (data / "train" / "metadata.csv").write_text("\n".join(table))
    again = train(
        "dcgan", data=data / "train", out=tmp_path / "other", semi_supervised=True, steps=1, **SHORT | {"batch": 4}
    )
    assert read_card(again.path).conditions.classes == NAMES


@pytest.mark.slow
def test_a_short_training_classifies_what_has_no_label(tmp_path):
    """Five labelled squares of each kind among 200 without a label: 100 others are told apart, nearly all."""
    data = folder_of_squares(tmp_path / "data", labelled=5, unlabelled=200, val=50)
    run = train("dcgan", data=data, out=tmp_path / "run", semi_supervised=True, steps=120, lr=2e-3, **SHORT)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    errors = [line["validation"]["raw"]["error"] for line in lines if "validation" in line]
    assert errors[-1] < 0.1
