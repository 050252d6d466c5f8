"""Whole runs: what they write, that they resume exactly, and how they stop."""

import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import translate
from tests import warm
from translate import devices
from translate.training.folder import RunFolder
from translate.training.guard import TrainingStopped
from translate.training.job import new_job, resumed_job
from translate.training.run import fit, train

TINY = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "log_every": 1,
    "samples": 2,
    "tensorboard": False,
}
CLOCK = ("examples_per_second", "care_share")  # of the journal: what no two runs have alike


def tiny(data, out, **changes):
    exact = {"deterministic": torch.cuda.is_available()}  # as it needs no asking for on a CPU
    return TINY | exact | {"data": data, "out": out, "steps": 8, "validate_every": 4, "checkpoint_every": 2} | changes


def records(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def final_state(run):
    return RunFolder(Path(run)).load_checkpoint()


def assert_same(a, b, where="state"):
    """Equal to the last bit, through dictionaries and lists."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def losses(run):
    """The journal without its clock."""
    return [{k: v for k, v in r.items() if k not in CLOCK} for r in records(run)]


@pytest.fixture(scope="module")
def whole(fronts, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return train("pix2pix", **tiny(fronts, out))


def test_a_run_leaves_all_its_files(whole):
    names = {p.relative_to(whole.path).as_posix() for p in whole.path.rglob("*") if p.is_file()}
    assert names == {
        "config.json",
        "pictures.json.gz",
        "model.safetensors",
        "last.safetensors",
        "metrics.jsonl",
        "report.html",
        "snapshots/step-00000004.safetensors",
        "snapshots/step-00000008.safetensors",
        "samples/step-00000004.png",
        "samples/step-00000008.png",
        "checkpoints/step-00000006.pt",
        "checkpoints/step-00000008.pt",
    }
    assert whole.finished
    assert (whole.step, whole.steps) == (8, 8)


def test_model_files_can_be_read_by_whom_the_umask_lets(whole, tmp_path):
    (tmp_path / "plain").touch()
    for name in ("model.safetensors", "last.safetensors", "config.json"):
        assert (whole.path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode, name


def test_every_step_is_in_the_journal_once(whole):
    assert [r["step"] for r in records(whole.path)] == list(range(1, 9))
    assert all({"losses", "lr", "epoch"} <= r.keys() for r in records(whole.path))
    validated = {r["step"]: r["validation"] for r in records(whole.path) if "validation" in r}
    assert validated.keys() == {4, 8}
    assert all(v.keys() == {"raw", "averaged"} for v in validated.values())


def test_the_best_weights_are_the_model(whole):
    values = [v["l1"] for r in records(whole.path) if "validation" in r for v in r["validation"].values()]
    assert whole.figures["l1"] == min(values)
    card = translate.load(whole.path).card
    assert card.figures["l1"] == min(values)
    assert card.figures["mean_target_l1"] == whole.blind["l1"]
    assert card.data["train"] == 12
    assert card.data["val"] == 4
    assert card.versions.keys() == {"translate", "torch", "python"}
    assert len(card.data["fingerprint"]) == 64


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_resumed_equals_uninterrupted(whole, fronts, tmp_path, stop_after, monkeypatch):
    """Stopped by a signal after any step and continued: the same state and journal, bit for bit."""
    from translate.training.session import Session

    plain = Session.advance

    def advance(session, batches):
        plain(session, batches)
        if session.done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "advance", advance)
    first = train("pix2pix", **tiny(fronts, tmp_path / "run"))
    assert first.interrupted == signal.SIGTERM
    assert first.step == stop_after
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    second = train(resume=tmp_path / "run")
    assert second.finished
    assert_same(final_state(tmp_path / "run"), final_state(whole.path))
    assert losses(tmp_path / "run") == losses(whole.path)
    for name in ("model.safetensors", "last.safetensors"):
        ours, theirs = (translate.load(run / name) for run in (tmp_path / "run", whole.path))
        assert ours.card.figures == theirs.card.figures
        assert_same(load_file(tmp_path / "run" / name), load_file(whole.path / name))


def test_resuming_with_accumulation_and_workers_is_exact(fronts, tmp_path):
    changes = {"schedule": "constant", "accumulate": 2, "batch": 2, "cache": "memory", "rotate": 10.0, "dropout": 0.5}
    train("pix2pix", **tiny(fronts, tmp_path / "whole", steps=4, **changes))
    train("pix2pix", **tiny(fronts, tmp_path / "run", steps=2, **changes))
    train(resume=tmp_path / "run", steps=4, workers=1)
    assert_same(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


@pytest.mark.parametrize(
    "changes",
    [
        {"channels_last": True, "precision": "bfloat16", "batch": 2},
        {"precision": "float16", "ema": 0.0},
        {"val_fraction": 0.0, "norm": "instance", "samples": 6},
        {"threads": 1, "deterministic": True, "derive": "noise"},
    ],
)
def test_resuming_is_exact_under_every_arithmetic(fronts, tmp_path, changes):
    constant = {"schedule": "constant", **changes}
    data = fronts / "train" if {"derive", "val_fraction"} & changes.keys() else fronts
    train("pix2pix", **tiny(data, tmp_path / "whole", steps=4, **constant))
    train("pix2pix", **tiny(data, tmp_path / "run", steps=2, **constant))
    train(resume=tmp_path / "run", steps=4)
    states = [final_state(run) for run in (tmp_path / "run", tmp_path / "whole")]
    for state in states:
        state.pop("choice", None)  # the one was validated after its second step, too
    assert_same(*states)


def test_the_seed_decides(fronts, tmp_path, whole):
    train("pix2pix", **tiny(fronts, tmp_path / "same"))
    train("pix2pix", **tiny(fronts, tmp_path / "other", seed=1))
    assert losses(tmp_path / "same") == losses(whole.path)
    assert losses(tmp_path / "other") != losses(whole.path)


def journal_size(run):
    return run.metrics.stat().st_size if run.metrics.is_file() else 0


@pytest.mark.slow
def test_kill_minus_nine_at_random_moments(fronts, tmp_path):
    """Each kill loses at most the steps since the last checkpoint but one; the end is that of a run never interrupted.

    The last one may still be on its way to the disk: the next one waits for it.
    """
    every, steps = 10, 600
    flags = tiny(fronts, tmp_path / "run", steps=steps, checkpoint_every=every, validate_every=50, keep_best="psnr")
    flags |= {"metric_features": "none"}
    reference = train("pix2pix", **(flags | {"out": tmp_path / "reference"}))
    words = [word for k, v in flags.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    chance = random.Random(0)
    run = RunFolder(tmp_path / "run")
    for _ in range(4):
        more = ["--resume", str(run.path)] if run.config.is_file() else ["pix2pix", *words]
        before, size = run.checkpoint_steps()[-1:], journal_size(run)
        new = not run.config.is_file()
        with warm.translate("train", *more, stdout=None, stderr=warm.DEVNULL, new=new) as process:
            while journal_size(run) <= size and process.poll() is None:  # a resumed run first cuts what was lost
                size = min(size, journal_size(run))
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.7))
            assert process.poll() is None, "it ended before it was killed: the test needs more steps"
            process.kill()
        assert run.checkpoint_steps()[-1:] >= before
        written = [
            json.loads(line)["step"] for line in run.metrics.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        saved = (run.checkpoint_steps() or [0])[-1]
        assert written[-1] - saved <= 2 * every
    train(resume=run.path)
    assert_same(final_state(run.path), final_state(reference.path))
    assert_same(load_file(run.best("psnr")), load_file(reference.path / "best-psnr.safetensors"))
    assert [r["step"] for r in records(run.path)] == list(range(1, steps + 1))
    assert losses(run.path) == losses(reference.path)


def test_a_checkpoint_is_written_when_much_time_has_passed(fronts, tmp_path):
    run = train("pix2pix", **tiny(fronts, tmp_path / "run", checkpoint_every=1000, checkpoint_minutes=1e-9, keep=100))
    assert RunFolder(run.path).checkpoint_steps() == list(range(1, 9))


def test_more_steps_are_accepted_and_other_changes_refused_by_name(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    with pytest.raises(ValueError, match=r"--width cannot change .*it is 4"):
        resumed_job(tmp_path / "run", {"width": "8"})
    with pytest.raises(ValueError, match="--seed cannot change"):
        train(resume=tmp_path / "run", seed=3)
    with pytest.raises(ValueError, match=r"step 8 of 8.*--steps"):
        train(resume=tmp_path / "run")
    assert resumed_job(tmp_path / "run", {"width": "4"}).science.width == 4
    longer = train(resume=tmp_path / "run", steps=10, log_every=2)
    assert longer.step == 10
    assert [r["step"] for r in records(tmp_path / "run")] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["steps"] == 10


def test_changed_pictures_are_noticed(fronts, tmp_path):
    shutil.copytree(fronts, tmp_path / "data")
    train("pix2pix", **tiny(tmp_path / "data", tmp_path / "run", steps=2))
    next((tmp_path / "data" / "train").iterdir()).unlink()
    with pytest.raises(ValueError, match="pictures have changed"):
        train(resume=tmp_path / "run", steps=4)


def test_a_moved_data_folder_is_accepted(fronts, tmp_path):
    shutil.copytree(fronts, tmp_path / "data")
    train("pix2pix", **tiny(tmp_path / "data", tmp_path / "run", steps=2))
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="--data: no folder"):
        train(resume=tmp_path / "run", steps=4)
    assert train(resume=tmp_path / "run", steps=4, data=tmp_path / "elsewhere").finished


def test_an_output_folder_in_use_is_refused(whole, fronts, tmp_path):
    before = sorted(p.name for p in whole.path.rglob("*"))
    with pytest.raises(ValueError, match=r"holds a run.*--resume"):
        train("pix2pix", **tiny(fronts, whole.path))
    assert sorted(p.name for p in whole.path.rglob("*")) == before
    (tmp_path / "something").touch()
    with pytest.raises(ValueError, match="is not empty"):
        train("pix2pix", **tiny(fronts, tmp_path))


def test_without_out_a_free_folder_is_found(fronts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {k: v for k, v in tiny(fronts, None, steps=1).items() if k != "out"}
    assert train("pix2pix", **settings).path == Path("runs/pix2pix-fronts")
    assert new_job("pix2pix", settings).folder.path == Path("runs/pix2pix-fronts-2")


def test_fine_tuning_says_what_was_not_loaded(whole, fronts, tmp_path):
    printed: list[str] = []
    job = new_job("pix2pix", tiny(fronts, tmp_path / "run", steps=1, init_from=whole.path, target_channels=1))
    fit(job, say=printed.append)
    (line,) = [s for s in printed if s.startswith("started from")]
    assert "generator.up.0.conv.bias (3 there, 1 here)" in line
    assert "discriminator.network.0.weight (4x6x4x4 there, 4x4x4x4 here)" in line


def test_fine_tuning_starts_from_the_weights(whole, fronts, tmp_path):
    printed: list[str] = []
    flags = tiny(fronts, tmp_path / "run", steps=1, init_from=whole.path / "model.safetensors", lr=1e-12, ema=0.0)
    fit(new_job("pix2pix", flags), say=printed.append)
    (line,) = [s for s in printed if s.startswith("started from")]
    assert "not in the file, so new" in line
    assert "discriminator" in line
    mine = RunFolder(tmp_path / "run").load_checkpoint()["model"]
    for name, value in load_file(whole.path / "model.safetensors").items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(mine[name], value, rtol=0, atol=1e-9)


def test_fine_tuning_at_another_size(whole, fronts, tmp_path):
    printed: list[str] = []
    fit(
        new_job("pix2pix", tiny(fronts, tmp_path / "run", size=64, steps=1, init_from=whole.path)),
        say=printed.append,
    )
    assert any("generator" in s and s.startswith("started from") for s in printed)


def test_a_loss_that_is_not_finite_stops_the_run(fronts, tmp_path, monkeypatch):
    from translate.training.session import Session

    plain = Session.advance

    def advance(session, batches):
        if session.done == 4:
            with torch.no_grad():
                next(session.model.generator.parameters()).fill_(float("nan"))
        plain(session, batches)

    monkeypatch.setattr(Session, "advance", advance)
    with pytest.raises(
        TrainingStopped, match=r"step 5 is not a finite.*--init-from.*--lr.*--source-range.*checkpoint is step 4"
    ):
        train("pix2pix", **tiny(fronts, tmp_path / "run"))
    assert RunFolder(tmp_path / "run").checkpoint_steps() == [2, 4]
    state = final_state(tmp_path / "run")["model"]
    assert all(torch.isfinite(v).all() for v in state.values() if v.is_floating_point())


def test_an_exploding_rate_is_caught_for_real(fronts, tmp_path):
    with pytest.raises(TrainingStopped, match="not a finite"):
        train("pix2pix", **tiny(fronts, tmp_path / "run", lr=1e30, norm="none", steps=40, checkpoint_every=100))


def test_out_of_memory_is_told_with_advice(fronts, tmp_path, monkeypatch):
    from translate.training.session import Session

    def advance(session, batches):
        torch.empty(2**60)  # the allocator's own error

    monkeypatch.setattr(Session, "advance", advance)
    with pytest.raises(TrainingStopped, match=r"out of memory.*--batch.*--accumulate.*--size"):
        train("pix2pix", **tiny(fronts, tmp_path / "run"))


def test_other_errors_keep_their_traceback():
    assert not devices.is_out_of_memory(RuntimeError("shapes do not match"))
    assert devices.is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))


def test_training_in_a_thread_works(fronts, tmp_path):
    """Signals can only be caught in the main thread: elsewhere the run goes without."""
    result = []
    thread = threading.Thread(target=lambda: result.append(train("pix2pix", **tiny(fronts, tmp_path / "run", steps=1))))
    thread.start()
    thread.join()
    assert result[0].finished


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "instance"},
        {"norm": "group", "upsample": "resize"},
        {"norm": "none", "objective": "lsgan", "schedule": "cosine"},
        {"precision": "bfloat16", "channels_last": True},
        {"precision": "float16"},
        {"ema": 0.0, "best": "ssim"},
        {"source_kind": "labels", "source_one_hot": True, "balance_l1": 1.0},
        {"source_kind": "labels", "balance_l1": 0.5},
        {"direction": "BtoA", "target_kind": "labels", "target_one_hot": True},
        {"size": 20, "patch": 1},
        {"inference_norm": "running", "batch": 3},
    ],
)
def test_every_choice_trains_saves_and_converts(fronts, tmp_path, changes):
    run = train("pix2pix", **(tiny(fronts, tmp_path / "run", steps=2) | changes))
    assert run.finished
    from PIL import Image

    picture = Image.open(sorted((fronts / "test").iterdir())[0]).crop((0, 0, 32, 32))
    output = run.load()(picture)
    assert output.size == picture.size
    assert output.mode == "RGB"
