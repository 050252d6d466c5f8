"""In strips a network of PyTorch gives what it gives at once: each norm knows the whole picture."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from translate.card import Card
from translate.cli import main
from translate.images import ImageSpec
from translate.inference import pieces
from translate.inference.strips import run_strips
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import Translator, load
from translate.models import build, deployed_state, model_class
from translate.networks import GENERATORS, ResNet
from translate.networks.blocks import NORMS, ReferredNorm2d
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS

MakeCard = Callable[..., Card]
CPU = torch.device("cpu")


def loud(network: nn.Module) -> nn.Module:
    """With weights that let the pixels spread over the whole range."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(0, (1.5 / weight[0].numel()) ** 0.5, generator=generator)
        for layer in network.modules():
            if isinstance(layer, ReferredNorm2d):
                layer.variance.uniform_(0.5, 2, generator=generator)
                layer.references = 3
    return network.eval().requires_grad_(False)


def in_strips(network: nn.Module, x: Tensor, *, rows: int) -> tuple[list[Tensor], list[int]]:
    """The strips of a result, and where they begin."""
    made: list[Tensor] = []
    starts: list[int] = []

    def write(start: int, values: Tensor) -> None:
        starts.append(start)
        made.append(values)

    def read(start: int, stop: int) -> Tensor:
        return x[:, :, start:stop]

    run_strips(network.stages(), read, write, height=x.shape[2], rows=rows)
    return made, starts


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("norm", "per_image"), [*((norm, False) for norm in NORMS), ("batch", True)])
def test_every_kind_agrees_in_double_precision(name: str, norm: str, per_image: bool) -> None:
    """In strips of one row at the bottom, of a few, and in one that is all."""
    for up, down, padding in itertools.product(UPSAMPLERS, DOWNSAMPLINGS, PADDINGS):
        kind = {"upsample": up, "downsample": down, "padding": padding, "norm": norm, "per_image": per_image}
        shape = {"width": 2, "depth": 2, **({"blocks": 2} if name == "resnet" else {"depth": 3})}
        network = loud(GENERATORS[name](3, 2, size=32, **shape, **kind)).double()
        x = torch.rand(1, 3, 40, 24, dtype=torch.float64) * 2 - 1
        with torch.inference_mode():
            expected = network(x)
            for rows in (1, 7, 1000):
                made, starts = in_strips(network, x, rows=rows)
                assert (torch.cat(made, 2) - expected).abs().max() < 1e-10, (kind, rows)
                assert starts == list(np.cumsum([0, *(values.shape[2] for values in made)])[:-1])
                assert (len(made) == 1) == (rows == 1000)


SIZES = ((131, 77), (70, 300), (65, 1), (1, 66), (64, 65))


@pytest.mark.parametrize("generator", ["resnet", "unet"])
def test_pixels_are_those_of_the_whole(generator: str, card: MakeCard, tmp_path: Path) -> None:
    """Odd sizes, and pictures of a few columns or rows. A batch is one by one, and nobody is warned."""
    shape = {"depth": 3} if generator == "unet" else {"blocks": 2}
    save(tmp_path / "m.safetensors", card(settings={"width": 4, "generator": generator, **shape}, size=32))
    whole, tiled = (load(tmp_path / "m.safetensors", device="cpu", tile=tile) for tile in (None, 64))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, expected = tiled(pictures), whole(pictures)
    assert max(far(a, b) for a, b in zip(made, expected, strict=True)) <= 1
    assert np.std(expected[0]) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_every_height_of_two_strides(name: str, card: MakeCard) -> None:
    """Strips may lie wholly in the padding above or below, or hold a row of the picture."""
    network = loud(GENERATORS[name](3, 3, size=32, width=2, depth=4, **({"blocks": 1} if name == "resnet" else {})))
    backend = TorchBackend(card(size=32), network, device=CPU)
    stride = backend.strips.footprint.stride
    rng = np.random.default_rng(0)
    for height in range(1, 2 * stride + 2):
        picture = rng.integers(0, 256, (height, 21, 3), dtype=np.uint8)
        expected = backend(picture[None])[0]
        for rows in (1, 3, 5, stride):
            assert far(backend.strips(picture, rows=rows), expected) <= 1, (height, rows)


@pytest.mark.slow
@pytest.mark.parametrize(("generator", "size"), [("unet", 128), ("unet", 256), ("resnet", 256)])
def test_a_folder_of_twenty_sizes(
    generator: str, size: int, card: MakeCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command, with U-Nets that halve down to one pixel; for `auto` nothing fits."""
    settings = {"width": 2, "generator": generator, **({"blocks": 1} if generator == "resnet" else {})}
    save(tmp_path / "m.safetensors", card(settings=settings, size=size))
    sizes = [(70, 512), (1080, 1920), *((40 + 43 * n, 130 + 7 * n) for n in range(18))]
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for height, width in sizes:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / f"{height}x{width}.png", compress_level=1)

    def converted(tile: str) -> dict[str, np.ndarray]:
        out = tmp_path / tile
        words = [str(tmp_path / "m.safetensors"), str(tmp_path / "in"), str(out), "--device=cpu", f"--tile={tile}"]
        assert main(["convert", *words]) == 0
        return {path.name: np.asarray(Image.open(path)) for path in out.glob("*.png")}

    expected = converted("none")
    assert len(expected) == 20
    assert all(picture.std() > 10 for picture in expected.values())
    for tile in ("128", "512", "auto")[size == 256 and generator == "unet" :]:  # 128 is less than one of its strips
        if tile == "auto":
            monkeypatch.setattr(pieces, "ALWAYS_FITS_PIXELS", 0)
            monkeypatch.setattr(pieces, "free_bytes", lambda device: 0)
        made = converted(tile)
        apart = {name: far(made[name], picture) for name, picture in expected.items()}
        assert max(apart.values()) <= 1, (tile, apart)


def save(path: Path, card: Card) -> None:
    """A model file, as training writes it."""
    settings = model_class(card.model).settings_class.make(card.settings)
    model = build(card.model, settings, source=card.source, target=card.target, size=card.size)
    loud(model)
    save_file(deployed_state(model), path, metadata=card.to_metadata())


def far(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


SIDES = {
    "sixteen bits": (ImageSpec(channels=1, dtype="uint16", high=65535), 257.0),
    "kelvin": (ImageSpec(channels=2, dtype="float32", low=200, high=400), 200 / 255),
    "labels": (ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0), (9, 200, 30)), one_hot=True), 0.0),
}


@pytest.mark.parametrize("name", SIDES)
def test_every_kind_of_picture(name: str, card: MakeCard) -> None:
    side, level = SIDES[name]
    network = loud(ResNet(side.network_channels, side.network_channels, width=4, blocks=1))
    backend = TorchBackend(card(source=side, target=side), network, device=CPU)
    rng = np.random.default_rng(0)
    if side.palette:
        picture = np.array(side.palette, np.uint8)[rng.integers(0, 3, (90, 75))]
    else:
        picture = rng.uniform(side.low, side.high, (90, 75, side.channels)).astype(side.dtype)
    made = backend.strips(picture, rows=20)
    assert far(made, backend(picture[None])[0]) <= level
    assert made.std() > 0


def test_both_ways_of_a_model(card: MakeCard, tmp_path: Path) -> None:
    settings = {"generator": "resnet", "width": 4, "blocks": 1, "discriminator_width": 4}
    save(tmp_path / "m.safetensors", card(model="cyclegan", settings=settings, reversible=True))
    picture = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    results = []
    for direction in ("AtoB", "BtoA"):
        whole, tiled = (
            load(tmp_path / "m.safetensors", device="cpu", direction=direction, tile=tile) for tile in (None, 64)
        )
        results.append(whole(picture))
        assert far(tiled(picture), results[-1]) <= 1
    assert far(*results) > 50


def test_reduced_precision_has_strips_too(card: MakeCard) -> None:
    backend = TorchBackend(card(), loud(ResNet(3, 3, width=4, blocks=1)), device=CPU, precision="bfloat16")
    picture = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    made, expected = backend.strips(picture, rows=20), backend(picture[None])[0]
    assert np.abs(made.astype(float) - expected).mean() < 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("one_hot", [True, False])
def test_reduced_precision_tells_colours_apart(precision: str, one_hot: bool, card: MakeCard) -> None:
    """Classes are found in float32, as for a whole picture: there are codes of neighbouring grays."""
    grays = ImageSpec(channels=3, kind="labels", palette=tuple((100 + i,) * 3 for i in range(8)), one_hot=one_hot)
    channels = grays.network_channels
    network = loud(ResNet(channels, channels, width=4, blocks=1))
    backend = TorchBackend(card(source=grays, target=grays), network, device=CPU, precision=precision)
    picture = np.random.default_rng(0).integers(100, 108, (80, 70, 1), dtype=np.uint8).repeat(3, 2)
    made, expected = backend.strips(picture, rows=20), backend(picture[None])[0]
    assert (made != expected).any(-1).mean() < 0.1
    assert expected.std() > 1


class Negated(nn.Module):
    """A model that does more than its network."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.generator = loud(ResNet(3, 3, width=4, blocks=1))
        self.sign = sign

    def forward(self, image: Tensor) -> Tensor:
        return self.sign * self.generator(image)


def test_a_model_that_does_more_goes_in_tiles(card: MakeCard) -> None:
    """Found out by trying; the network's own pixels would be wrong."""
    same, other = (TorchBackend(card(), Negated(sign), device=CPU) for sign in (1, -1))
    assert same.strips.stages is same._network.generator
    assert other.strips.stages is None
    picture = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="translated in tiles of 64 pixels that overlap by 16, each with its own stat"):
        Translator(other, tile=64)(picture)


def test_a_full_disk_is_said(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TorchBackend(card(), loud(ResNet(3, 3, width=4, blocks=1)), device=CPU)
    usage = shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(MemoryError, match=r"80x70 pixels do not fit .* temporary files, and .* set TMPDIR"):
        Translator(backend, tile=64)(np.zeros((70, 80, 3), np.uint8))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_disk_that_fills_up_is_said(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TorchBackend(card(), loud(ResNet(3, 3, width=4, blocks=1)), device=CPU)
    full = lambda prefix: Path("/dev/full").open("rb+", buffering=0)  # noqa: E731, SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(MemoryError, match=r"80x70 pixels do not fit .* no room is left for temporary files in"):
        Translator(backend, tile=64)(np.zeros((70, 80, 3), np.uint8))


def test_strips_are_no_smaller_than_what_the_network_halves(card: MakeCard) -> None:
    """Of a picture below that a ResNet sees more than one mirrored side."""
    backend = TorchBackend(card(), loud(ResNet(3, 3, width=1, blocks=1, depth=7)), device=CPU)
    with pytest.raises(ValueError, match="--tile 100: strips of this network take 128 pixels at least"):
        Translator(backend, tile=100)
    picture = np.random.default_rng(0).integers(0, 256, (20, 129, 3), dtype=np.uint8)
    assert far(Translator(backend, tile=128)(picture), Translator(backend, tile=None)(picture)) <= 1
