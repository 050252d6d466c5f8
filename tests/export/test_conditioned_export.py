"""A model conditioned on labels, text and a code as one ONNX file: further inputs, the same pixels, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tests.conditioned import ALL, LABELS, SHIFTED, WORDS, save_conditioned
from tests.export.test_triton import parse
from tests.parts import made_once
from translate.conditions import Conditions, Request
from translate.export import triton
from translate.export.graph import LAYOUTS
from translate.inference.translator import load

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8) for _ in range(3)]
GIVEN: dict[str, Any] = {
    "label": ["wood", {"brick": 0.5}, None],
    "text": ["a red door", "", "green"],
    "z": RNG.normal(size=(3, 2)),
}
FURTHER = [
    ("label", "tensor(float)", ["batch", 3]),
    ("tokens", "tensor(int64)", ["batch", 4]),
    ("z", "tensor(float)", ["batch", 2]),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    def make(folder: Path) -> None:
        load(save_conditioned(folder / "model.safetensors"), device="cpu", allow=SHIFTED).export(folder / "model.onnx")

    folder = made_once(tmp_path_factory, "conditioned", make)
    return folder / "model.safetensors", folder / "model.onnx"


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_the_file_does_what_the_model_does(pair: tuple[Path, Path]) -> None:
    by_torch, by_onnx = (load(path, device="cpu", allow=SHIFTED) for path in pair)
    assert by_onnx.card.conditions == ALL
    given = [(value.name, value.type, value.shape) for value in session_of(pair[1]).get_inputs()]
    assert given == [("image", "tensor(uint8)", ["batch", "height", "width", 3]), *FURTHER]
    for one, other in zip(by_torch(PICTURES, **GIVEN), by_onnx(PICTURES, **GIVEN), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
        assert one.std() > 10
    assert np.abs(by_torch(PICTURES[0]).astype(int) - by_onnx(PICTURES[0])).max() <= 1
    by_onnx.warm_up(8, 9, batch=2)
    with pytest.raises(ValueError, match='label: the model knows no label "wool"'):
        by_onnx(PICTURES[0], label="wool")


def test_a_batch_as_large_as_the_number_of_labels(tmp_path: Path) -> None:
    """Which an exporter could take for each other."""
    conditions = Conditions(labels=LABELS[:2], required=True)
    t = load(save_conditioned(tmp_path / "m.safetensors", conditions), device="cpu", allow=SHIFTED)
    t.export(tmp_path / "m.onnx")
    assert [value.shape for value in session_of(tmp_path / "m.onnx").get_inputs()][1:] == [["batch", 2]]
    made = load(tmp_path / "m.onnx", device="cpu")
    labels = ["wood", "brick", "wood"]
    for one, other in zip(t(PICTURES, label=labels), made(PICTURES, label=labels), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"layout": "nchw-float"}, {"precision": "fp16"}, {"precision": "int8"}])
def test_conditions_go_in_as_they_are_whatever_the_file(options: dict, pair: tuple[Path, Path], tmp_path: Path) -> None:
    if options.get("precision") == "int8":
        for index in range(4):
            Image.fromarray(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
        options = {**options, "calibration": tmp_path, "force": True}  # four pictures of noise
    report = load(pair[0], device="cpu", allow=SHIFTED).export(tmp_path / "m.onnx", **options)
    session = session_of(report.path)
    assert [(value.name, value.type, value.shape) for value in session.get_inputs()][1:] == FURTHER
    onnx.checker.check_model(report.path, full_check=True)
    (check,) = report.checks
    assert len({size[0] for size in check.sizes}) > 1 or not check.random
    assert check.psnr is None or check.psnr > 25


def test_it_needs_no_torch(pair: tuple[Path, Path], tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # what makes `import torch` raise ImportError
        "import numpy as np\n"
        "import translate\n"
        "from translate.cli import main\n"
        "model, folder = sys.argv[1:]\n"
        "t = translate.load(model, device='cpu')\n"
        "np.save(folder + '/made.npy', t(folder + '/a.png', label='wood', text='a red door', seed=3))\n"
        "assert main(['info', model]) == 0\n"
        "words = ['--label', 'wood', '--text', 'a red door', '--seed', '3', '--device', 'cpu']\n"
        "assert main(['convert', model, folder + '/a.png', folder + '/b.png', *words]) == 0\n"
        "assert main(['convert', model, folder + '/a.png', folder + '/c.png', '--label', 'all']) == 0\n"
    )
    words = [sys.executable, "-c", script, str(pair[1]), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    asked = "label, one of brick, wood, stone; text of up to 4 tokens; z of 2 numbers"
    assert asked in " ".join(done.stdout.split())  # its lines are as wide as the terminal
    expected = load(pair[0], device="cpu", allow=SHIFTED)(PICTURES[0], label="wood", text="a red door", seed=3).astype(
        int
    )
    assert np.abs(np.load(tmp_path / "made.npy") - expected).max() <= 1
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")) - expected).max() <= 1


def test_by_numpy_and_onnx_runtime_alone(pair: tuple[Path, Path]) -> None:
    """As docs/deploy.md tells: labels by their place, words by the tokenizer that is in the file."""
    from tokenizers import Tokenizer

    session = session_of(pair[1])
    conditions = json.loads(session.get_modelmeta().custom_metadata_map["translate"])["conditions"]

    label = np.zeros((1, len(conditions["labels"])), np.float32)
    label[0, conditions["labels"].index("wood")] = 1

    words = conditions["text"]
    numbers = Tokenizer.from_str(words["tokenizer"]).encode("a red door").ids[: words["length"]]
    tokens = np.full((1, words["length"]), words["pad"], np.int64)
    tokens[0, : len(numbers)] = numbers

    z = np.zeros((1, conditions["z"]), np.float32)
    feed = {"image": PICTURES[0][None], "label": label, "tokens": tokens, "z": z}
    (translated,) = session.run(["translated"], feed)
    expected = load(pair[0], device="cpu", allow=SHIFTED)(PICTURES[0], label="wood", text="a red door").astype(int)
    assert np.abs(translated[0] - expected).max() <= 1
    assert tokens.tolist() == [[WORDS["a"], WORDS["red"], WORDS["door"], 0]]


def test_the_contract_draws_other_conditions_for_every_picture(pair: tuple[Path, Path]) -> None:
    t = load(pair[0], device="cpu", allow=SHIFTED)
    for layout in LAYOUTS:
        deployed = LAYOUTS[layout](t.backend.exportable(), t.card)
        feed = deployed.feed(np.stack(PICTURES))
        assert list(feed) == ["image", "label", "tokens", "z"]
        for name in ALL.inputs:
            assert len(feed[name]) == 3
            assert feed[name].dtype == ALL.encode(Request())[name].dtype
            assert len({row.tobytes() for row in feed[name]}) > 1
        again = deployed.feed(np.stack(PICTURES))
        assert all(np.array_equal(feed[name], again[name]) for name in feed)
        other = deployed.feed(np.stack(PICTURES[::-1]))
        assert not np.array_equal(feed["z"], other["z"])


def test_triton_is_told_of_all_inputs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    t = load(pair[0], device="cpu", allow=SHIFTED)
    deployed = LAYOUTS["nhwc-pixels"](t.backend.exportable(), t.card)
    place = triton.plan(tmp_path / "served", deployed, name="conditioned", model=None, device="auto")
    (tmp_path / triton.CONFIG).write_text(place.config)
    config = parse(tmp_path / triton.CONFIG)
    assert [(end.name, list(end.dims)) for end in config.input] == [
        ("image", [-1, -1, 3]),
        ("label", [3]),
        ("tokens", [4]),
        ("z", [2]),
    ]
    assert place.config.count("TYPE_INT64") == 1
