"""A model that enlarges, as one file: the pixels, the names of its sides, and pictures in tiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from translate.card import KEY, Card
from translate.export.pictures import textured
from translate.inference.translator import load

MakeCard = Callable[..., Card]
Saved = Callable[[Path, Card], Path]


@pytest.mark.parametrize(("scale", "settings"), [(4, {}), pytest.param(2, {"norm": "none"}, marks=pytest.mark.slow)])
def test_a_file_that_enlarges(
    scale: int, settings: dict[str, str], tmp_path: Path, card: MakeCard, saved: Saved
) -> None:
    own = {"width": 4, "blocks": 2, "scale": scale, **settings}
    described = card(model="srresnet", settings=own, scale=scale, size=64)
    network = load(saved(tmp_path / "m.safetensors", described), device="cpu")
    report = network.export(tmp_path / "m.onnx")
    assert (1, 64 // scale, 64 // scale) in report.checks[0].sizes
    proto = onnx.load(tmp_path / "m.onnx")
    shape = [dim.dim_param or dim.dim_value for dim in proto.graph.output[0].type.tensor_type.shape.dim]
    assert shape == ["batch", f"height_{scale}", f"width_{scale}", 3]
    assert json.loads({p.key: p.value for p in proto.metadata_props}[KEY])["scale"] == scale
    exported = load(tmp_path / "m.onnx", device="cpu")
    assert exported.card.footprint is not None
    assert exported.card.footprint.radius == 12
    rng = np.random.default_rng(7)
    for size in ((1, 70, 131), (2, 9, 5), (1, 1, 1), (1, 1, 17)):
        images = list(textured(rng, described.taken, size))
        for one, other in zip(exported(images), network(images), strict=True):
            assert one.shape == (size[1] * scale, size[2] * scale, 3)
            assert np.abs(one.astype(int) - other).max() <= 1
            assert min(size[1:]) < 5 or one.std() > 10
    (large,) = textured(rng, described.taken, (1, 70, 131))
    tiled = load(tmp_path / "m.onnx", device="cpu", tile=64)(large)
    assert np.abs(tiled.astype(int) - network(large)).max() <= 1
