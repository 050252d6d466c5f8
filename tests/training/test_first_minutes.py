"""What there is to see and to use before the first validation, and after an early stop."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

import translate
from translate.training import recorder
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session
from translate.weights import checksum, load_tensors

CLOCK = ("examples_per_second", "care_share")  # of the journal: what no two runs have alike
SMALL: dict[str, Any] = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "tensorboard": False}


def tiny(data, out, **changes):
    cadence = {"steps": 6, "log_every": 1, "validate_every": 5, "checkpoint_every": 1000, "samples": 3}
    return {"data": data, "out": out, **SMALL, **cadence, **changes}


def losses(run):
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


@pytest.fixture
def at_step(monkeypatch):
    """Do something each time that a step has been made."""

    def install(step, action):
        plain = Session.advance

        def advance(session, batches):
            plain(session, batches)
            if session.done == step:
                action()

        monkeypatch.setattr(Session, "advance", advance)

    return install


def test_a_first_page_and_model_come_soon_and_change_nothing(fronts, tmp_path, at_step, monkeypatch):
    reference = RunFolder(train("pix2pix", **tiny(fronts, tmp_path / "reference")).path)
    run = RunFolder(tmp_path / "run")
    seen: list[set[str] | set[int]] = []
    monkeypatch.setattr(recorder, "FIRST_LOOK", 0.0)

    def look():
        seen.append({path.name for path in run.samples.iterdir()})
        seen.append({translate.load(run.path).card.step, translate.load(run.last).card.step})

    at_step(3, look)
    train("pix2pix", **tiny(fronts, run.path))
    assert seen == [{"step-00000001.png"}, {1}]
    assert losses(run) == losses(reference)
    assert checksum(run.read_checkpoint(6)) == checksum(reference.read_checkpoint(6))
    assert checksum(load_tensors(run.model)) == checksum(load_tensors(reference.model))


@pytest.mark.parametrize(
    "changes", [{}, {"val_fraction": 0.0, "samples": 0}, {"samples": 0}], ids=["pairs", "no validation", "no page"]
)
def test_a_first_look_needs_nothing_special(fronts, tmp_path, monkeypatch, changes):
    monkeypatch.setattr(recorder, "FIRST_LOOK", 0.0)
    data = fronts / "train" if "val_fraction" in changes else fronts
    assert train("pix2pix", **tiny(data, tmp_path / "run", **changes)).finished


def test_a_first_look_without_pairs(unpaired_fronts, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "FIRST_LOOK", 0.0)
    small = {name: value for name, value in tiny(unpaired_fronts, tmp_path / "run").items() if name != "patch"}
    train("cyclegan", **{**small, "generator": "unet", "steps": 2})
    assert (tmp_path / "run" / "samples" / "step-00000001.png").is_file()


def test_a_run_that_is_stopped_early_can_be_used(fronts, tmp_path, at_step):
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    run = train("pix2pix", **tiny(fronts, tmp_path / "run", steps=3000, validate_every=1000))
    assert (run.step, run.interrupted) == (2, signal.SIGTERM)
    report = run.load().convert(fronts / "train", tmp_path / "out")
    assert report.converted == 12
    assert run.load().card.step == 2


def test_a_run_without_weights_is_told_as_one(fronts, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_config({"model": "pix2pix"})
    with pytest.raises(ValueError, match=r"this run has no weights yet: they come within its first minute"):
        translate.load(run.path)
