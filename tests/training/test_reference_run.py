"""A run with a norm that needs a reference batch: from the command to conversion, ONNX and an exact resume."""

import os
import signal

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import translate
from tests.training.test_run import assert_same, final_state, losses
from translate.cli import main
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session

SHORT = [
    *("--size", "32", "--width", "4", "--discriminator-width", "4", "--reference-batch", "5", "--batch", "2"),
    *("--steps", "6", "--validate-every", "3", "--checkpoint-every", "2", "--samples", "2", "--log-every", "1"),
    *("--tensorboard", "false", "--metric-features", "none"),
]
OWN = {"pix2pix": ["--patch", "16"], "dcgan": ["--minibatch", "stddev"]}


def command(*words):
    assert main([str(word) for word in words]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("model", "norm"), [("pix2pix", "virtual"), ("dcgan", "reference")])
def test_a_run_of_the_command_resumes_converts_and_exports(model, norm, fronts, tmp_path, monkeypatch):
    flags = ["train", model, "--data", str(fronts), *SHORT, *OWN[model], "--norm", norm]
    command(*flags, "--out", tmp_path / "whole")
    plain = Session.advance

    def advance(session, batches):
        plain(session, batches)
        if session.done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "advance", advance)
    main([*flags, "--out", str(tmp_path / "run")])
    monkeypatch.undo()
    assert train(resume=tmp_path / "run").finished
    one, other = (final_state(tmp_path / name) for name in ("run", "whole"))
    assert_same(one, other)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    references = [value for key, value in one["model"].items() if ".reference." in key]
    assert {len(value) for value in references} == {5}
    assert all(value.std() > 0.05 for value in references), "they were chosen"
    for file in ("model.safetensors", "last.safetensors"):
        tensors = load_file(tmp_path / "run" / file)
        assert_same(tensors, load_file(tmp_path / "whole" / file))
        assert not any("reference" in key for key in tensors)
        found = {key: value for key, value in tensors.items() if key.endswith((".mean", ".variance"))}
        assert found
        assert all(value.std() > 0 for value in found.values() if value.numel() > 1), "they were measured"

    command("export", tmp_path / "run", tmp_path / "model.onnx")
    ours, exported = (translate.load(tmp_path / name, device="cpu") for name in ("run", "model.onnx"))
    if model == "dcgan":
        made = [np.asarray(each.sample(2, seed=3)[0], int) for each in (ours, exported)]
        assert np.abs(made[0] - made[1]).max() <= 1
        return
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (45, 70)), ("b", (32, 32))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "in" / f"{name}.png")
    for name in ("run", "model.onnx"):
        command("convert", tmp_path / name, tmp_path / "in", tmp_path / f"out of {name}", "--format", "png")
    for name in ("a.png", "b.png"):
        made = [np.asarray(Image.open(tmp_path / f"out of {each}" / name), int) for each in ("run", "model.onnx")]
        assert np.abs(made[0] - made[1]).max() <= 1
        alone = np.asarray(ours(Image.open(tmp_path / "in" / name)), int)
        assert np.abs(alone - made[0]).max() <= 1
    (tmp_path / "run" / "snapshots").rename(tmp_path / "put away")
    earlier = translate.load(tmp_path / "run", step=RunFolder(tmp_path / "run").checkpoint_steps()[-1], device="cpu")
    assert np.asarray(earlier(Image.open(tmp_path / "in" / "a.png"))).shape == (45, 70, 3)
