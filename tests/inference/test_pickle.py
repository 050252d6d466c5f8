"""A translator goes to another process, or is copied, with its weights."""

from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conditioned import SHIFTED, save_conditioned
from tests.export.conftest import make_card, save_model
from translate.conditions import Conditions
from translate.inference.translator import Translator, load
from translate.models import MODELS, model_class

SMALL = {"width": 4, "discriminator_width": 4, "patch": 16}
NETWORKS = {
    "unet": {"generator": "unet", "norm": "batch", "inference_norm": "running", "depth": 3},
    "resnet": {"generator": "resnet", "norm": "instance", "blocks": 2, "downsample": "antialiased"},
}
PICTURE = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)

WORKER = """
import pickle, sys
import numpy as np
t = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[3], t(np.load(sys.argv[2])))
"""


@pytest.fixture(scope="module", params=NETWORKS)
def file(request, tmp_path_factory) -> Path:
    card = make_card(settings=SMALL | NETWORKS[request.param])
    return save_model(tmp_path_factory.mktemp("pickle") / "model.safetensors", card)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_gives_the_same_pixels_when_the_file_is_gone(file, precision, again, tmp_path):
    taken = shutil.copy(file, tmp_path)
    t = load(taken, device="cpu", precision=precision, batch=3, tile=64)
    (tmp_path / file.name).unlink()
    made = again(again(t))
    assert (made.batch, made.tile, made.device, made.card) == (3, 64, "cpu", t.card)
    expected = t(PICTURE)
    assert np.array_equal(made(PICTURE), expected)
    assert expected.std() > 5


GAMES = [
    *((name, None) for name, cls in MODELS.items() if cls.data != "targets"),
    ("pix2pix", "vanilla"),
    ("pix2pix", "lsgan"),
    ("stargan", "wasserstein"),
]


@pytest.mark.parametrize(("name", "objective"), GAMES)
def test_every_model_can_be_pickled(name, objective, tmp_path):
    fields = model_class(name).settings_class.every_field()
    patches = "discriminator" in fields and fields["discriminator"].default == "patchgan"
    settings = {k: v for k, v in SMALL.items() if k in fields and (patches or k != "patch")}
    settings = settings | {key: 8 for key in ("encoder_width", "nce_width") if key in fields}
    settings |= {"objective": objective} if objective else {}
    settings |= {"blocks": 1} if "generator" not in fields or fields["generator"].default == "resnet" else {}
    labels, z = (("one", "two") if name == "stargan" else ()), 8 * (name == "bicyclegan")
    scale = fields["scale"].default if "scale" in fields else 1
    card = make_card(settings=settings, model=name, conditions=Conditions(labels=labels, z=z), scale=scale)
    t = load(save_model(tmp_path / "model.safetensors", card), device="cpu")
    asked: dict[str, Any] = {"label": "two"} if labels else {"seed": 1} if z else {}
    assert np.array_equal(pickle.loads(pickle.dumps(t))(PICTURE, **asked), t(PICTURE, **asked))


def test_conditions_come_along(tmp_path):
    t = load(save_conditioned(tmp_path / "model.safetensors"), device="cpu", allow=SHIFTED)
    made: Translator = pickle.loads(pickle.dumps(t))
    asked: dict[str, Any] = {"label": "brick", "text": "a red door", "seed": 3}
    assert np.array_equal(made(PICTURE, **asked), t(PICTURE, **asked))


@pytest.mark.slow
def test_another_process_without_the_file(file, tmp_path):
    t = load(shutil.copy(file, tmp_path), device="cpu")
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(t))
    (tmp_path / file.name).unlink()
    np.save(tmp_path / "in.npy", PICTURE)
    names = [str(tmp_path / name) for name in ("t.pickle", "in.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", WORKER, *names], check=True, timeout=120)
    assert np.array_equal(np.load(tmp_path / "out.npy"), t(PICTURE))
