import pytest
import torch
from torch import nn

from translate.networks.blocks import init_weights


@pytest.mark.parametrize("kind", ["normal", "xavier"])
def test_start_weights_have_the_published_spread(kind):
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [
            nn.Conv2d(32, 64, 4),
            nn.ConvTranspose2d(64, 32, 3),
            nn.Linear(128, 256),
            nn.BatchNorm2d(4096),
            nn.GroupNorm(1, 4096),
        ]
    )
    init_weights(layers, kind=kind)
    for layer, inputs, outputs in zip(layers, (32 * 16, 64 * 9, 128), (64 * 16, 32 * 9, 256), strict=False):
        expected = 0.02 if kind == "normal" else 0.02 * (2 / (inputs + outputs)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
    for norm in list(layers)[3:]:
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.002)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert all(layer.bias.eq(0).all() for layer in layers)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="normal, xavier"):
        init_weights(nn.Linear(1, 1), kind="kaiming")
