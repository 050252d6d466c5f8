"""An exported file is loaded and called as a run is, where torch is absent too."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.export.test_session import with_metadata
from tests.parts import made_once
from translate.card import Card
from translate.cli import main
from translate.export.metadata import MADE_KEY, read_metadata
from translate.images import ImageSpec
from translate.inference.backend import NO_CONDITIONS, Backend, Condition
from translate.inference.translator import load
from translate.models import build, deployed_state, model_class

MakeCard = Callable[..., Card]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, card: MakeCard) -> tuple[Path, Path]:
    """A model file with large weights, so that its pixels spread, and what was exported of it."""
    folder = made_once(tmp_path_factory, "exported", lambda folder: make_pair(folder, card))
    return folder / "model.safetensors", folder / "model.onnx"


def make_pair(folder: Path, card: MakeCard) -> None:
    torch.manual_seed(0)
    kind = card(target=ImageSpec(channels=1), settings={"width": 4, "depth": 2, "discriminator_width": 4}, size=32)
    settings = model_class(kind.model).settings_class.make(kind.settings)
    model = build(kind.model, settings, source=kind.source, target=kind.target, size=kind.size)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    save_file(deployed_state(model), folder / "model.safetensors", metadata=kind.to_metadata())
    load(folder / "model.safetensors", device="cpu").export(folder / "model.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (20, 30), "b.png": (33, 9), "deeper/c.png": (20, 30), "d.png": (1, 7)}.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def read_all(folder: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(folder)): np.asarray(Image.open(p)).astype(int) for p in sorted(folder.rglob("*.png"))}


@pytest.mark.slow
def test_all_kinds_are_taken_and_given_back(pair: tuple[Path, Path], pictures: Path) -> None:
    """As the other backend does, to a level."""
    by_torch, by_onnx = (load(path, device="cpu") for path in pair)
    assert by_onnx.card.model_copy(update={"footprint": None}) == by_torch.card
    assert by_onnx.device == "cpu"
    path = pictures / "a.png"
    array = np.asarray(Image.open(path))
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    for value in (path, Image.open(path), array, tensor, [array, array[:7], path], array / np.float32(255)):
        first, second = by_torch(value), by_onnx(value)
        assert type(first) is type(second)
        if not isinstance(value, list):
            first, second = [first], [second]
        for a, b in zip(first, second, strict=True):
            scale = 255 if isinstance(a, np.ndarray) and a.dtype == np.float32 else 1
            assert np.abs(np.asarray(a).astype(float) - np.asarray(b)).max() * scale <= 1.001
            assert np.asarray(a).astype(float).std() * scale > 10


def test_a_folder_is_converted_alike(pair: tuple[Path, Path], pictures: Path, tmp_path: Path) -> None:
    for model, name in zip(pair, ("torch", "onnx"), strict=True):
        assert main(["convert", str(model), str(pictures), str(tmp_path / name), "--device", "cpu"]) == 0
    expected, made = read_all(tmp_path / "torch"), read_all(tmp_path / "onnx")
    assert list(made) == list(expected) == ["a.png", "b.png", "d.png", "deeper/c.png"]
    for name in ("a.png", "b.png", "deeper/c.png"):
        assert np.abs(made[name] - expected[name]).max() <= 1
    assert made["d.png"].shape == (1, 7)


@pytest.mark.slow
def test_threads_share_a_model(pair: tuple[Path, Path]) -> None:
    t = load(pair[1], device="cpu")
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (12 + n, 17, 3), dtype=np.uint8) for n in range(8)]
    alone = [t(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(a, b) for a, b in zip(alone, pool.map(t, images), strict=True))


def test_it_runs_where_torch_is_absent(pair: tuple[Path, Path], pictures: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # what makes `import torch` raise ImportError
        "import numpy as np\n"
        "import translate\n"
        "from translate.cli import main\n"
        "model, folder, out = sys.argv[1:]\n"
        "t = translate.load(model)\n"
        "np.save(out + '.npy', t(folder + '/a.png'))\n"
        "assert main(['info', model]) == 0\n"
        "assert main(['convert', model, folder, out, '--device', 'cpu']) == 0\n"
    )
    words = [sys.executable, "-c", script, str(pair[1]), str(pictures), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "pix2pix" in done.stdout
    expected = np.asarray(load(pair[0], device="cpu")(pictures / "a.png")).astype(int)
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() <= 1
    assert np.abs(read_all(tmp_path / "out")["a.png"] - expected).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "mps"}, 'no device "mps" for an .onnx file.*choose auto, cpu, cuda, cuda:1, tensorrt or'),
        ({"engines": "somewhere"}, "--engines is a folder for TensorRT, and --device is auto"),
        ({"device": "cpu:1"}, "there is one CPU"),
        ({"device": "cuda:x"}, 'no device "cuda:x"'),
        ({"precision": "bfloat16"}, "runs in the precision that it was exported in, float32; others are files of"),
        (
            {"speed": "fast"},
            "--speed fast: .* runs in the precision that it was exported in, float32; others are files",
        ),
        ({"direction": "BtoA"}, "goes AtoB alone"),
    ],
)
def test_what_cannot_be_had_is_refused(options: dict[str, Any], message: str, pair: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=message):
        load(pair[1], **options)


def test_exact_is_refused_of_a_file_that_is_not(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert load(pair[1], device="cpu", speed="exact", precision="float32").device == "cpu"
    small = with_metadata(
        pair[1], tmp_path / "small.onnx", {**read_metadata(pair[1]), MADE_KEY: '{"precision": "int8"}'}
    )
    refused: list[dict[str, Any]] = [{"speed": "exact"}, {"precision": "float32"}, {"speed": "fast"}]
    for options in refused:
        with pytest.raises(ValueError, match="runs in the precision that it was exported in, int8"):
            load(small, device="cpu", **options)
    assert load(small, device="cpu").device == "cpu"


def test_a_gpu_that_was_asked_for_is_not_replaced(pair: tuple[Path, Path]) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(ValueError, match=r"device cuda cannot be used: .+; `auto` picks one that can"):
            load(pair[1], device="cuda")
        assert load(pair[1]).device == "cpu"
    else:
        pytest.skip("this machine has a driver for GPUs")


def test_a_damaged_file_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The header at the end is whole, the graph is not."""
    content = bytearray(pair[1].read_bytes())
    start = content.index(b"ConvTranspose")
    content[start : start + 13] = b"NoSuchThingAt"
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.onnx: ONNX Runtime cannot open it: .*NoSuchThingAt"):
        load(tmp_path / "bad.onnx", device="cpu")


def test_warming_up_computes_a_picture_and_changes_nothing(pair: tuple[Path, Path]) -> None:
    for path in pair:
        t = load(path, device="cpu")
        picture = np.random.default_rng(2).integers(0, 256, (12, 17, 3), dtype=np.uint8)
        before = t(picture)
        shapes: list[tuple[int, ...]] = []
        backend, t.backend = t.backend, Recorder(t.backend, shapes)
        t.warm_up(12, 17, batch=2)
        t.backend = backend
        assert shapes == [(2, 12, 17, 3)]
        assert np.array_equal(t(picture), before)
        for wrong in ({"height": 0, "width": 4}, {"height": 4, "width": -1}, {"height": 4, "width": 4, "batch": 0}):
            with pytest.raises(ValueError, match="is at least 1, not"):
                t.warm_up(**wrong)


class Recorder:
    """A backend that writes down what shapes it is given."""

    def __init__(self, backend: Backend, shapes: list[tuple[int, ...]]) -> None:
        self.backend, self.shapes = backend, shapes
        self.card, self.device = backend.card, backend.device

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        assert images.dtype == self.card.source.dtype
        self.shapes.append(images.shape)
        return self.backend(images, condition)


def test_tensorrt_is_for_exported_files(pair: tuple[Path, Path]) -> None:
    wrong: list[dict[str, Any]] = [{"device": "tensorrt"}, {"device": "TensorRT:1"}, {"engines": "somewhere"}]
    for options in wrong:
        with pytest.raises(ValueError, match=r"--device tensorrt is for exported \.onnx files.*translate export"):
            load(pair[0], **options)
