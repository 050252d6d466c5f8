"""Runs of conditioned models: their conditions, their files, and that resuming is exact."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from translate.card import Card
from translate.datasets.preparation import conditions, vocabulary
from translate.houses import write_paired
from translate.training.run import train

FLAGS: dict[str, Any] = {"size": 16, "load_size": 16, "log_every": 1, "samples": 2, "tensorboard": False} | {
    "workers": 0,
    "epochs": 1,
}
PAIRS, DOMAINS = "conditioned_models:Conditioned", "conditioned_models:Domains"


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions") / "set"
    write_paired(folder, count_train=8, count_val=3, count_test=0, size=16, layout="metadata", colours="free")
    return folder


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for name in ("dark", "light", "red"):
        (folder / name).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def card(path):
    with safe_open(path, framework="numpy") as opened:
        return Card.from_metadata(opened.metadata(), path=path)


def test_a_run_goes_on_with_the_tokenizer_that_it_began_with(captions, tmp_path, monkeypatch):
    whole = train(PAIRS, data=captions, out=tmp_path / "whole", **FLAGS | {"epochs": 2})
    train(PAIRS, data=captions, out=tmp_path / "run", **FLAGS)
    config = json.loads((tmp_path / "run/config.json").read_text())
    kept = card(tmp_path / "run/model.safetensors")
    assert kept.conditions.model_dump(mode="json") == config["conditions"]
    assert kept.inputs == ("image", "label", "tokens", "z")
    assert kept.conditions.text.vocabulary <= 300

    def learn(*_, **__):
        raise AssertionError("a tokenizer was learned anew")

    monkeypatch.setattr(conditions, "learn_tokenizer", learn)
    train(resume=tmp_path / "run", epochs=2, allow=PAIRS)
    assert card(tmp_path / "run/last.safetensors").conditions == kept.conditions
    assert whole.figures.keys() >= {"l1"}
    fine = train(PAIRS, data=captions, out=tmp_path / "fine", init_from=tmp_path / "run", **FLAGS)
    assert card(fine.path / "last.safetensors").conditions == kept.conditions
    assert vocabulary.FILLING in kept.conditions.text.tokenizer


def test_resumed_equals_uninterrupted(captions, tmp_path):
    flags = FLAGS | {"epochs": 2, "schedule": "constant"}
    train(PAIRS, data=captions, out=tmp_path / "whole", **flags)
    train(PAIRS, data=captions, out=tmp_path / "run", **flags | {"epochs": 1})
    train(resume=tmp_path / "run", epochs=2, allow=PAIRS)
    one, other = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    assert all(one[name].equal(other[name]) for name in one)


def test_a_heap_of_classes(classes, tmp_path):
    run = train(DOMAINS, data=classes, out=tmp_path / "run", **FLAGS | {"val_fraction": 0.25})
    config = json.loads((run.path / "config.json").read_text())
    assert (config["data"]["train"], config["data"]["val"]) == (9, 3)
    assert card(run.path / "model.safetensors").conditions.labels == ("dark", "light", "red")
    assert run.finished
    assert run.figures == {}  # nobody knows the right answers
    assert list((run.path / "samples").iterdir())


def test_what_the_data_lacks_is_said_before_anything_is_made(classes, tmp_path):
    with pytest.raises(ValueError, match="column `text`"):
        train(PAIRS, data=classes, derive="gray", out=tmp_path / "run", **FLAGS)
    assert not (tmp_path / "run").exists()
