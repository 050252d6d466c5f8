"""Earlier weights of a run, from its snapshots and checkpoints, at every door."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from translate.card import Card
from translate.cli import main
from translate.images import ImageSpec
from translate.models import build, deployed_state
from translate.models.pix2pix import Pix2PixSettings
from translate.training.folder import RunFolder
from translate.training.job import new_job
from translate.training.run import fit, train
from translate.weights import load_tensors

SMALL: dict[str, Any] = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "samples": 0,
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def run(fronts, tmp_path_factory):
    """Snapshots of steps 4 and 8, checkpoints of 3, 6 and 8."""
    out = tmp_path_factory.mktemp("runs") / "run"
    cadence: dict[str, Any] = {"steps": 8, "validate_every": 4, "checkpoint_every": 3, "keep": 100, "lr": 0.01}
    train("pix2pix", data=fronts, out=out, **SMALL, **cadence)
    return RunFolder(out)


@pytest.fixture
def picture(fronts):
    with Image.open(sorted((fronts / "val").iterdir())[0]) as image:
        return np.asarray(image.crop((0, 0, 32, 32)))


def test_every_snapshot_and_checkpoint_can_be_loaded(run, picture):
    outputs = {step: translate.load(run.path, step=step, device="cpu") for step in (3, 4, 6, 8)}
    assert {step: t.card.step for step, t in outputs.items()} == {3: 3, 4: 4, 6: 6, 8: 8}
    assert all(t.card.weights == "averaged" for t in outputs.values())
    made = [t(picture).tobytes() for t in outputs.values()]
    assert len(set(made)) == 4
    average = run.read_checkpoint(8)["average"]["model"]
    snapshot = load_tensors(run.snapshots / "step-00000008.safetensors")
    assert average.keys() == snapshot.keys()
    assert all(torch.equal(average[name], snapshot[name]) for name in snapshot)
    network = translate.load(run.path, step=8, device="cpu").backend.exportable().state_dict()
    assert all(torch.equal(network[name], snapshot[name]) for name in snapshot)
    early = translate.load(run.path, step=3, device="cpu").backend.exportable().state_dict()
    assert all(torch.equal(early[n], t) for n, t in run.read_checkpoint(3)["average"]["model"].items())


@pytest.mark.parametrize("step", [4, pytest.param(3, marks=pytest.mark.slow)])
def test_the_command_takes_a_step(run, fronts, tmp_path, capsys, step):
    assert main(["info", str(run.path), "--step", str(step), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == step
    assert main(["convert", str(run.path), str(fronts / "train"), str(tmp_path / "out"), "--step", str(step)]) == 0
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 12
    if step == 3:
        assert main(["export", str(run.path), str(tmp_path / "early.onnx"), "--step", str(step)]) == 0
        assert translate.load(tmp_path / "early.onnx").card.step == step


def test_a_new_run_starts_from_a_step(run, fronts, tmp_path):
    for step, source in ((3, "checkpoint"), (4, "snapshot"), (6, "checkpoint")):
        printed: list[str] = []
        values = {"data": fronts, "out": tmp_path / f"{step}", "steps": 1, "lr": 1e-12, "ema": 0.0}
        fit(new_job("pix2pix", {**SMALL, **values, "init_from": run.path, "step": step}), say=printed.append)
        (line,) = [line for line in printed if line.startswith("started from")]
        assert f"after step {step}" in line
        assert ("discriminator" in line) == (source == "snapshot"), "a snapshot is the generator alone"
        found = RunFolder(tmp_path / f"{step}").read_checkpoint(1)["model"]
        expected = translate.load(run.path, step=step, device="cpu").backend.exportable().state_dict()
        for name, tensor in expected.items():
            if "running" not in name and "tracked" not in name:
                torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9)


@pytest.mark.parametrize("words", [["info"], ["convert", "in", "out"], ["export", "out.onnx"]])
def test_a_step_that_is_not_kept_is_told_with_those_that_are(run, fronts, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    command, *rest = words
    assert main([command, str(run.path), *rest, "--step", "5"]) == 2
    assert "no" not in capsys.readouterr().out
    assert main([command, str(run.model), *rest, "--step", "4"]) == 2
    assert "--step is for a run folder" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"--step 5: .* there are 3, 4, 6, 8"):
        translate.load(run.path, step=5)


def test_a_step_without_a_run_to_start_from_is_refused(fronts, tmp_path):
    with pytest.raises(ValueError, match="--init-step goes with --init-from RUN; the length of a training is --steps"):
        train("pix2pix", data=fronts, out=tmp_path / "run", step=3, **SMALL)


def test_snapshots_are_thinned_out_evenly_within_their_budget(tmp_path):
    gray = ImageSpec(channels=1)
    settings = Pix2PixSettings.make({"width": 4, "discriminator_width": 4, "depth": 4})
    model = deployed_state(build("pix2pix", settings, source=gray, target=gray, size=32))
    card = Card(model="pix2pix", settings=settings.as_json(), source=gray, target=gray, size=32)
    folder = RunFolder(tmp_path)
    folder.save_snapshot(1, model, card, budget=1e9)
    one = (folder.snapshots / "step-00000001.safetensors").stat().st_size
    for step in range(2, 101):
        folder.save_snapshot(step, model, card, budget=8.5 * one)
        kept = sorted(int(path.stem[5:]) for path in folder.snapshots.iterdir())
        assert kept[-1] == step
        assert len(kept) == min(step, 8)
    gaps = np.diff([0, *kept])
    assert gaps.max() <= 4 * np.median(gaps)
    folder.save_snapshot(101, model, card, budget=one / 2)
    assert folder.path / "snapshots" / "step-00000101.safetensors" not in folder.snapshots.iterdir()
