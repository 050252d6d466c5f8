"""What can go wrong in a run: disks that fill up, damaged files, diverging weights; and what is left afterwards."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.slow_clock import set_clock
from translate.training.folder import RunFolder
from translate.training.guard import TrainingStopped
from translate.training.run import train


def tiny(data, out, **changes):
    small = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "samples": 2, "tensorboard": False}
    cadence = {"steps": 8, "log_every": 1, "validate_every": 4, "checkpoint_every": 2}
    return {"data": data, "out": out} | small | cadence | changes


def steps_in_journal(run):
    return [json.loads(line)["step"] for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def wait_for(path):
    """Until a thread has written a file."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("limit", "changes", "named"),
    [
        (20_000, {"validate_every": 100}, "step-00000004.pt could not be written"),
        (20_000, {"samples": 0}, "last.safetensors could not be written"),
        (2_000, {}, "File too large"),
        (400, {"validate_every": 100}, "File too large"),
    ],
    ids=["checkpoint", "model", "samples", "journal"],
)
def test_a_full_disk_keeps_the_last_good_checkpoint(fronts, tmp_path, after_step, limit, changes, named):
    """The system really refuses to write on, in the middle of a file."""
    import resource

    def fill(session):
        wait_for(RunFolder(tmp_path / "run").checkpoint(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    after_step(3, fill)
    try:
        with pytest.raises(TrainingStopped, match=rf"{named}.*checkpoint is step 2.*--resume"):
            train("pix2pix", **tiny(fronts, tmp_path / "run", **changes))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run = RunFolder(tmp_path / "run")
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-00000002.pt"]
    assert not list(run.path.glob(".*"))
    assert train(resume=run.path).finished
    assert steps_in_journal(run.path) == list(range(1, 9))


def test_weights_that_are_not_finite_are_never_a_checkpoint(fronts, tmp_path, after_step):
    """The losses of a step are those before its update, which may be what breaks the weights."""
    after_step(4, lambda session: next(session.model.generator.parameters()).data.fill_(float("inf")))
    with pytest.raises(TrainingStopped, match=r"weights after step 4 are not finite.*--lr.*checkpoint is step 2"):
        train("pix2pix", **tiny(fronts, tmp_path / "run", validate_every=100, keep=1))
    assert RunFolder(tmp_path / "run").checkpoint_steps() == [2]


@pytest.mark.parametrize("name", ["bad.safetensors", "empty"])
def test_nothing_is_written_where_there_is_nothing_to_start_from(fronts, tmp_path, name):
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=name):
        train("pix2pix", **tiny(fronts, tmp_path / "run", init_from=tmp_path / name))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, which says how much there is already")
def test_networks_too_large_for_the_memory_are_told_in_one_line(fronts, tmp_path):
    import resource

    there = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (there + 400 * 2**20, hard))
    try:
        with pytest.raises(TrainingStopped, match=r"out of memory.*--width"):
            train("pix2pix", **tiny(fronts, tmp_path / "run", width=512))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert not (tmp_path / "run").exists()


def test_a_reading_process_that_is_killed_is_told_in_one_line(fronts, tmp_path, after_step):
    before = {child.pid for child in multiprocessing.active_children()}  # of earlier tests, on their way out

    def kill(session):
        for child in multiprocessing.active_children():
            if child.pid not in before:
                child.kill()

    after_step(3, kill)
    with pytest.raises(TrainingStopped, match=r"DataLoader worker.*--workers 0.*checkpoint is step \d+"):
        train("pix2pix", **tiny(fronts, tmp_path / "run", steps=3000, validate_every=1_000_000, workers=1))


def test_a_folder_that_is_no_run_is_told_in_one_line(tmp_path):
    for text in ('{"architectures": []}', '{"mod', "[]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config.json"):
            train(resume=tmp_path)


def test_what_the_pictures_are_may_not_change_under_a_run(tmp_path):
    """Here by a test picture with a new colour, which is no part of the fingerprint of what was trained on."""
    colours = {"train": 3, "test": 1}
    for split, count in colours.items():
        for side in "AB":
            (tmp_path / "data" / f"{split}{side}").mkdir(parents=True)
            for i in range(count):
                pixels = np.zeros((32, 32, 3), np.uint8)
                pixels[: 8 * (i + 1)] = 255
                Image.fromarray(pixels).save(tmp_path / "data" / f"{split}{side}" / f"{i}.png")
    train("pix2pix", **tiny(tmp_path / "data", tmp_path / "run", steps=2, source_kind="labels", source_one_hot=True))
    Image.new("RGB", (32, 32), "red").save(tmp_path / "data" / "testA" / "0.png")
    with pytest.raises(ValueError, match="pictures have changed"):
        train(resume=tmp_path / "run", steps=4)


def test_files_of_the_user_stay_in_the_run_folder(fronts, tmp_path):
    train("pix2pix", **tiny(fronts, tmp_path / "run", steps=2))
    (tmp_path / "run" / ".my-notes").touch()
    (tmp_path / "run" / ".git-stuff").mkdir()
    leftover = tmp_path / "run" / "samples" / ".step-00000002-0123456789ab.png"
    leftover.touch()
    train(resume=tmp_path / "run", steps=4)
    assert (tmp_path / "run" / ".my-notes").exists()
    assert not leftover.exists()


def test_training_leaves_the_process_as_it_was(fronts, tmp_path):
    torch.manual_seed(5)
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    train("pix2pix", **tiny(fronts, tmp_path / "run", steps=1, deterministic=True, threads=1))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_either_a_model_or_a_run_to_resume():
    for arguments in ({}, {"model": "pix2pix", "resume": "run"}):
        with pytest.raises(ValueError, match="one of the two"):
            train(**arguments)


def test_the_rate_counts_training_only(fronts, tmp_path, monkeypatch):
    """A validation between two lines of the journal shortens neither the time nor the count of steps alone."""
    set_clock(monkeypatch, step=0.5, validation=100)
    train("pix2pix", **tiny(fronts, tmp_path / "run", steps=8, log_every=4, validate_every=3, batch=3))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["examples_per_second"] for line in lines if "losses" in line] == [6.0, 6.0]


def test_tensorboard_gets_every_line_and_is_closed(fronts, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    threads = threading.active_count()
    train("pix2pix", **tiny(fronts, tmp_path / "run", tensorboard=True, steps=4))
    assert threading.active_count() <= threads + 1  # tqdm keeps one
    events = accumulator.EventAccumulator(os.fspath(tmp_path / "run"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/g_l1")] == [1, 2, 3, 4]


def test_a_stop_right_after_a_checkpoint_writes_it_once(fronts, tmp_path, monkeypatch, after_step):
    """Though it may still be on its way to the disk when the run is to stop."""
    written = []
    plain = RunFolder.save_checkpoint

    def save(folder, step, *args, **kwargs):
        time.sleep(0.1)
        plain(folder, step, *args, **kwargs)
        written.append(step)

    monkeypatch.setattr(RunFolder, "save_checkpoint", save)
    after_step(2, lambda session: os.kill(os.getpid(), signal.SIGTERM))
    assert train("pix2pix", **tiny(fronts, tmp_path / "run")).interrupted == signal.SIGTERM
    assert written == [2]
