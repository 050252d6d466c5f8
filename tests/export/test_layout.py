"""The bare network: its own values in and out, for those who scale elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from translate.card import Card
from translate.cli import main
from translate.export.graph import LAYOUTS
from translate.export.metadata import read_metadata
from translate.export.options import ExportSettings
from translate.export.report import CHECK_KEY, Made
from translate.export.session import open_session
from translate.export.write import export_model
from translate.fields import Settings
from translate.images import ImageSpec
from translate.inference.translator import load, read_card

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]


@pytest.fixture(scope="module")
def bare(pair: tuple[Path, Path]) -> Path:
    out = pair[1].with_name("bare.onnx")
    assert main(["export", str(pair[0]), str(out), "--layout", "nchw-float"]) == 0
    return out


@pytest.mark.slow
def test_it_is_the_network_at_any_size(bare: Path, pair: tuple[Path, Path]) -> None:
    graph = onnx.load(bare).graph
    for value, channels in ((graph.input[0], 1), (graph.output[0], 3)):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert dims == ["batch", channels, "height", "width"]
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    network = load(pair[0], device="cpu").backend.exportable()
    session = open_session(bare, device="cpu").session
    for size in ((1, 1, 1), (3, 9, 50), (2, 64, 31)):
        count, height, width = size
        values = np.random.default_rng(0).uniform(-1, 1, (count, 1, height, width)).astype(np.float32)
        (made,) = session.run(["translated"], {"image": values})
        with torch.inference_mode():
            expected = network(torch.from_numpy(values)).numpy()
        assert made.shape == (count, 3, height, width)
        assert min(size) == 1 or np.abs(made - expected).max() < 1e-4


def test_it_says_what_it_is_and_is_not_run_here(
    bare: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = read_metadata(bare)
    assert Made.from_metadata(metadata, path="a.onnx").layout == "nchw-float"
    assert json.loads(metadata[CHECK_KEY])[0]["largest"] < 0.1  # of a level: nothing is rounded
    assert read_card(bare).model_copy(update={"footprint": None}) == read_card(pair[0])
    with pytest.raises(ValueError, match=r"bare\.onnx: exported with --layout nchw-float.*export without --layout"):
        load(bare, device="cpu")
    assert main(["convert", str(bare), str(bare.parent), str(bare.parent / "out")]) == 2
    capsys.readouterr()
    assert main(["info", str(bare)]) == 0
    assert "exported nchw-float, float32" in " ".join(capsys.readouterr().out.split())
    assert main(["info", str(pair[0])]) == 0
    assert "exported" not in capsys.readouterr().out


def test_labels_are_one_channel_a_class(tmp_path: Path, card: MakeCard, spec: MakeSpec) -> None:
    palette = ((0, 0, 0), (255, 0, 0), (40, 200, 90), (250, 250, 250))
    labels = spec(3, kind="labels", palette=palette, one_hot=True)
    network = nn.Conv2d(4, 4, 3, padding=1).eval().requires_grad_(False)
    export_model(network, card(labels, labels), tmp_path / "a.onnx", settings=ExportSettings(layout="nchw-float"))
    values = np.random.default_rng(0).uniform(-1, 1, (1, 4, 5, 6)).astype(np.float32)
    (made,) = open_session(tmp_path / "a.onnx", device="cpu").session.run(None, {"image": values})
    assert np.abs(made - network(torch.from_numpy(values)).numpy()).max() < 1e-5


def test_the_options_name_every_layout() -> None:
    field = ExportSettings.model_fields["layout"]
    assert issubclass(ExportSettings, Settings)
    assert set(LAYOUTS) == set(field.annotation.__args__)
    assert next(iter(LAYOUTS)) == field.default == Made().layout
