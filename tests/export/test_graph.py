"""The graph holds all that lies between pixels and pixels, for every network and at every size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.test_models import example_conditions, some_conditions
from tests.parts import slow_but
from translate.card import Card
from translate.export.session import open_session
from translate.export.verify import textured
from translate.export.write import export_model
from translate.images import ImageSpec, missing
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import load
from translate.models import MODELS, build
from translate.networks import GENERATORS
from translate.networks.blocks import NORMS, REFERRED
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]
Spread = Callable[[nn.Module], nn.Module]
Saved = Callable[[Path, Card], Path]
Row = tuple[str, ...]

KINDS: tuple[tuple[str, ...], ...] = (
    tuple(GENERATORS),
    (*NORMS, "batch per image"),
    tuple(UPSAMPLERS),
    tuple(DOWNSAMPLINGS),
    tuple(PADDINGS),
)
SIZES = ((2, 5, 70), (1, 2, 3), (3, 65, 34), (1, 40, 1))
ONE_COLOUR = ((1, 1, 1), (2, 9, 1))


def pairs(row: Row) -> Iterator[tuple[tuple[int, str], ...]]:
    return itertools.combinations(enumerate(row), 2)


def pairwise(kinds: tuple[tuple[str, ...], ...]) -> list[Row]:
    """Rows that together hold every two entries of different kinds: the fullest one first, until none is left."""
    rows = list(itertools.product(*kinds))
    left = {pair for row in rows for pair in pairs(row)}
    chosen = []
    while left:
        best = max(rows, key=lambda row: sum(pair in left for pair in pairs(row)))
        chosen.append(best)
        left -= set(pairs(best))
    return chosen


ROWS = pairwise(KINDS)
OTHERS = sorted(set(itertools.product(*KINDS)) - set(ROWS))
CHOOSING = [name for name, cls in MODELS.items() if cls.settings_class.parts.get("generator") is GENERATORS]
"""Models that leave the choice of networks open."""


def by_models(rows: list[Row]) -> list[Row]:
    """Each row with a model before it to build it, in turn: all choose among the same networks.

    A generator that takes labels has no norm that needs a reference batch.
    """
    named = zip(itertools.cycle(CHOOSING), rows, strict=False)
    return [("pix2pix" if row[1] in REFERRED and model == "stargan" else model, *row) for model, row in named]


USUAL = [
    min((row for row in by_models(ROWS) if row[1] == name), key=lambda row: row.count("antialiased"))
    for name in ("unet",)
]
"""Among the quickest; each run of the tests tries it."""

SOME = [*USUAL, *{row[0]: row for row in by_models(ROWS) if row not in USUAL}.values()]
"""One of each model: an export takes seconds."""


def settings(name: str, norm: str, upsample: str, downsample: str, padding: str) -> dict[str, Any]:
    chosen = {"generator": name, "upsample": upsample, "downsample": downsample, "padding": padding, "dropout": 0.5}
    small = {"width": 4, "discriminator": "patchgan", "discriminator_width": 4, "patch": 16}
    small |= {"blocks": 1, "depth": 1} if name == "resnet" else {"depth": 2}
    if norm.startswith("batch"):
        chosen["inference_norm"] = "image" if norm == "batch per image" else "running"
    return {**chosen, **small, "norm": norm.split()[0]}


def check(row: Row, folder: Path, *, card: MakeCard, spec: MakeSpec, spread: Spread, saved: Saved) -> None:
    """Against the network called as training calls it, at other sizes than those of the contract."""
    model, *choices = row
    conditions = some_conditions(model)
    described = card(
        spec(3),
        spec(3),
        model=model,
        settings=settings(*choices),
        reversible=MODELS[model].reversible,
        conditions=conditions,
        inputs=("image", *conditions.inputs),
    )
    load(saved(folder / "model.safetensors", described), device="cpu").export(folder / "out.onnx")
    own = MODELS[model].settings_class.make(described.settings)
    network = spread(
        build(
            model,
            own,
            source=described.source,
            target=described.target,
            size=described.size,
            conditions=conditions,
        )
    )
    session = open_session(folder / "out.onnx", device="cpu").session
    rng = np.random.default_rng(5)
    for size in SIZES:
        images = textured(rng, described.taken, size)
        drawn_inputs = example_conditions(model, len(images))
        given = {name: drawn_inputs[name] for name in conditions.inputs}
        (made,) = session.run(None, {"image": images, **{name: value.numpy() for name, value in given.items()}})
        with torch.inference_mode():
            values = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1, **given)
        expected = ((values.permute(0, 2, 3, 1) + 1) * 127.5).numpy()
        assert made.shape == (*size, 3)
        assert np.abs(made - expected).max() < 0.51, size  # rounded, and the difference of two runtimes
        assert min(size) < 3 or made.std() > 5
    for size in ONE_COLOUR:
        told = {
            name: value.numpy()
            for name, value in example_conditions(model, size[0]).items()
            if name in conditions.inputs
        }
        (made,) = session.run(None, {"image": np.full((*size, 3), 77, np.uint8), **told})
        assert made.shape == (*size, 3)


@pytest.mark.parametrize(
    "row",
    [
        *slow_but(USUAL, SOME),
        *(pytest.param(row, marks=pytest.mark.exhaustive) for row in by_models(ROWS) if row not in SOME),
    ],
    ids=",".join,
)
def test_every_two_choices_export_together(
    row: Row, tmp_path: Path, card: MakeCard, spec: MakeSpec, spread: Spread, saved: Saved
) -> None:
    check(row, tmp_path, card=card, spec=spec, spread=spread, saved=saved)


@pytest.mark.exhaustive
@pytest.mark.parametrize("row", by_models(OTHERS), ids=",".join)
def test_all_choices_export(
    row: Row, tmp_path: Path, card: MakeCard, spec: MakeSpec, spread: Spread, saved: Saved
) -> None:
    check(row, tmp_path, card=card, spec=spec, spread=spread, saved=saved)


def test_every_two_choices_meet_in_a_row_and_every_model_builds_one() -> None:
    for (i, first), (j, second) in itertools.combinations(enumerate(KINDS), 2):
        together = {(row[i], row[j]) for row in ROWS}
        assert together == set(itertools.product(first, second))
    assert len(ROWS) < len(OTHERS) / 10
    assert {row[0] for row in by_models(ROWS)} == set(CHOOSING)


@pytest.mark.parametrize("name", GENERATORS)
def test_no_choice_of_a_generator_is_forgotten(name: str) -> None:
    """A new argument belongs into `KINDS`, or here if it is a number, or changes what a graph knows nothing of."""
    tried = {"norm", "per_image", "upsample", "downsample", "padding"}
    numbers = {"size", "width", "depth", "blocks", "dropout", "code"}
    left = {"first_bias", "skips"}  # a bias where there may be one anyway; what tells two entries of the table apart
    given = GENERATORS[name].takes
    assert set(given) - {"source_channels", "target_channels"} <= tried | numbers | left


PALETTE = ((0, 0, 0), (255, 0, 0), (40, 200, 90), (250, 250, 250))
LABELS = {"channels": 3, "kind": "labels", "palette": PALETTE}

SAME = {
    "8 bits": {},
    "8 bits, a range": {"low": 20.0, "high": 180.0},
    "16 bits": {"channels": 1, "dtype": "uint16"},
    "16 bits, a range": {"channels": 4, "dtype": "uint16", "low": 300.0, "high": 4000.0},
    "floats": {"channels": 2, "dtype": "float32", "low": -1.5, "high": 3.0},
    "labels": LABELS,
    "labels, one-hot": {**LABELS, "one_hot": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_what_nothing_changes_comes_out_as_it_went_in(
    changes: dict[str, Any], tmp_path: Path, card: MakeCard, spec: MakeSpec
) -> None:
    """A network that does nothing leaves the scaling: pixels are clipped to the range, or become the nearest entry."""
    kind = spec(**changes)
    export_model(nn.Identity().eval(), card(kind, kind), tmp_path / "out.onnx")
    session = open_session(tmp_path / "out.onnx", device="cpu").session
    rng = np.random.default_rng(0)
    low, high = (-3, 5) if kind.dtype == "float32" else (0, {"uint8": 256, "uint16": 65536}[kind.dtype])
    images = rng.uniform(low, high, (2, 9, 7, kind.channels)).astype(kind.dtype)
    (made,) = session.run(None, {"image": images})
    assert made.dtype == images.dtype
    if kind.palette:
        palette = np.array(kind.palette)
        distance = np.square(images[..., None, :].astype(int) - palette).sum(-1)
        assert np.array_equal(made, palette[distance.argmin(-1)])
    else:
        assert np.allclose(made, images.clip(kind.low, kind.high), atol=1e-6 if kind.dtype == "float32" else 0)


BANDS = ((-5.0, 20.0), (100.0, 4000.0), (0.0, 1.0))
MIXED = {
    "a range for each band": (
        {"channels": 3, "dtype": "float32", "low": -5.0, "high": 4000.0, "bands": BANDS},
        {"channels": 2, "dtype": "uint16", "low": 10.0, "high": 900.0, "bands": ((10.0, 60.0), (300.0, 900.0))},
    ),
    "no data to no data": (
        {"channels": 2, "dtype": "float32", "low": -5.0, "high": 20.0, "nodata": -9999.0},
        {"channels": 1, "dtype": "uint16", "low": 0.0, "high": 4000.0, "nodata": 0.0},
    ),
    "gaps to gaps": (
        {"channels": 1, "dtype": "float32", "low": -5.0, "high": 20.0, "nodata": "nan"},
        {"channels": 2, "dtype": "float32", "low": -500.0, "high": 2000.0, "nodata": "nan"},
    ),
    "one-hot to 16 bits": ({**LABELS, "one_hot": True}, {"channels": 1, "dtype": "uint16", "high": 4000.0}),
    "16 bits to one-hot": ({"channels": 1, "dtype": "uint16"}, {**LABELS, "one_hot": True}),
    "8 bits to colours of labels": ({"channels": 1}, LABELS),
}


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), MIXED.values(), ids=MIXED)
def test_source_and_target_of_different_kinds(
    source: dict[str, Any], target: dict[str, Any], tmp_path: Path, card: MakeCard, spec: MakeSpec, spread: Spread
) -> None:
    """Against what runs a model file."""
    both = card(spec(**source), spec(**target))
    channels = both.source.network_channels, both.target.network_channels
    network = spread(nn.Sequential(nn.Conv2d(*channels, 3, padding=1), nn.Tanh()))
    export_model(network, both, tmp_path / "out.onnx")
    session = open_session(tmp_path / "out.onnx", device="cpu").session
    images = textured(np.random.default_rng(3), both.taken, (2, 21, 18))
    (made,) = session.run(None, {"image": images})
    expected = TorchBackend(both, network, device=torch.device("cpu"))(images)
    assert made.dtype == expected.dtype == both.target.dtype
    if both.target.palette:
        assert (made != expected).any(-1).mean() < 0.005  # as good as equally near to two
        assert len(np.unique(made.reshape(-1, 3), axis=0)) > 1
        return
    gone = missing(images, both.source.nodata).any(-1, keepdims=True) & (both.target.nodata is not None)
    assert gone.any() == (both.target.nodata is not None)
    for values in (made, expected):
        np.testing.assert_array_equal(missing(values, both.target.nodata), gone.repeat(both.target.channels, -1))
    there = ~gone[..., 0]
    assert np.abs(made[there].astype(np.float64) - expected[there]).max() <= 1
    assert expected[there].std() > 100
