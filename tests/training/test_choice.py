"""Which weights a run keeps: by what, with which memory, and when it has gone on for long enough."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import translate
from tests.training.test_every_run_field import SMALL
from translate.card import Card
from translate.training.choice import MODEL, Choice
from translate.training.folder import RunFolder
from translate.training.job import new_job
from translate.training.model_files import ModelFiles
from translate.training.run import fit, train
from translate.weights import load_tensors

SHORT: dict[str, Any] = SMALL | {"steps": 6, "log_every": 2, "validate_every": 1, "checkpoint_every": 2, "samples": 0}


def kept(values, errors=None, *, best="kid"):
    """Steps at which weights with these figures are kept."""
    choice, steps = Choice(), []
    for step, value in enumerate(values, 1):
        error = {} if errors is None else {"kid_lite0": errors[step - 1]}
        if choice.takes(MODEL, best, {"kid_lite0": value, "l1": value}, error):
            steps.append(step)
    return steps


def test_within_a_standard_error_of_the_best_the_later_step_wins():
    assert kept([0.5, 0.3, 0.35, 0.29, 0.36, 0.31], [0.1, 0.04, 0.04, 0.04, 0.04, 0.04]) == [1, 2, 4, 6]
    assert kept([0.5, 0.3, 0.35, 0.3]) == [1, 2]  # without an error an equal value is not better
    assert kept([0.5, 0.3, 0.35, 0.3], [1.0] * 4, best="l1") == [1, 2]  # of KID alone


def test_later_steps_cannot_creep_away_from_the_best_value():
    """Each is within the error of the one before, and compared with the best of all."""
    assert kept([0.30, 0.33, 0.36, 0.39], [0.04] * 4) == [1, 2]


def test_another_figure_begins_with_what_the_file_has():
    choice = Choice()
    assert choice.takes(MODEL, "l1", {"l1": 0.2, "psnr": 20.0}, {})
    assert not choice.takes(MODEL, "psnr", {"l1": 0.1, "psnr": 19.0}, {}, former={"l1": 0.2, "psnr": 20.0})
    assert choice.takes(MODEL, "psnr", {"l1": 0.3, "psnr": 20.5}, {}, former={"l1": 0.2, "psnr": 20.0})
    assert choice.takes(MODEL, "last", {"l1": 0.3}, {}, former={"l1": 0.3})
    assert choice.takes(MODEL, "kid", {"kid_lite0": 0.3}, {}, former={"l1": 0.3})
    assert choice.takes(MODEL, "kid", {"kid_lite1": 0.4}, {}, former={"kid_lite0": 0.3})  # by another network
    assert not choice.takes(MODEL, "kid", {"l1": 0.1}, {}, former={"kid_lite1": 0.4})


def test_the_best_of_every_figure_is_noted_with_its_step():
    choice = Choice()
    for step, (l1, psnr) in enumerate([(0.3, 10.0), (0.2, 11.0), (0.25, 12.0), (0.26, 11.0)], 1):
        choice.note(step, {"raw": {"l1": 1.0}, "averaged": {"l1": l1, "psnr": psnr, "made_up": 0.0}}, {})
    assert choice.steps() == {"l1": 2, "psnr": 3}
    assert (choice.waited("l1"), choice.waited("psnr"), choice.waited("kid")) == (2, 1, 0)
    for step, name in enumerate(["kid_lite0", "kid_lite0", "kid_lite1"], 5):
        choice.note(step, {"raw": {name: 0.1}}, {})
    assert choice.waited("kid") == 0  # by another network it begins anew


@pytest.fixture(scope="module")
def run(fronts, tmp_path_factory):
    """A run that keeps more than one best."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "run"
    flags = SHORT | {"data": fronts, "out": out, "keep_best": "psnr,drift", "lr": 5e-3}
    return SimpleNamespace(path=fit(new_job("pix2pix", flags), say=said.append).path, said=said)


def validations(path):
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["validation"] for line in lines if "validation" in line}


def test_each_kept_figure_has_the_weights_of_its_best_step(run):
    found = validations(run.path)
    for figure, choose in (("psnr", max), ("drift", min)):
        values = {(step, name): each[name][figure] for step, each in found.items() for name in each}
        step, weights = choose(values, key=values.__getitem__)
        card = translate.load(run.path / f"best-{figure}.safetensors").card
        assert (card.step, card.weights) == (step, weights)
        assert card.figures[figure] == values[step, weights]


def test_a_kept_file_converts(run, fronts, tmp_path):
    report = translate.load(run.path / "best-psnr.safetensors").convert(fronts / "test", tmp_path / "out")
    assert report.converted == 3


def test_the_end_says_which_step_was_best_by_what(run):
    start = run.said.index("best figures on the validation pictures:")
    table = run.said[start + 1 :]
    steps = translate.load(run.path).card.best_steps
    assert [line.split()[0] for line in table] == ["L1", "PSNR", "SSIM", "drift"]
    assert f"step {steps['l1']}, in model.safetensors" in table[0]
    assert f"step {steps['psnr']}, in best-psnr.safetensors" in table[1]
    assert table[2].endswith(f"step {steps['ssim']}")
    files = ("model", "last", "best-psnr", "best-drift")
    assert all(translate.load(run.path / f"{name}.safetensors").card.best_steps == steps for name in files)
    assert f"best at    l1 step {steps['l1']}, " in translate.load(run.path).card.describe()


def test_the_end_says_where_a_later_step_was_kept_than_the_best(run):
    """By KID, whose error lets a later step win."""
    of_file = translate.load(run.path).card.step
    for best, told in ((of_file, ", in model.safetensors"), (of_file + 1, f"; model.safetensors is of step {of_file}")):
        choice = Choice()
        choice.note(best, {"raw": {"kid_lite0": 0.3}}, {"raw": {"kid_lite0": 0.1}})
        assert choice.takes(MODEL, "kid", {"kid_lite0": 0.3}, {"kid_lite0": 0.1})
        files: Any = SimpleNamespace(
            session=SimpleNamespace(choice=choice), job=SimpleNamespace(folder=RunFolder(run.path))
        )
        (line,) = ModelFiles.report(files)[1:]
        assert f"step {best}{told}" in line


def test_a_kept_figure_that_the_run_cannot_have_is_refused(unpaired_fronts, fronts, tmp_path):
    for data, model, keep, need in (
        (fronts, "pix2pix", "right", "needs a model with labels or text as its condition"),
        (fronts, "pix2pix", "l1,kid", "needs a pretrained network to judge by: --metric-features none"),
        (fronts, "pix2pix", "l1,l1", "it names a figure twice"),
        (fronts, "pix2pix", "last", "must be of l1, psnr"),
    ):
        with pytest.raises(ValueError, match=rf"--keep-best .*{need}"):
            train(model, **SHORT, data=data, out=tmp_path / "run", keep_best=keep)
    assert not any(tmp_path.iterdir())


def test_a_run_that_no_longer_improves_ends_and_goes_on_if_asked(fronts, tmp_path):
    """With a rate of nothing the raw weights stay as they are, and no figure gets better."""
    said: list[str] = []
    flags = SHORT | {"data": fronts, "out": tmp_path / "run", "lr": 1e-30, "ema": 0, "patience": 2}
    flags |= {"norm": "instance", "steps": 9}
    run = fit(new_job("pix2pix", flags), say=said.append)
    assert (run.step, run.steps, run.interrupted) == (3, 9, None)
    assert run.finished
    assert run.no_longer_improving
    assert said[-1].startswith("ended after step 3 of 9: 2 validations without a better L1; to go on: translate train")
    assert RunFolder(run.path).checkpoint_steps()[-1] == 3
    with pytest.raises(ValueError, match="was ended after step 3 by --patience 2: give a larger --patience, or none"):
        train(resume=run.path)
    again = train(resume=run.path, patience=4)  # two of the four are behind it
    assert (again.step, again.no_longer_improving) == (5, True)
    last = train(resume=run.path, patience="none")
    assert (last.step, last.finished, last.no_longer_improving) == (9, True, False)


def test_patience_needs_something_to_wait_for(fronts, unpaired_fronts, tmp_path):
    with pytest.raises(ValueError, match="--patience 3 changes nothing with --best last"):
        train("pix2pix", **SHORT, data=fronts, out=tmp_path / "run", patience=3, best="last")
    sides = {"source": unpaired_fronts / "trainA", "target": unpaired_fronts / "trainB", "blocks": 1}
    with pytest.raises(ValueError, match=r"--patience 3 needs a figure .*there is none \(--best auto: .*features"):
        train("cyclegan", **SHORT, **sides, out=tmp_path / "run", patience=3)


def test_a_resumed_run_chooses_as_one_that_was_not_stopped(run, fronts, tmp_path, after_step):
    import os
    import signal

    after_step(3, lambda session: os.kill(os.getpid(), signal.SIGTERM))
    flags = SHORT | {"data": fronts, "out": tmp_path / "run", "keep_best": "psnr,drift", "lr": 5e-3}
    assert train("pix2pix", **flags).interrupted
    resumed = train(resume=tmp_path / "run")
    states = [RunFolder(path).load_checkpoint() for path in (run.path, resumed.path)]
    assert states[0]["choice"] == states[1]["choice"]
    for file in ("best-psnr", "best-drift", "model"):
        cards = [translate.load(path / f"{file}.safetensors").card for path in (run.path, resumed.path)]
        assert cards[0].figures == cards[1].figures
        assert cards[0].best_steps == cards[1].best_steps


def test_the_test_split_never_chooses(run, fronts, tmp_path):
    """With other test pictures, or none, a run is the same."""
    import shutil

    shutil.copytree(fronts, tmp_path / "fronts")
    for path in (tmp_path / "fronts" / "test").iterdir():
        shutil.copy(fronts / "val" / sorted(p.name for p in (fronts / "val").iterdir())[0], path)
    flags = SHORT | {"data": tmp_path / "fronts", "out": tmp_path / "run", "keep_best": "psnr,drift", "lr": 5e-3}
    other = fit(new_job("pix2pix", flags), say=lambda line: None)
    assert validations(other.path) == validations(run.path)
    ours, theirs = (load_tensors(path / "model.safetensors") for path in (other.path, run.path))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert translate.load(other.path).card.step == translate.load(run.path).card.step


def test_a_card_of_before_has_no_best_steps(run):
    card = translate.load(run.path).card
    old = json.loads(card.to_metadata()["translate"])
    del old["best_steps"]
    assert Card.from_metadata({"translate": json.dumps(old)}, path="old").best_steps == {}
