"""What the benchmarks compare with does the same work as the project: equal weights, losses, gradients and pictures."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

sys.path.append(str(Path(__file__).resolve().parents[2]))  # benchmarks are no part of the package

from benchmarks.plain import pictures, steps
from benchmarks.plain.networks import ResNet, UNet
from benchmarks.train import make_model, noise
from translate.training import loop

CPU = torch.device("cpu")
SIZE = 64
MADE = {
    "pix2pix": lambda width: steps.Pix2Pix(depth=6, width=width, dropout=0.0),
    "cyclegan": lambda width: steps.CycleGAN(blocks=6, width=width),
    "cut": lambda width: steps.CUT(blocks=6, width=width),
}


def filled(theirs, model):
    """The same weights in both, and a rate of 0: each player's gradient is then at these weights."""
    for name, network in theirs.networks.items():
        own = list(model.get_submodule(name).parameters())
        for mine, weight in zip(network.parameters(), own, strict=True):
            assert mine.shape == weight.shape
            mine.data.copy_(weight)
    for optimizer in (value for value in vars(theirs).values() if isinstance(value, torch.optim.Adam)):
        optimizer.param_groups[0]["lr"] = 0.0


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("batch", [1, 2])
def test_losses_and_gradients_of_the_plain_step_are_ours(name, batch):
    model, settings = make_model(name, size=SIZE, width=4, batch=batch, device=CPU)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    model.double()  # instance norm of what an untrained network makes enlarges rounding a hundredfold
    theirs = MADE[name](4)
    for network in theirs.networks.values():
        network.double()
    filled(theirs, model)
    example = noise(model, size=SIZE, batch=batch, device=CPU)
    example = replace(example, pictures={side: pixels.double() for side, pixels in example.pictures.items()})
    if name == "cut":
        for draw in example.draws.values():
            draw[:] = draw[0]  # the published code looks at the same places of every picture
        theirs.positions = [example.draws[f"positions_{layer}"][0] for layer in range(5)]
    theirs(example.source, example.target)

    optimizers = loop.make_optimizers(model, settings, device=CPU)
    found = {}

    def keep(optimizer, args, kwargs):
        found.update({weight: weight.grad for weight in optimizer.param_groups[0]["params"]})

    for optimizer in optimizers.values():
        loop.set_rate(optimizer, 0.0)
        optimizer.register_step_pre_hook(keep)
    losses = loop.Step(model, optimizers, device=CPU)([example])
    assert {loss: value.item() for loss, value in theirs.losses.items()} == pytest.approx(
        {loss: losses[loss].item() for loss in theirs.losses}, rel=1e-4
    )
    for network_name, network in theirs.networks.items():
        apart, whole = 0.0, 0.0
        for mine, weight in zip(network.parameters(), model.get_submodule(network_name).parameters(), strict=True):
            apart += (mine.grad - found[weight]).square().sum().item()
            whole += found[weight].square().sum().item()
        assert whole > 0, network_name
        assert apart < 1e-6 * whole, network_name


def test_the_plain_networks_have_the_published_numbers_of_weights():
    with torch.device("meta"):
        counts = [
            sum(weight.numel() for weight in network.parameters())
            for network in (UNet(), ResNet(), steps.patchgan(6), steps.patchgan(3, norm=torch.nn.InstanceNorm2d))
        ]
    assert counts == [54_413_955, 11_378_179, 2_768_705, 2_764_737]


def test_losses_are_read_as_often_as_the_published_scripts_print_them(monkeypatch):
    monkeypatch.setattr(steps, "READ_EVERY", 2)
    training = steps.Pix2Pix(depth=5, width=2)
    source, target = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    training(source, target)
    assert not training.read
    training(source, target)
    assert set(training.read) == {"d", "g_gan", "g_l1"}


def test_half_of_what_comes_out_of_a_full_pool_are_past_fakes():
    random.seed(0)
    pool = steps.Pool(size=2)
    assert [pool(torch.full((1, 1), float(i))).item() for i in range(2)] == [0, 1]
    given = [pool(torch.full((1, 1), float(i))).item() for i in range(2, 202)]
    past = sum(value != i for i, value in enumerate(given, 2))
    assert 70 < past < 130


def test_pairs_are_read_as_by_torchvision(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 60, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    monkeypatch.setattr(random, "randint", lambda low, high: high)
    monkeypatch.setattr(random, "random", lambda: 0.9)  # mirrored
    (pair,) = pictures.loader([tmp_path / "1.png"], load=24, crop=16)
    usual = transforms.Compose(
        [
            transforms.Resize((24, 24), transforms.InterpolationMode.BICUBIC),
            transforms.Lambda(lambda image: image.crop((8, 8, 24, 24))),
            transforms.RandomHorizontalFlip(1.0),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    with Image.open(tmp_path / "1.png") as both:
        for name, box in (("A", (0, 0, 30, 20)), ("B", (30, 0, 60, 20))):
            assert torch.equal(pair[name][0], usual(both.crop(box)))
