"""The generator of SRResNet: its sizes, what it starts from, and what the pieces of a picture have to know of it."""

import pytest
import torch
from torch import nn

from translate.networks.blocks import init_weights
from translate.networks.srresnet import SCALES, SRResNet
from translate.networks.stages import run_stages


def network(scale, **changes):
    torch.manual_seed(0)
    return SRResNet(3, 2, scale=scale, width=4, **{"blocks": 2, **changes})


def loud(made):
    for weight in made.parameters():
        nn.init.normal_(weight, 0, 0.3)
    return made.eval()


def test_the_published_one_is_as_large_as_published():
    """By hand: first, blocks, the convolution after them, two doublings, last; PReLU has a weight a channel."""
    conv = 64 * 64 * 9
    ups = 2 * (64 * 256 * 9 + 256 + 64)
    expected = (3 * 64 * 81 + 64 + 64) + 16 * (2 * conv + 2 * 128 + 64) + (conv + 128) + ups + (64 * 3 * 81 + 3)
    assert sum(p.numel() for p in SRResNet(3, 3).parameters()) == expected == 1_548_547


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 2), (17, 10)])
def test_any_size_comes_out_as_many_times_as_large(scale, size):
    made = network(scale).eval()(torch.rand(2, 3, *size) * 2 - 1)
    assert made.shape == (2, 2, size[0] * scale, size[1] * scale)
    assert made.abs().max() <= 1


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("blocks", [1, 3])
def test_a_result_depends_on_what_the_radius_says_and_no_more(scale, blocks):
    made = loud(network(scale, blocks=blocks)).double()
    middle = made.radius + 2
    side = 2 * middle + 1
    source = (torch.rand(1, 3, side, side, dtype=torch.float64) * 0.1).requires_grad_()
    own = slice(middle * scale, (middle + 1) * scale)
    made(source)[0, 0, own, own].sum().backward()
    reached = source.grad.abs().sum((0, 1)).nonzero()
    distance = (reached - middle).abs()
    assert distance.max() == made.radius


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("norm", "per_image"), [("batch", False), ("batch", True), ("none", False)])
def test_the_stages_are_the_network(scale, norm, per_image):
    made = loud(network(scale, norm=norm, per_image=per_image)).double()
    source = torch.rand(1, 3, 11, 8, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = made(source)
        assert expected.std() > 0.1
        assert (run_stages(made.stages(), source) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("scale", SCALES)
def test_it_starts_by_enlarging_pixels(scale):
    """The four pixels of each doubling are alike, and no grid has to be unlearned; the same weights every time."""
    made, again = (network(scale), network(scale))
    for one in (made, again):
        torch.manual_seed(1)
        init_weights(one)
        one.start_alike()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), again.parameters(), strict=True))
    x = torch.rand(1, 4, 5, 6)
    up = made.up[0](x)
    assert torch.equal(up[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2), up)
    assert up.std() > 0
