"""Two trainings in one run folder: the second is refused, the first is not disturbed. Real processes."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.warm import Command, translate
from translate.training.folder import RunFolder

NETWORKS = ("--size", 32, "--width", 4, "--discriminator-width", 4, "--patch", 16)
SMALL = (*NETWORKS, "--tensorboard", "false", "--metric-features", "none", "--log-every", 1, "--samples", 0)


def begin(*words: object) -> Command:
    return translate("train", *words)


def wait_for_steps(run: RunFolder, process: Command, count: int = 1) -> None:
    while not run.metrics.is_file() or len(run.metrics.read_text().splitlines()) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def steps(run: RunFolder) -> list[int]:
    return [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]


def stopped(process: Command) -> None:
    """End a run in order."""
    process.terminate()
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, printed


@pytest.mark.slow
def test_of_two_that_start_together_one_trains(fronts, tmp_path):
    run = RunFolder(tmp_path / "run")
    words = ["pix2pix", "--data", fronts, "--out", run.path, "--steps", 100_000, *SMALL]
    both = [begin(*words, "--seed", seed) for seed in (0, 1)]
    while all(process.poll() is None for process in both):
        time.sleep(0.01)
    refused, trains = sorted(both, key=lambda process: process.poll() is None)
    _, printed = refused.communicate()
    assert refused.returncode == 2
    assert f"the run folder {run.path} is in use by process {trains.pid} on" in printed
    wait_for_steps(run, trains)
    stopped(trains)
    assert steps(run) == list(range(1, len(steps(run)) + 1))
    assert not list(run.path.glob(".*"))


@pytest.mark.slow
def test_a_run_that_is_still_going_is_not_resumed(fronts, tmp_path):
    run = RunFolder(tmp_path / "run")
    words = ["--data", fronts, "--out", run.path, "--steps", 100_000, "--checkpoint-every", 10, *SMALL]
    first = begin("pix2pix", *words)
    wait_for_steps(run, first, 15)
    second = begin("--resume", run.path)
    _, printed = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"the run folder {run.path} is in use by process {first.pid} on" in printed
    assert "Traceback" not in printed
    stopped(first)
    assert steps(run) == list(range(1, len(steps(run)) + 1))


@pytest.mark.slow
def test_a_killed_run_with_workers_is_resumed_at_once(fronts, tmp_path):
    """Its workers need some seconds to notice, and inherit what was open."""
    run = RunFolder(tmp_path / "run")
    words = ["--data", fronts, "--out", run.path, "--steps", 40, "--checkpoint-every", 10, "--workers", 2, *SMALL]
    first = begin("pix2pix", *words)
    wait_for_steps(run, first, 15)
    first.kill()
    first.communicate()
    assert run.lock.exists()
    second = begin("--resume", run.path, "--workers", 0)
    _, printed = second.communicate(timeout=120)
    assert second.returncode == 0, printed
    assert steps(run) == list(range(1, 41))
