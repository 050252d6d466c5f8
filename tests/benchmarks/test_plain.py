"""What the benchmarks compare with does the same work as the project: equal weights, losses and gradients."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
FULL = {"pix2pix": (54_413_955, 2_768_705), "cyclegan": (11_378_179, 2_764_737), "cut": (11_378_179, 2_764_737)}


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
