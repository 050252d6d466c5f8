"""Damaged files of a run: noticed where they are read, named, and got over where something else will do."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import translate
from translate.card import Card
from translate.images import ImageSpec
from translate.training.folder import RunFolder
from translate.training.job import new_job, resumed_job
from translate.training.run import fit, train
from translate.weights import CHECKSUM, checksum, load_tensors, save_tensors

STATE: dict[str, Any] = {
    "step": 4,
    "seen": 4,
    "model": {"a": torch.arange(300, dtype=torch.float32), "b": torch.tensor([True, False]), "c": torch.tensor(2)},
    "optimizers": {"g": {"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": [{"lr": 2e-4, "betas": (0.5, 1)}]}},
    "pools": [{"fakes": [torch.ones(3, 4, 4, dtype=torch.bfloat16)]}],
    "best": {"l1": 0.25},
    "average": None,
}


def tiny(data, out, **changes):
    small = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "samples": 2, "tensorboard": False}
    cadence = {"steps": 4, "log_every": 1, "validate_every": 4, "checkpoint_every": 2}
    return {"data": data, "out": out} | small | cadence | changes


@pytest.fixture(scope="module")
def whole(fronts, tmp_path_factory):
    """A run with checkpoints of steps 2 and 4."""
    return train("pix2pix", **tiny(fronts, tmp_path_factory.mktemp("runs") / "whole")).path


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(whole, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def journal(run):
    return [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_flipped_bit_of_a_checkpoint_is_noticed_or_changes_nothing(tmp_path):
    """Anywhere in the file: in the tensors, in the numbers beside them, in the archive around them."""
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(4, STATE, keep=1)
    path, chance, noticed = folder.checkpoint(4), random.Random(0), 0
    data = path.read_bytes()
    for _ in range(300):
        path.write_bytes(flipped(data, chance.randrange(8 * len(data))))
        try:
            state = folder.read_checkpoint(4)
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged")  # noqa: PT017 - some bits are in the padding
            noticed += 1
        else:
            assert checksum({name: state[name] for name in STATE}) == checksum(STATE)
    assert noticed > 100


def test_a_flipped_bit_of_a_model_file_is_noticed_or_changes_nothing(tmp_path):
    path, tensors = tmp_path / "model.safetensors", STATE["model"]
    card = Card(model="pix2pix", source=ImageSpec(channels=1), target=ImageSpec(channels=3), size=64)
    save_tensors(path, tensors, card.to_metadata())
    data, chance, noticed = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        path.write_bytes(flipped(data, chance.randrange(8 * len(data))))
        try:
            found = load_tensors(path)
            with safe_open(path, framework="pt") as file:
                described = Card.from_metadata(file.metadata(), path=path)
        except ValueError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            noticed += 1
        else:
            assert checksum(found) == checksum(dict(sorted(tensors.items())))
            assert described == card
    assert noticed > 250


def test_the_checksum_tells_apart_what_differs():
    values = [
        {"a": torch.zeros(2)},
        {"b": torch.zeros(2)},
        {"a": torch.zeros(2, dtype=torch.int32)},
        {"a": torch.zeros(2, 1)},
        {"a": torch.tensor([0.0, 1e-45])},
        {"a": [torch.zeros(2)]},
        {"a": torch.zeros(1), "b": torch.zeros(1)},
        {"a": "tensor"},
        {"a": 1},
        {"a": True},
        {"a": None},
        ["a", 1],
    ]
    assert len({checksum(value) for value in values}) == len(values)
    turned = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    assert checksum(turned) == checksum(turned.contiguous())


def test_files_without_a_checksum_are_read(run):
    """Those that versions before this one have written."""
    state = run.read_checkpoint(4)
    torch.save(state, run.checkpoint(4))
    with safe_open(run.model, framework="pt") as file:
        metadata = {name: text for name, text in file.metadata().items() if name != CHECKSUM}
    save_file(load_tensors(run.model), run.model, metadata=metadata)
    assert checksum(run.read_checkpoint(4)) == checksum(state)
    assert translate.load(run.path).card.step == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "another pickle", "a bit"])
def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_it_goes_on(run, damage):
    newest = run.checkpoint(4)
    data = newest.read_bytes()
    made = {"cut": data[:1000], "empty": b"", "another pickle": b"\x80\x02}.", "a bit": flipped(data, 4 * len(data))}
    newest.write_bytes(made[damage])
    printed: list[str] = []
    assert fit(resumed_job(run.path, {"steps": "6"}), say=printed.append).finished
    assert journal(run) == list(range(1, 7))
    assert any(line.startswith("resuming") and "after step 2 of 6" in line for line in printed)
    assert any(line.startswith(f"{newest} is damaged") for line in printed)
    assert (run.checkpoints / "step-00000004.damaged").read_bytes() == made[damage]
    assert run.checkpoint_steps() == [4, 6]


def test_a_damaged_checkpoint_never_takes_the_place_of_a_good_one(run):
    """Nor does a run that keeps a single checkpoint keep that one."""
    run.checkpoint(4).write_bytes(b"no checkpoint")
    assert train(resume=run.path, steps=3, keep=1).finished
    assert run.checkpoint_steps() == [3]
    assert run.read_checkpoint(3)["step"] == 3


def test_where_every_checkpoint_is_damaged_it_says_what_is_left(run):
    for step in run.checkpoint_steps():
        run.checkpoint(step).write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"step-00000002.pt is damaged.*--init-from .*model.safetensors"):
        train(resume=run.path, steps=6)
    assert run.checkpoint_steps() == [2, 4]


def test_what_was_never_read_is_not_called_good(run):
    run.checkpoint(4).write_bytes(b"no checkpoint")
    assert "the newest checkpoint is step 4" in run.safe()
    run.load_checkpoint()
    assert "the last good checkpoint is step 2" in run.safe()


@pytest.mark.parametrize("name", ["step-١٢٣٤٥٦٧٨.pt", "step-9.pt", "step-000000099.pt", "step-00000009.pt.bak", "9.pt"])
def test_only_names_of_our_own_are_checkpoints(run, name):
    (run.checkpoints / name).write_bytes(b"someone else's")
    assert run.checkpoint_steps() == [2, 4]
    assert train(resume=run.path, steps=6).finished
    assert (run.checkpoints / name).read_bytes() == b"someone else's"


@pytest.mark.parametrize(
    "line",
    [b"no json", b"[1]", b"{}", b'{"step": "3"}', b'{"step": true}', b"\xff\xfe", b'{"step": 3', b"", b"[" * 9999],
)
def test_a_bad_line_in_the_journal_bars_nothing(run, line):
    lines = run.metrics.read_bytes().splitlines()
    run.metrics.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]) + b"\n")
    printed: list[str] = []
    assert fit(resumed_job(run.path, {"steps": "6"}), say=printed.append).finished
    assert any("metrics.jsonl" in line and line.endswith("1 of its lines: 3") for line in printed)
    assert journal(run) == list(range(1, 7))


def test_fine_tuning_from_a_run_with_a_damaged_checkpoint_says_so(fronts, run, tmp_path):
    run.checkpoint(4).write_bytes(b"no checkpoint")
    printed: list[str] = []
    fit(new_job("pix2pix", tiny(fronts, tmp_path / "tuned", init_from=run.path, steps=1)), say=printed.append)
    assert any("step-00000004.pt is damaged" in line and "started from" in line for line in printed)


def test_a_damaged_model_file_is_refused_wherever_it_is_loaded(fronts, run, tmp_path):
    data = run.model.read_bytes()
    run.model.write_bytes(flipped(data, 8 * (len(data) - 100)))
    for load in (
        lambda: translate.load(run.path),
        lambda: train("pix2pix", **tiny(fronts, tmp_path / "tuned", init_from=Path(run.model))),
    ):
        with pytest.raises(ValueError, match=r"model.safetensors: damaged: its bytes do not match its checksum"):
            load()
