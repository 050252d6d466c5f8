"""A library is a guest in the program that calls it: what belongs to the process is as it was, whatever overlaps."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

import translate
from tests.export.conftest import make_card, make_spec, save_model
from translate.borrowed import Borrowed, environment
from translate.datasets.preparation.vocabulary import learn_tokenizer
from translate.inference.torch_backend import TorchBackend
from translate.training.session import arithmetic

SMALL = {"width": 4, "discriminator_width": 4, "patch": 16}
NETWORKS = {
    "running": {"norm": "batch", "inference_norm": "running", "depth": 3},
    "own": {"norm": "batch", "inference_norm": "image", "depth": 3},
    "resnet": {
        "generator": "resnet",
        "norm": "instance",
        "blocks": 1,
        "downsample": "antialiased",
        "upsample": "resize",
    },
    "labels": {"depth": 3},
}
LABELS = make_spec(3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (0, 0, 255)), one_hot=True)


def belongings() -> dict[str, Any]:
    """What belongs to the process."""
    return {
        "switch interval": sys.getswitchinterval(),
        "pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": torch.backends.cudnn.benchmark,
        "defaults": (torch.get_default_dtype(), torch.get_default_device()),
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "logging": (logging.root.manager.disable, logging.root.level, list(logging.root.handlers)),
        "streams": (sys.stdout, sys.stderr),
        "random": (random.getstate()[1][:5], tuple(np.random.get_state()[1][:5]), torch.get_rng_state().sum().item()),
        "path": list(sys.path),
        "here": os.getcwd(),  # noqa: PTH109
    }


@pytest.fixture
def program():
    """One that has made choices of its own, which are taken back in the end."""
    before = belongings()
    sys.setswitchinterval(0.004)
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = 12345678, True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    yield belongings()
    sys.setswitchinterval(before["switch interval"])
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before["pillow"]
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn only"])
    torch.backends.cudnn.benchmark = before["cudnn"]
    os.environ.pop("TOKENIZERS_PARALLELISM")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    specs = {"labels": (LABELS, LABELS)}
    return {
        name: save_model(folder / f"{name}.safetensors", make_card(*specs.get(name, ()), settings=SMALL | settings))
        for name, settings in NETWORKS.items()
    }


def picture(name: str) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 140, 3), np.uint8)
    return np.array(LABELS.palette, np.uint8)[pixels[..., 0] % 3] if name == "labels" else pixels


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first leaves first", "last leaves first"])
def test_overlapping_users_leave_a_setting_as_it_was(order):
    value = ["mine"]
    borrowed = Borrowed(lambda: value[0], lambda new: value.__setitem__(0, new))
    users = [borrowed("theirs"), borrowed("theirs")]
    for user in users:
        user.__enter__()
        assert value == ["theirs"]
    users[order[0]].__exit__(None, None, None)
    assert value == ["theirs"]
    users[order[1]].__exit__(None, None, None)
    assert value == ["mine"]


@pytest.mark.parametrize("before", [None, "x"])
def test_a_variable_of_the_environment_is_given_back(before, monkeypatch):
    monkeypatch.delenv("TRANSLATE_TRIED", raising=False)
    if before:
        monkeypatch.setenv("TRANSLATE_TRIED", before)
    with environment("TRANSLATE_TRIED")("y"):
        assert os.environ["TRANSLATE_TRIED"] == "y"
    assert os.environ.get("TRANSLATE_TRIED") == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_overlapping_trainings_leave_the_arithmetic_as_it_was(program, order):
    users = [arithmetic(threads=1, deterministic=True, device=torch.device("cpu")) for _ in range(2)]
    for user in users:
        user.__enter__()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    for index in order:
        users[index].__exit__(None, None, None)
    after = belongings()
    assert {**after, "random": None} == {**program, "random": None}


def test_loading_calling_and_converting_change_nothing_even_at_once(files, program, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for n in range(6):
        Image.fromarray(picture("own")[: 30 + n, :40]).save(tmp_path / "in" / f"{n}.png")
    t = translate.load(files["own"], device="cpu")
    seen, called = [], TorchBackend.__call__

    def watched(self, *given):
        seen.append(sys.getswitchinterval())
        return called(self, *given)

    monkeypatch.setattr(TorchBackend, "__call__", watched)
    with ThreadPoolExecutor(3) as pool:
        works: list[Future[Any]] = [pool.submit(t.convert, tmp_path / "in", tmp_path / f"out{n}") for n in range(2)]
        works += [pool.submit(t, str(tmp_path / "in" / "1.png")), pool.submit(learn_tokenizer, ["a b"], vocabulary=300)]
        for work in works:
            work.result()
    assert belongings() == program
    assert len(seen) >= 3
    assert set(seen) == {program["switch interval"]}


def test_a_training_changes_nothing(fronts, tmp_path, program):
    options: dict[str, Any] = {"size": 32, "steps": 1, "threads": 1, "tensorboard": False, "device": "cpu", **SMALL}
    translate.train("pix2pix", data=fronts, out=tmp_path / "run", **options)
    assert belongings() == program


DEFAULTS = {
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "bfloat16": lambda: torch.set_default_dtype(torch.bfloat16),
    "meta": lambda: torch.set_default_device("meta"),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("default", DEFAULTS)
def test_the_defaults_of_the_program_do_not_matter(default, name, precision, files):
    options = {"device": "cpu", "precision": precision}
    expected = translate.load(files[name], **options)(picture(name))
    pieces = translate.load(files[name], tile=128, **options)(picture(name))
    try:
        DEFAULTS[default]()
        made = translate.load(files[name], **options)(picture(name))
        made_in_pieces = translate.load(files[name], tile=128, **options)(picture(name))
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert np.array_equal(made, expected)
    assert np.array_equal(made_in_pieces, pieces)


FORKED = """
import os, signal, sys, traceback
import numpy as np, torch, translate
picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
torch.set_num_threads(2)
t = translate.load(sys.argv[1], device="cpu")
expected = t(picture)
number = os.fork()
if number == 0:
    signal.alarm(60)  # what hangs fails
    try:
        out = sys.argv[2] + "-run"
        train = lambda: translate.train("pix2pix", data=sys.argv[2], out=out, size=32, steps=1, width=4)
        for use in (lambda: t(picture), lambda: translate.load(sys.argv[1], device="cpu"), train):
            try:
                use()
                os._exit(2)
            except ValueError as error:
                assert "torch.set_num_threads(1)" in str(error), error
        torch.set_num_threads(1)
        assert np.abs(t(picture).astype(int) - expected).max() <= 1
        assert np.abs(translate.load(sys.argv[1], device="cpu")(picture).astype(int) - expected).max() <= 1
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
_, status = os.waitpid(number, 0)
assert np.array_equal(t(picture), expected)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_told_what_to_do_and_works_then(files, fronts):
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    words = [sys.executable, "-c", FORKED, str(files["own"]), str(fronts)]
    done = subprocess.run(words, env=free, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr


def test_threads_that_borrow_at_once_end_as_they_began():
    value = [0]
    borrowed = Borrowed(lambda: value[0], lambda new: value.__setitem__(0, new))
    start = threading.Barrier(8)

    def use():
        start.wait()
        for _ in range(200):
            with borrowed(1):
                assert value[0] == 1

    with ThreadPoolExecutor(8) as pool:
        for work in [pool.submit(use) for _ in range(8)]:
            work.result()
    assert value == [0]
