"""Training under the launchers that people use, as they call them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from translate.training.folder import RunFolder

LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    # --cpu would be one process, whatever their number: several on one machine are what --multi_gpu starts
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ],
}

pytestmark = pytest.mark.slow  # three processes import torch for each

LIMIT = 150  # seconds, so that what hangs fails


def command(launcher, *words):
    return [sys.executable, "-m", *LAUNCHERS[launcher], "-m", "translate", "train", *map(str, words)]


def flags(data, out, **changes):
    values: dict = {
        "size": 32,
        "width": 4,
        "discriminator_width": 4,
        "patch": 16,
        "blocks": 1,
        "steps": 3,
        "log_every": 1,
    }
    values |= {"device": "cpu", "tensorboard": False, "metric_features": "none", "data": data, "out": out, **changes}
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def start(words, **variables):
    return subprocess.Popen(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    try:
        said, complained = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said, complained


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("accelerate", marks=pytest.mark.exhaustive)])
def test_two_processes_leave_one_run_and_one_set_of_messages(launcher, fronts, tmp_path):
    code, said, complained = finish(start(command(launcher, "cyclegan", *flags(fronts, tmp_path / "run"))))
    assert code == 0, complained
    lines = said.splitlines()
    assert len(lines) == len(set(lines)), said
    assert sum(line.startswith("finished: ") for line in lines) == 1, said
    assert "translate/" not in complained, complained  # no warning of a line of ours
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3]
    assert all(r["examples_per_second"] > r["examples_per_second_and_process"] > 0 for r in records)
    state = RunFolder(tmp_path / "run").load_checkpoint()
    assert (state["step"], state["seen"], len(state["pools"])) == (3, 6, 2)


def test_a_wrong_flag_is_told_once(fronts, tmp_path):
    words = command("torchrun", "cyclegan", *flags(fronts, tmp_path / "run", widht=4))
    code, said, complained = finish(start(words))
    assert code != 0
    ours = [line for line in (said + complained).splitlines() if line.startswith("translate: ")]
    assert len(ours) == 1, complained
    assert "--widht" in ours[0]
    assert not (tmp_path / "run").exists()


def test_half_of_a_launchers_variables_are_one_clear_line(fronts, tmp_path):
    words = [sys.executable, "-m", "translate", "train", "pix2pix", *flags(fronts, tmp_path / "run")]
    words = [word for word in words if not word.startswith("--blocks")]
    code, _, complained = finish(start(words, WORLD_SIZE="2"))
    assert code == 2
    assert complained.startswith("translate: WORLD_SIZE is set but RANK, ")
    assert len(complained.splitlines()) == 1


def test_a_run_that_cannot_go_on_ends_all_processes(fronts, tmp_path):
    """The first process finds the loss not finite and ends; the other waits for it in the next exchange."""
    run = flags(fronts, tmp_path / "run", lr=1e30, norm="none", steps=10_000)
    code, _, complained = finish(start(command("torchrun", "cyclegan", *run)))
    assert code != 0
    told = [line for line in complained.splitlines() if line.startswith("translate: ")]
    assert sum("not a finite number" in line for line in told) == 1, complained
    assert "RuntimeError" not in complained


def test_control_c_reaches_all_twice_and_still_saves(fronts, tmp_path):
    """A terminal sends it to the launcher and to the processes, and the launcher passes it on to the processes."""
    process = start(command("torchrun", "cyclegan", *flags(fronts, tmp_path / "run", steps=100_000)))
    journal: Path = tmp_path / "run" / "metrics.jsonl"
    end = time.monotonic() + LIMIT
    while not journal.is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    code, said, complained = finish(process)
    assert code != 0
    assert "stopped after step" in said, complained
    (step,) = RunFolder(tmp_path / "run").checkpoint_steps()
    assert f"stopped after step {step} of 100000" in said
