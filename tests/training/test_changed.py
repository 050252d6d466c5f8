"""Pictures that go away or change under a run: what is saved and printed, and how it resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.datasets import batches
from translate.inference.translator import read_card
from translate.training.changes import Changes, compare, read_contents, write_contents
from translate.training.folder import RunFolder
from translate.training.guard import TrainingStopped
from translate.training.job import resumed_job
from translate.training.run import fit, train

SMALL = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "samples": 2, "tensorboard": False}


def tiny(data, out, **changes):
    cadence = {"steps": 8, "log_every": 1, "validate_every": 4, "checkpoint_every": 100}
    return {"data": data, "out": out} | SMALL | cadence | changes


def steps(run):
    return [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]


@pytest.fixture
def data(fronts, tmp_path):
    shutil.copytree(fronts, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(data, tmp_path):
    """One of two steps of eight, on `data`."""
    train("pix2pix", **tiny(data, tmp_path / "run", steps=2))
    return RunFolder(tmp_path / "run")


def pictures(data, split="train"):
    return sorted((data / split).glob("*.png"))


def resumed(run, **values):
    printed: list[str] = []
    fit(resumed_job(run.path, {name: str(value) for name, value in values.items()}), say=printed.append)
    return printed


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_go_away_lose_no_step(data, tmp_path, after_step, monkeypatch, workers):
    monkeypatch.setattr(batches, "RETRIES", (0.01,))
    after_step(3, lambda _: [path.unlink() for path in pictures(data)[4:]])
    run = RunFolder(tmp_path / "run")
    with pytest.raises(TrainingStopped, match=r"png: no such file \(tried 2 times\); stopped after .*accept-changed"):
        train("pix2pix", **tiny(data, run.path, steps=100, validate_every=1000, workers=workers))
    saved = run.checkpoint_steps()[-1]
    assert saved >= 3
    assert steps(run) == list(range(1, saved + 1))
    with pytest.raises(ValueError, match=r"pictures have changed .* 8 gone \(train .*png, .*--accept-changed-data"):
        train(resume=run.path)
    assert train(resume=run.path, steps=saved + 2, accept_changed_data=True).finished


def test_a_picture_that_comes_back_in_time_changes_nothing(data, tmp_path, after_step, monkeypatch):
    """The run is that of pictures which were there all the time."""
    reference = train("pix2pix", **tiny(data, tmp_path / "reference"))
    (tmp_path / "away").mkdir()

    def go():
        for path in pictures(data):
            shutil.move(path, tmp_path / "away" / path.name)

    def come(wait):
        for path in (tmp_path / "away").iterdir():
            shutil.move(path, data / "train" / path.name)

    monkeypatch.setattr(batches.time, "sleep", come)
    after_step(3, lambda _: go())
    run = train("pix2pix", **tiny(data, tmp_path / "run"))
    journals = [(one.path / "metrics.jsonl").read_text().splitlines() for one in (run, reference)]
    lines = [[json.loads(line)["losses"] for line in journal] for journal in journals]
    assert lines[0] == lines[1]


def test_a_validation_picture_that_goes_away_ends_a_run_in_order(data, tmp_path, after_step, monkeypatch):
    monkeypatch.setattr(batches, "RETRIES", ())
    after_step(3, lambda _: pictures(data, "val")[1].unlink())
    run = RunFolder(tmp_path / "run")
    with pytest.raises(TrainingStopped, match=r"stopped after step 4 of 8, with the state saved"):
        train("pix2pix", **tiny(data, run.path))
    assert run.checkpoint_steps() == [4]
    assert train(resume=run.path, accept_changed_data=True).finished
    assert steps(run) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_changes_are_named_accepted_loudly_and_recorded(data, run):
    gone, other, *_ = pictures(data)
    gone.unlink()
    Image.fromarray(255 - np.asarray(Image.open(other))).save(other)
    shutil.copy(other, data / "train" / "more.png")
    what = rf"1 gone \(train {gone.stem}.*\); 1 new \(train more.*\); 1 changed \(train {other.stem}.*\)"
    with pytest.raises(ValueError, match=rf"pictures have changed .*{what}.*--accept-changed-data.*--init-from"):
        train(resume=run.path, steps=4)
    printed = resumed(run, steps=4, accept_changed_data=True)
    assert [line.startswith("WARNING: ") for line in printed if "have changed" in line] == [True]
    config = run.read_config()
    (change,) = config["data"]["changes"]
    assert change["step"] == 2
    assert {kind: change[kind]["count"] for kind in ("gone", "new", "changed")} == {"gone": 1, "new": 1, "changed": 1}
    assert read_card(run.model).data["changed_after"] == [2]
    assert train(resume=run.path, steps=5).finished, "these are the run's pictures now"
    pictures(data)[0].unlink()
    with pytest.raises(ValueError, match=r"1 gone"):  # once accepted is not for ever
        train(resume=run.path, steps=6)
    resumed(run, steps=6, accept_changed_data=True)
    assert [change["step"] for change in run.read_config()["data"]["changes"]] == [2, 5]


def test_figures_on_other_validation_pictures_do_not_compete(data, run):
    """Else a lucky first set would keep the model for ever."""
    for path in pictures(data, "val"):
        Image.effect_noise((64, 32), 90).convert("RGB").save(path)
    printed = resumed(run, steps=4, validate_every=4, accept_changed_data=True)
    assert any("best so far" in line for line in printed if line.startswith("step 4"))
    assert read_card(run.model).step == 4


def test_a_run_that_keeps_no_names_is_refused_and_accepted_all_the_same(data, run):
    run.pictures.unlink()
    pictures(data)[0].unlink()
    with pytest.raises(ValueError, match=r"pictures have changed .*keeps no list .*--accept-changed-data"):
        train(resume=run.path, steps=4)
    resumed(run, steps=4, accept_changed_data=True)
    assert run.read_config()["data"]["changes"] == [{"step": 2, "names": "not known"}]
    assert run.pictures.is_file()


def test_pictures_of_another_kind_are_never_accepted(data, run):
    for path in [*pictures(data), *pictures(data, "val"), *pictures(data, "test")]:
        Image.open(path).convert("L").save(path)
    with pytest.raises(ValueError, match=r"of another kind now .*source was 3 channels.*is 1 channel"):
        train(resume=run.path, steps=4, accept_changed_data=True)


def test_a_new_run_has_nothing_to_accept(fronts, tmp_path):
    with pytest.raises(ValueError, match="--accept-changed-data is for --resume"):
        train("pix2pix", **tiny(fronts, tmp_path / "run", accept_changed_data=True))


def test_differences_are_found_by_name(tmp_path):
    before = {"train a": "1", "train b": "2", "val c": "3", "val d": "4"}
    now = {"train a": "1", "train b": "5", "train c": "3", "val d": "4"}
    found = compare(before, now)
    assert found == Changes(gone=("val c",), new=("train c",), changed=("train b",))
    assert (found.touch("train"), found.touch("val"), bool(Changes())) == (True, True, False)
    many = compare({f"train {n:02}": "" for n in range(12)}, {})
    assert many.describe() == f"12 gone ({', '.join(f'train {n:02}' for n in range(10))}, and 2 more)"
    write_contents(tmp_path / "pictures.json.gz", before)
    assert read_contents(tmp_path / "pictures.json.gz") == before
    for damaged in (b"", b"\x1f\x8b", (tmp_path / "pictures.json.gz").read_bytes()[:-9]):
        (tmp_path / "damaged").write_bytes(damaged)
        assert read_contents(Path(tmp_path / "damaged")) is None
