"""16-bit floats between the convolutions, and 32-bit ones where 16 bits do not reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.parts import made_once
from translate.card import Card
from translate.cli import main
from translate.export import contract
from translate.export.contract import REVEALED, reveal
from translate.export.graph import LAYOUTS, Deployed, trace
from translate.export.half import lower
from translate.export.metadata import read_metadata
from translate.export.options import ExportSettings
from translate.export.report import CHECK_KEY
from translate.export.session import open_session
from translate.export.verify import NotTheSame, textured
from translate.export.write import export_model
from translate.images import ImageSpec
from translate.inference.translator import load

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]


@pytest.fixture(scope="module")
def half(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is exported in fp16 of the common small model."""

    def make(folder: Path) -> None:
        load(pair[0], device="cpu").export(folder / "half.onnx", precision="fp16")

    return made_once(tmp_path_factory, "half", make) / "half.onnx"


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Of every value and weight, by name."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    return {v.name: v.type.tensor_type.elem_type for v in values} | {t.name: t.data_type for t in inferred.initializer}


@pytest.mark.slow
def test_convolutions_are_of_16_bits_and_norms_and_both_ends_are_not(half: Path) -> None:
    model = onnx.load(half)
    kinds = types(model)
    seen = set()
    for node in model.graph.node:
        floats = {kinds[name] for name in (*node.input, *node.output) if kinds[name] in (1, 10)}
        if node.op_type in ("Conv", "ConvTranspose"):
            assert floats == {TensorProto.FLOAT16}
        elif node.op_type in ("InstanceNormalization", "BatchNormalization", "Tanh", "Round"):
            assert floats == {TensorProto.FLOAT}
        seen.add(node.op_type)
    assert {"Conv", "ConvTranspose", "Tanh", "Round"} <= seen
    assert {model.graph.input[0].type.tensor_type.elem_type, model.graph.output[0].type.tensor_type.elem_type} == {2}
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4} == {TensorProto.FLOAT16}


@pytest.mark.slow
def test_its_pixels_are_near_and_its_report_says_how_near(
    half: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    check, *_ = json.loads(read_metadata(half)[CHECK_KEY])
    assert 45 < check["psnr"] < 120  # nothing lost would mean that nothing was lowered
    assert check["speed"] > 0
    exact, near = load(pair[0], device="cpu"), load(half, device="cpu")
    picture = textured(np.random.default_rng(9), exact.card.taken, (1, 37, 70))[0]
    difference = np.abs(near(picture).astype(int) - exact(picture))
    assert difference.max() <= 3
    assert main(["info", str(half)]) == 0
    assert "nhwc-pixels, fp16" in capsys.readouterr().out
    with pytest.raises(ValueError, match="exported in, fp16"):
        load(half, precision="float16")


def test_pixels_of_16_bits_do_not_pass_through_16_bit_floats(tmp_path: Path, card: MakeCard, spec: MakeSpec) -> None:
    """65535 is beyond the largest of them, and from 32768 on they count by 32: only the network's own values do."""
    deep = card(spec(1, "uint16"), spec(1, "uint16"))
    network = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(network.weight, 0.5)
    export_model(
        network.eval().requires_grad_(False), deep, tmp_path / "a.onnx", settings=ExportSettings(precision="fp16")
    )
    images = np.arange(0, 65536, 85).astype(np.uint16).reshape(1, 4, 193, 1)
    made = load(tmp_path / "a.onnx", device="cpu")(images[0])
    assert np.abs(made - (images[0] / 2 + 65535 / 4)).max() < 5  # half of what their step of 1/2048 below 1 is here


def chain(*, large: float) -> onnx.ModelProto:
    """Convolution by `large`, instance norm, convolution by 1 whose result is the output itself."""
    weights = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float32), name)
        for name, value in (("large", large), ("one", 1))
    ] + [numpy_helper.from_array(np.full(1, value, np.float32), name) for name, value in (("scale", 1), ("shift", 0))]
    nodes = [
        helper.make_node("Conv", ["x", "large"], ["a"]),
        helper.make_node("InstanceNormalization", ["a", "scale", "shift"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "one"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16"])
def test_sums_of_squares_stay_in_32_bits(kind: str, tmp_path: Path) -> None:
    """The squares of 30,000 are beyond the largest 16-bit float by a factor of 10,000."""
    onnx.save(chain(large=30_000), tmp_path / "a.onnx")
    lower(tmp_path / "a.onnx", (), kind=kind)
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = types(model)
    low = getattr(TensorProto, kind)
    assert [kinds[node.output[0]] for node in model.graph.node if node.op_type in ("Conv", "Relu")] == [low] * 3
    assert kinds["y"] == kinds["b"] == TensorProto.FLOAT
    if kind == "BFLOAT16":
        return  # no runtime on a CPU has its convolutions
    x = np.random.default_rng(0).normal(0, 1, (2, 1, 9, 7)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": x})
    expected = ((x - x.mean((2, 3), keepdims=True)) / x.std((2, 3), keepdims=True)).clip(0)
    assert np.abs(made - expected).max() < 0.01


def test_a_network_that_16_bits_cannot_hold_is_refused(tmp_path: Path, card: MakeCard) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
            for layer, value in ((self.up, 1e6), (self.down, 1e-6)):
                nn.init.dirac_(layer.weight)
                layer.weight.data *= value

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.down(torch.relu(self.up(x))))

    with pytest.raises(NotTheSame, match=r"nothing was written.*has to reach 45 dB.*--force"):
        export_model(
            Large().eval().requires_grad_(False), card(), tmp_path / "a.onnx", settings=ExportSettings(precision="fp16")
        )
    assert not list(tmp_path.iterdir())


def test_the_names_of_conversion_are_understood() -> None:
    assert ExportSettings(precision="float16").precision == "fp16"
    assert ExportSettings(precision="bfloat16").precision == "bf16"


def test_bf16_is_refused_where_it_cannot_be_checked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here that can check it")
    with pytest.raises(ValueError, match=r"--precision bf16: ONNX Runtime's CPU cannot run it.*cannot be used"):
        load(pair[0], device="cpu").export(tmp_path / "a.onnx", precision="bf16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [False, True])
def test_what_is_no_number_is_seen_before_the_cast(bad: bool, card: MakeCard, spec: MakeSpec, tmp_path: Path) -> None:
    """As pixels it would be black. An overflow happens on GPUs; on the CPU it takes a division by black."""
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Cast", ["image"], "float", {"to": TensorProto.FLOAT}),
        ("Div", ["float", "float"], "one", {}) if bad else ("Identity", ["float"], "one", {}),
        ("Clip", ["one", "low", "high"], "clipped", {}),
        ("Round", ["clipped"], "round", {}),
        ("Cast", ["round"], "translated", {"to": TensorProto.UINT8}),
    ]
    nodes = [helper.make_node(kind, inputs, [output], **options) for kind, inputs, output, options in steps]
    ends = [helper.make_tensor_value_info(n, TensorProto.UINT8, [None, None, None, 1]) for n in ("image", "translated")]
    limits = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", 0), ("high", 255))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], limits)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    black = np.zeros((40, 40, 1), np.uint8)
    deployed = Deployed(nn.Identity(), card(spec(1), spec(1)))
    if not bad:
        contract._check_finite(tmp_path / "m.onnx", deployed, real=[black], device="cpu")
        assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
        return
    with pytest.raises(NotTheSame, match=r"the file gives values that are not finite .*: use --precision float32"):
        contract._check_finite(tmp_path / "m.onnx", deployed, real=[black], device="cpu")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_network_that_gives_no_numbers_is_no_reference(layout: str, card: MakeCard, spec: MakeSpec) -> None:
    kind = card(spec(1), spec(3))
    deployed = LAYOUTS[layout](nn.Conv2d(1, 3, 1).requires_grad_(False), kind)
    pictures = np.zeros((1, 8, 8, 1), np.uint8)
    assert deployed.run(pictures).size == 192
    deployed.network.bias[1] = float("nan")
    with pytest.raises(NotTheSame, match=r"the network gives values that are not finite .*--step N"):
        deployed.run(pictures)


@pytest.mark.slow
def test_the_values_before_the_cast_are_found(half: Path, pair: tuple[Path, Path], spec: MakeSpec) -> None:
    inside = half.with_name("inside.onnx")
    assert reveal(half, inside)
    picture = textured(np.random.default_rng(0), spec(1), (1, 9, 8))
    (values,) = open_session(inside, device="cpu").session.run([REVEALED], {"image": picture})
    expected = load(half, device="cpu").backend(picture)
    assert np.abs((values + 1) * 127.5 - expected).max() <= 0.51


@pytest.mark.slow
@pytest.mark.parametrize("one_hot", [False, True])
def test_of_label_maps_too(one_hot: bool, card: MakeCard, spec: MakeSpec, tmp_path: Path) -> None:
    target = spec(3, kind="labels", palette=((0, 0, 0), (9, 9, 9)), one_hot=one_hot)
    described = card(spec(1), target)
    deployed = Deployed(nn.Conv2d(1, target.network_channels, 1).requires_grad_(False), described).eval()
    trace(deployed).save(tmp_path / "m.onnx")
    assert reveal(tmp_path / "m.onnx", tmp_path / "inside.onnx")
    pictures = textured(np.random.default_rng(0), described.taken, (1, 9, 8))
    (values,) = open_session(tmp_path / "inside.onnx", device="cpu").session.run([REVEALED], deployed.feed(pictures))
    assert values.size == 72 * 2  # of each class
