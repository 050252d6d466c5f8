"""An exported file run by OpenVINO: ONNX Runtime's pixels, the same refusals, and bfloat16 where it is asked for."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.cli import main
from translate.inference.translator import load

FROZEN = Path(__file__).parent / "frozen" / "0.1.0"
FILE = FROZEN / "model.onnx"


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 37, 50), (2, 64, 64), (5, 9, 9), (1, 1, 7)], ids=str)
def test_its_pixels_are_those_of_onnx_runtime_at_every_size(shape: tuple[int, ...]) -> None:
    pytest.importorskip("openvino")
    one, other = (load(FILE, device="cpu", backend=name).backend for name in ("onnxruntime", "openvino"))
    made, expected = other(pictures(*shape)), one(pictures(*shape))
    assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
    assert expected.std() > 5
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_threads_pickles_and_folders_work_as_with_others(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    t = load(FILE, backend="openvino")
    images = [pictures(20 + n, 30) for n in range(6)]
    alone = [t(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(a, b) for a, b in zip(alone, pool.map(t, images), strict=True))
    again = pickle.loads(pickle.dumps(t))
    assert np.array_equal(again(images[0]), alone[0])
    assert again.device == "cpu"
    (tmp_path / "in").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "in" / "a.png")
    assert main(["convert", str(FILE), str(tmp_path / "in"), str(tmp_path / "out"), "--backend", "openvino"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), alone[0])


def test_bfloat16_is_asked_for_by_fast_and_told_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    told: list[str] = []
    t = load(FILE, backend="openvino", speed="fast", say=told.append)
    hint = t.backend._opened.session.get_property("INFERENCE_PRECISION_HINT").to_string()
    assert (t.backend.precision, hint, told) in [
        ("bfloat16", "bf16", []),
        (
            "float32",
            "f32",
            ["--speed fast: OpenVINO has no bfloat16 on this CPU: the network runs in float32, as with --speed exact"],
        ),
    ]
    exact = load(FILE, backend="openvino", speed="exact")
    assert exact.backend._opened.session.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    x = pictures(1, 48, 48)
    error = np.square(t.backend(x).astype(float) - exact.backend(x)).mean()
    assert error < 255**2 / 10**4  # 40 dB, of a network that was never trained
    monkeypatch.setattr("translate.inference.onnx_backend.bfloat16_trouble", lambda: "OpenVINO has no bfloat16 here")
    with pytest.raises(ValueError, match="--precision bfloat16: OpenVINO has no bfloat16 here"):
        load(FILE, backend="openvino", precision="bfloat16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "torch"}, "--backend torch: .*model.onnx is an exported file: choose onnxruntime or openvino"),
        ({"backend": "openvin"}, "--backend got 'openvin': must be 'torch', 'onnxruntime' or 'openvino'"),
        ({"backend": "openvino", "device": "cuda"}, "--backend openvino runs on the CPU here: choose auto or cpu"),
        ({"backend": "openvino", "engines": "x"}, "--engines is a folder for TensorRT, and --backend is openvino"),
        ({"backend": "openvino", "precision": "float16"}, "runs in the precision that it was exported in, float32"),
        ({"speed": "fast"}, "float32; others are files of their own.*; --backend openvino also computes in bfloat16"),
    ],
)
def test_what_cannot_be_had_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(FILE, **options)


def test_a_run_is_for_torch_alone() -> None:
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(ValueError, match=f"--backend {name} is for exported .onnx files: translate export"):
            load(FROZEN / "model.safetensors", backend=name)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r'OpenVINO is not installed: pip install "translate-gan\[openvino\]"'):
        load(FILE, backend="openvino")


def test_conditions_are_given_by_name(tmp_path: Path) -> None:
    """A graph of a label beside the picture, made by hand: what it gives is the picture plus the label's number."""
    pytest.importorskip("openvino")
    onnx = pytest.importorskip("onnx")
    from translate.export.openvino_session import open_compiled
    from translate.export.session import open_session

    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "label"], ["translated"])],
        "plus",
        [
            helper.make_tensor_value_info("image", kinds.FLOAT, ["n", "h", "w", 1]),
            helper.make_tensor_value_info("label", kinds.FLOAT, ["n", 1, 1, 1]),
        ],
        [helper.make_tensor_value_info("translated", kinds.FLOAT, ["n", "h", "w", 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "a.onnx")
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    for opened in (open_compiled(tmp_path / "a.onnx"), open_session(tmp_path / "a.onnx", device="cpu")):
        assert [(end.name, end.type) for end in opened.inputs] == [
            ("image", "tensor(float)"),
            ("label", "tensor(float)"),
        ]
        assert (opened.inputs[0].shape[3], opened.outputs[0].name) == (1, "translated")
        (made,) = opened.run({"label": np.full((1, 1, 1, 1), 7, np.float32), "image": image})
        assert np.array_equal(made.numpy(), image + 7)
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07no graph")
    with pytest.raises(ValueError, match=r"bad\.onnx: OpenVINO cannot open it: "):
        open_compiled(tmp_path / "bad.onnx")
