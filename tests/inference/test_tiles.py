"""Tiles cover a picture, add up to one, and are blended without steps; where they reach far enough, exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from translate.card import Card, Footprint
from translate.images import ImageSpec
from translate.inference.backend import NO_CONDITIONS, Condition
from translate.inference.pieces import describe
from translate.inference.tiles import Cuts, Overlap, Side, translate_tiles
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import Translator, load
from translate.networks import ResNet

MakeBackend = Callable[..., "Backend"]
POINTWISE = Footprint(stride=4, radius=0, statistics=False)
LOCAL = Footprint(stride=4, radius=None, statistics=True)


class Backend:
    """Makes of each tile what `make(tile, number of the tile)` says."""

    device = "cpu"

    def __init__(self, card: Card, make: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self.card = card
        self.make = make
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        made = []
        for image in images:
            made.append(self.make(image, len(self.shapes)))
            self.shapes.append(image.shape)
        return np.stack(made)


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65, 130, 259])
@pytest.mark.parametrize("stride", [1, 4, 32])
def test_a_side_is_mirrored_as_numpy_does(length: int, stride: int) -> None:
    side = Side(length, stride)
    missing = -length % stride
    expected = np.pad(np.arange(length), (missing // 2, missing - missing // 2), "reflect")
    assert side.padded == len(expected)
    assert np.array_equal(side.inside(0, side.padded), expected)
    assert np.array_equal(side.inside(3, 5), expected[3:5]) or side.padded < 5


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("length", [64, 68, 96, 100, 132, 400])
def test_shares_add_up_to_one(length: int, scale: int, smooth: bool) -> None:
    for overlap, margin in ((16, 2), (32, 16), (60, 7), (32, 0)):
        cuts = Cuts.make(length, tile=64, overlap=overlap, margin=margin, stride=4)
        assert cuts.starts[0] == 0
        assert cuts.starts[-1] + cuts.tile == length
        assert all(start % 4 == 0 for start in cuts.starts)
        assert all(0 < b - a <= 64 - overlap for a, b in zip(cuts.starts, cuts.starts[1:], strict=False))
        total = np.zeros(length * scale)
        for start, share in zip(cuts.starts, cuts.shares(scale=scale, smooth=smooth), strict=True):
            total[start * scale : (start + cuts.tile) * scale] += share
            inner = margin * scale
            if inner and start:
                assert (share[:inner] < 1e-6).all()
            if inner and start + cuts.tile < length:
                assert (share[-inner:] < 1e-6).all()
            assert smooth or set(np.unique(share)) <= {0.0, 1.0}
            ramp = (overlap - 2 * margin) * scale
            if smooth and ramp > 8:
                assert np.abs(np.diff(share)).max() < 2 / ramp  # half a wave of the cosine rises by pi / 2 ramps
        assert np.allclose(total, 1, atol=1e-6)


SIDES = {
    "colour": ImageSpec(channels=3),
    "sixteen bits": ImageSpec(channels=1, dtype="uint16", high=65535),
    "kelvin": ImageSpec(channels=2, dtype="float32", low=200, high=400),
    "labels": ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (9, 200, 30))),
}


@pytest.mark.parametrize("scale", [1, 2])
def test_every_height_modulo_the_stride(scale: int, card: Callable[..., Card]) -> None:
    backend = Backend(card(scale=scale), lambda tile, _: tile.repeat(scale, 0).repeat(scale, 1))
    rng = np.random.default_rng(0)
    footprint = Footprint(stride=16, radius=0, statistics=False)
    for height in range(1, 100):
        picture = rng.integers(0, 256, (height, 70, 3), dtype=np.uint8)
        for tile in (32, 48):
            made = translate_tiles(backend, picture, tile=tile, footprint=footprint).pixels
            assert np.array_equal(made, picture.repeat(scale, 0).repeat(scale, 1)), (height, tile)


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(131, 77), (64, 200), (30, 129), (65, 65)])
def test_what_every_pixel_makes_by_itself_stays(
    size: tuple[int, int], scale: int, name: str, card: Callable[..., Card]
) -> None:
    """Every depth, padded, cropped, enlarged; no tile is larger than asked for."""
    side, rng = SIDES[name], np.random.default_rng(0)
    if side.palette:
        picture = np.array(side.palette, np.uint8)[rng.integers(0, 3, size)]
    else:
        picture = rng.uniform(side.low, side.high, (*size, side.channels)).astype(side.dtype)
    backend = Backend(
        card(source=side, target=side, scale=scale), lambda tile, _: tile.repeat(scale, 0).repeat(scale, 1)
    )
    for footprint in (POINTWISE, LOCAL):
        blended = translate_tiles(backend, picture, tile=64, footprint=footprint)
        expected = picture.repeat(scale, 0).repeat(scale, 1)
        assert blended.pixels.dtype == expected.dtype
        assert np.allclose(blended.pixels, expected, rtol=1e-6, atol=0)
        assert blended.difference in (None, pytest.approx(0, abs=1e-4))
    assert max(max(shape[:2]) for shape in backend.shapes) <= 64
    assert len(backend.shapes) > 2


def test_unlike_tiles_are_blended_without_a_step_and_their_difference_is_told(card: Callable[..., Card]) -> None:
    """Two of 100 and 140 levels, side by side: along half a wave of the cosine from one to the other."""
    backend = Backend(card(), lambda tile, number: np.full_like(tile, 100 + 40 * number))
    blended = translate_tiles(backend, np.zeros((64, 112, 3), np.uint8), tile=64, footprint=LOCAL)
    assert blended.difference == 40
    row = blended.pixels[5, :, 0].astype(int)
    assert (blended.pixels == row[:, None]).all()
    assert set(row[:50]) == {100}
    assert set(row[62:]) == {140}
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 6  # 40 pi / 2 over the 12 pixels between the margins
    report = describe(blended, backend.card, tile=64, footprint=LOCAL)
    assert not report.exact
    assert report.text.endswith(
        "each with its own statistics; blended: where two overlap they are about 40 levels of 255 apart"
    )


def test_label_maps_are_cut_in_the_middle(card: Callable[..., Card]) -> None:
    side = SIDES["labels"]
    assert side.palette is not None
    colours = np.array(side.palette, np.uint8)
    backend = Backend(card(source=side, target=side), lambda tile, number: np.broadcast_to(colours[number], tile.shape))
    blended = translate_tiles(backend, np.zeros((112, 64, 3), np.uint8), tile=64, footprint=LOCAL)
    assert blended.difference == 1
    assert (blended.pixels[:56] == colours[0]).all()
    assert (blended.pixels[56:] == colours[1]).all()
    assert (
        "about 100% of the pixels are of another class"
        in describe(blended, backend.card, tile=64, footprint=LOCAL).text
    )


def test_tiles_that_reach_far_enough_are_exact(card: Callable[..., Card]) -> None:
    """A network of fixed statistics, on a size that it pads; less overlap than it says is not enough."""
    torch.manual_seed(0)
    network = ResNet(3, 3, width=4, blocks=1, norm="batch", depth=1).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.fill_(0.01)
    backend = TorchBackend(card(), network, device=torch.device("cpu"))
    footprint = backend.strips.footprint
    assert (footprint.stride, footprint.radius, footprint.statistics) == (2, 17, False)
    overlap = Overlap.of(footprint, tile=80)
    assert overlap == Overlap(34, 17, True)
    picture = np.random.default_rng(0).integers(0, 256, (203, 131, 3), dtype=np.uint8)
    whole = backend(picture[None])[0].astype(int)
    exact = translate_tiles(backend, picture, tile=80, footprint=footprint)
    assert np.abs(exact.pixels - whole).max() <= 1
    assert describe(exact, backend.card, tile=80, footprint=footprint).exact
    less = footprint.model_copy(update={"radius": 1})
    assert np.abs(translate_tiles(backend, picture, tile=80, footprint=less).pixels - whole).max() > 1


@pytest.mark.slow
def test_exported_files_are_tiled_too(card: Callable[..., Card], tmp_path: Path) -> None:
    """As their network is in PyTorch, where that goes in tiles; they know by themselves how to be cut."""
    torch.manual_seed(0)
    from safetensors.torch import save_file

    from translate.models import build, deployed_state, model_class

    kind = card(settings={"width": 4, "depth": 3, "discriminator_width": 4}, size=32)
    model = build(
        kind.model,
        model_class(kind.model).settings_class.make(kind.settings),
        source=kind.source,
        target=kind.target,
        size=32,
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    save_file(deployed_state(model), tmp_path / "m.safetensors", metadata=kind.to_metadata())
    by_torch = load(tmp_path / "m.safetensors", device="cpu")
    by_torch.export(tmp_path / "m.onnx")
    by_onnx = load(tmp_path / "m.onnx", device="cpu", tile=64)
    assert by_onnx.card.footprint == by_torch.backend.strips.footprint
    picture = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="translated in tiles of 64 pixels"):
        made = by_onnx(picture)
    expected = translate_tiles(by_torch.backend, picture, tile=64, footprint=by_torch.backend.strips.footprint).pixels
    assert np.abs(made.astype(int) - expected).max() <= 1
    with pytest.raises(ValueError, match="--tile 70: this network is cut at every 8 pixels: use 64 or 72"):
        Translator(by_onnx.backend, tile=70)
    by_torch = load(tmp_path / "m.safetensors", device="cpu", tile=70)  # in strips it is not cut along columns
    assert by_torch.tile == 70
