"""That a run ends, whatever ends it: real processes, which have to be gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 120  # seconds, for a loaded machine; a process that hangs would take for ever

OWN = """
from translate.models.pix2pix import Pix2Pix

class Broken(Pix2Pix):
    def objective(self, *words, **named):
        raise KeyError("a fault of the program")
"""

TRAIN = """
import sys, translate
small = dict(size=32, width=4, discriminator_width=4, patch=16, steps=1000, tensorboard=False, norm="none")
translate.train(sys.argv[1], data=sys.argv[2], out=sys.argv[3], workers=2, **small, **eval(sys.argv[4]))
"""

BATCHES = """
import sys
from translate.datasets.batches import make_dataset, training_batches
from translate.datasets.prepare import prepare
from translate.settings import DataSettings
settings = DataSettings(data=sys.argv[1], size=32)
dataset = make_dataset(prepare(settings, say=str), settings=settings, part="train", seed=0)
batches = training_batches(dataset, batch=1, seed=0, workers=2)
next(batches)
raise KeyError("a fault of the program")
"""

UNSTARTED = """
import multiprocessing, sys
start, started = multiprocessing.Process.start, []
def failing(process):
    if started:
        raise OSError(12, "Cannot allocate memory")
    started.append(process)
    start(process)
multiprocessing.Process.start = failing
"""


def ended(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program run to its end, which has to come, and not one process of its left."""
    environment = {**os.environ, "TRANSLATE_TEST": str(folder)}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    deadline = time.monotonic() + 20  # an orphan notices within 5 s; a daemon never
    while (left := of_folder(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"processes {left} are left"
    return done


def of_folder(folder: Path) -> list[str]:
    """Processes that were started by `ended` for this folder, by what they inherited."""
    mark, found = f"TRANSLATE_TEST={folder}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:  # another user's, or gone
            continue
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@pytest.mark.slow
@needs_proc
def test_an_error_beside_open_batches_ends_the_process_and_its_workers(fronts, tmp_path):
    done = ended("-c", BATCHES, fronts, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("KeyError: 'a fault of the program'\n")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "model", "changes", "message"),
    [
        (TRAIN, "pix2pix", {"lr": 1e30}, "TrainingStopped: the loss"),
        (TRAIN, "broken:Broken", {}, "KeyError: 'a fault of the program'"),
        (UNSTARTED + TRAIN, "pix2pix", {}, "Cannot allocate memory"),
    ],
    ids=["diverged", "a fault", "no second worker"],
)
def test_a_training_that_fails_in_python_ends(fronts, tmp_path, program, model, changes, message):
    (tmp_path / "broken.py").write_text(OWN)
    done = ended("-c", program, model, fronts, tmp_path / "run", changes, folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


@needs_proc
@pytest.mark.slow
def test_a_command_that_meets_a_fault_ends(fronts, tmp_path):
    (tmp_path / "broken.py").write_text(OWN)
    words = ("-m", "translate", "train", "broken:Broken", "--data", fronts, "--out", tmp_path / "run")
    small = ("--size", 32, "--width", 4, "--patch", 16, "--workers", 2, "--tensorboard", "false")
    done = ended(*words, *small, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("KeyError: 'a fault of the program'\n")
