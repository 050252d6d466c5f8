"""What is no number never becomes a pixel: weights are checked at load, and values before they are cast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from translate.batch import all_finite
from translate.card import Card
from translate.cli import main
from translate.inference.backend import NO_CONDITIONS, Condition, NotFinite
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import Translator, load
from translate.networks import ResNet

MakeCard = Callable[..., Card]
FROZEN = Path(__file__).parent / "frozen" / "0.1.0"
BAD = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("value", BAD)
def test_one_such_weight_is_refused_by_name(value: float, card: MakeCard, tmp_path: Path, capsys: Any) -> None:
    tensors = load_file(FROZEN / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.dim() == 4)
    tensors[name][0, 0, 0, 0] = value
    metadata = load(FROZEN / "model.safetensors", device="cpu").card.to_metadata()
    save_file(tensors, tmp_path / "m.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=rf"m\.safetensors: 1 of the .* weights in {name} are not finite .*--step N"):
        load(tmp_path / "m.safetensors", device="cpu")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert main(["convert", str(tmp_path / "m.safetensors"), str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "b.png").exists()


def kinds() -> dict[str, Callable[[np.ndarray], onnx.TensorProto]]:
    """Ways in which a file can hold weights."""

    def of(kind: int, **options: Any) -> Callable[[np.ndarray], onnx.TensorProto]:
        return lambda values: onnx.helper.make_tensor("w", kind, values.shape, values, **options)

    proto = onnx.TensorProto
    return {
        "raw": lambda values: onnx.numpy_helper.from_array(values, "w"),
        "listed": of(proto.FLOAT),
        "half": lambda values: onnx.numpy_helper.from_array(values.astype(np.float16), "w"),
        "double": lambda values: onnx.numpy_helper.from_array(values.astype(np.float64), "w"),
        "bfloat16": lambda values: onnx.helper.make_tensor(
            "w", proto.BFLOAT16, values.shape, (values.view("<u4") >> 16).astype("<u2").tobytes(), raw=True
        ),
    }


@pytest.mark.parametrize("value", [*BAD, 1.0])
@pytest.mark.parametrize("kind", [*kinds(), "beside"])
def test_one_such_weight_in_an_exported_file_too(kind: str, value: float, tmp_path: Path) -> None:
    model = onnx.load(FROZEN / "model.onnx")
    values = np.full((20, 3), 0.5, np.float32)
    values[1, 1] = value
    model.graph.initializer.append(kinds()["raw" if kind == "beside" else kind](values))
    file = tmp_path / "m.onnx"
    options: dict[str, Any] = {"save_as_external_data": True, "location": "m.onnx.data", "size_threshold": 64}
    onnx.save(model, file, **(options if kind == "beside" else {}))
    if np.isfinite(value):
        assert load(file, device="cpu").device == "cpu"
        return
    with pytest.raises(ValueError, match=r"m\.onnx: 1 of the 60 weights in w are not finite .* export earlier weights"):
        load(file, device="cpu")


def overflowing() -> ResNet:
    """Its first layer passes the largest 16-bit float, but for gray, which is 0; float32 holds it well."""
    torch.manual_seed(0)
    network = ResNet(3, 3, width=2, blocks=1)
    first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
    with torch.no_grad():
        first.weight.fill_(1000)
    return network


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("batch", [1, 4])
def test_an_overflow_is_the_pictures_failure(card: MakeCard, tmp_path: Path, tile: int | None, batch: int) -> None:
    """In 16-bit floats, whole and in strips; the others of its pass are converted."""
    (tmp_path / "in").mkdir()
    for name, shade in (("gray", 127), ("white", 255), ("also-gray", 128)):
        Image.new("RGB", (80, 70), (shade,) * 3).save(tmp_path / "in" / f"{name}.png")
    half = TorchBackend(card(), overflowing(), device=torch.device("cpu"), precision="float16")
    report = Translator(half, tile=tile, batch=batch).convert(tmp_path / "in", tmp_path / "out")
    assert (report.converted, report.failed) == (2, 1)
    assert "in/white.png: the network gives values that are not finite" in report.failures[0].reason
    assert report.failures[0].reason.endswith("in float16: use --precision float32")
    assert not (tmp_path / "out" / "white.png").exists()
    with pytest.raises(NotFinite, match=r"white\.png: the network gives"):
        Translator(half, tile=tile)(tmp_path / "in" / "white.png")
    whole = TorchBackend(card(), overflowing(), device=torch.device("cpu"))
    assert Translator(whole, tile=tile).convert(tmp_path / "in", tmp_path / "whole").failed == 0


def test_weights_beyond_the_range_of_a_precision(card: MakeCard) -> None:
    network = overflowing()
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    with pytest.raises(ValueError, match=r"--precision float16: .* beyond its range; use --precision float32"):
        TorchBackend(card(), network, device=torch.device("cpu"), precision="float16")


class Sometimes:
    """A backend of one's own, whose tiles at the bottom come to nothing."""

    device = "cpu"

    def __init__(self, card: Card) -> None:
        self.card = card

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        if (images == 0).all((1, 2, 3)).any():
            raise NotFinite("no number")
        return images


def test_a_tile_is_as_good_as_the_whole(card: MakeCard, tmp_path: Path) -> None:
    picture = np.full((400, 200, 3), 9, np.uint8)
    picture[200:] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")
    report = Translator(Sometimes(card()), tile=128).convert(tmp_path / "a.png", tmp_path / "b.png")
    assert report.failures[0].reason == f"{tmp_path / 'a.png'}: no number"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_sum_finds_each(dtype: torch.dtype) -> None:
    values = torch.full((1, 3, 300, 300), 60000.0, dtype=dtype)
    assert all_finite(values)
    for value in BAD:
        values[0, 1, 299, 7] = value
        assert not all_finite(values)
    values[0, 2, 0, 0] = -float(values[0, 1, 299, 7])
    assert not all_finite(values)
