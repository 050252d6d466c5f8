"""Runs and model files of every method, as commit 854c712 wrote them: they load, convert, and go on from there.

Of what continues only plain pix2pix is held to its weights; the others draw (pools, augmentation, places, codes) as the
version does that continues them.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from tests.frozen_runs.runs import (
    OTHERWISE,
    PLAIN,
    RUNS,
    STEPS,
    STOPPED,
    asked_picture,
    digest,
    leaves,
    read_notes,
    rounding,
    unpack,
)
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return unpack("pictures", tmp_path_factory.mktemp("frozen"))


def read(path):
    """A training state, past the code that is tried here."""
    return torch.load(path, map_location="cpu", weights_only=True)


def continued(run, data, monkeypatch):
    """Train to the end; the state as it was before the first step, and after each."""
    states: dict[int, dict[str, Any]] = {}
    plain = Session.advance

    def advance(session, batches):
        if not states:
            states[session.done] = dict(leaves(copy.deepcopy(session.state_dict())))
        plain(session, batches)
        states[session.done] = {}
        if session.done > STOPPED:
            states[session.done] = {"digest": digest(session.state_dict()["model"])}

    monkeypatch.setattr(Session, "advance", advance)
    finished = train(resume=run, data=data, device="cpu")
    assert (finished.step, finished.steps, finished.interrupted) == (STEPS, STEPS, None)
    return states


def same(a, b):
    """To the last bit, of tensors that may hold what is not equal to itself."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and digest({"": a}) == digest({"": b})
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", RUNS)
def test_the_model_file_gives_the_pixels_that_it_gave(name, pictures, tmp_path):
    run = unpack(name, tmp_path)
    model, data, _, asked = RUNS[name]
    ways: dict[str, dict[str, Any]] = {
        "translated": {},
        "checkpoint": {"step": STOPPED},
        "reversed": {"direction": "BtoA"},
    }
    kept = [way for way in ways if (run / f"{way}.png").is_file()]
    assert kept == [way for way in ways if way != "reversed" or model in ("cyclegan", "discogan", "dualgan")]
    for way in kept:
        translator = translate.load(run, device="cpu", **ways[way])
        assert (translator.card.model, translator.card.step) == (model, STOPPED)
        made = np.asarray(translator(asked_picture(pictures, data), **asked)).astype(int)
        with Image.open(run / f"{way}.png") as image:
            expected = np.asarray(image).astype(int)
        assert np.abs(made - expected).max() <= 1, way
        assert expected.std() > 8, "a flat picture would prove little"
        if asked:
            ((what, value),) = asked.items()
            otherwise: dict[str, Any] = {what: OTHERWISE[value]}
            other = np.asarray(translator(asked_picture(pictures, data), **otherwise)).astype(int)
            assert np.abs(other - expected).max() > 2, "what is asked has to show"


@pytest.mark.parametrize("name", RUNS)
def test_the_run_goes_on_from_the_state_that_was_kept(name, pictures, tmp_path, monkeypatch):
    run = unpack(name, tmp_path)
    _, data, settings, _ = RUNS[name]
    kept = dict(leaves(read(RunFolder(run).checkpoint(STOPPED))))
    states = continued(run, pictures / data, monkeypatch)
    loaded = states[STOPPED]
    # BicycleGAN's encoder was not averaged then: its average starts from the encoder itself
    added = {where: value for where, value in loaded.items() if where.startswith("average.model.encoder.")}
    if name == "bicyclegan":
        assert added
        assert all(same(value, kept[where.removeprefix("average.")]) for where, value in added.items())
        loaded = {where: value for where, value in loaded.items() if where not in added}
    assert loaded.keys() == kept.keys()
    assert not [where for where in kept if not same(kept[where], loaded[where])]
    assert kept["step"] == STOPPED
    assert kept["meter.count"] > 0
    assert any(where.endswith("exp_avg_sq") or where.endswith("square_avg") for where in kept)
    pools = [value for where, value in kept.items() if where.startswith("pools.") and isinstance(value, torch.Tensor)]
    assert bool(pools) == bool(settings.get("pool"))
    assert all(len(pool) == settings["pool"] for pool in pools)
    if name in PLAIN:
        _assert_same_end(run, states, **{"size": 16, **settings})


def _assert_same_end(run, states, *, size, width, **_):
    """As the run that was never stopped: bit by bit on a machine that rounds as that one did, else very nearly."""
    notes = read_notes(run)
    steps = range(STOPPED + 1, STEPS + 1)
    digests, once = [states[step]["digest"] for step in steps], [notes["model"][str(step)] for step in steps]
    alike = notes["torch"] == torch.__version__ and notes["rounding"] == rounding(size=size, width=width)
    if alike or digests[0] == once[0]:
        assert digests == once
    assert furthest(run) <= 1


def furthest(run):
    """How far the end is from that of the run that was never stopped, in what another machine may round otherwise."""
    now, before = (dict(leaves(read(path))) for path in (RunFolder(run).checkpoint(STEPS), run / "end.pt"))
    assert {where for where in now if not where.startswith("choice.")} == before.keys()
    far = []
    for where, expected in before.items():
        if isinstance(expected, torch.Tensor):
            # moments follow the gradients, and show a change of a formula that the steps of Adam may hide
            moment = where.startswith("optimizers.")
            allowed = max(1e-3 * float(expected.abs().max()), 1e-12) if moment else 1e-6
            far.append(float((now[where] - expected).abs().max()) / allowed)
    return max(far)


def test_another_formula_is_noticed_where_rounding_is_another_too(pictures, tmp_path, monkeypatch):
    run = unpack("pix2pix", tmp_path)
    config = run / "config.json"
    text = config.read_text(encoding="utf-8")
    assert '"lambda_l1": 100.0' in text
    config.write_text(text.replace('"lambda_l1": 100.0', '"lambda_l1": 101.0'), encoding="utf-8")
    continued(run, pictures / "pairs", monkeypatch)
    assert furthest(run) > 3
