"""What every generator of the table has to do: any size, the taps, a clear refusal."""

import pytest
import torch

from translate.networks import GENERATORS
from translate.networks.blocks import NORMS
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS

KINDS = [(up, down, padding) for up in UPSAMPLERS for down in DOWNSAMPLINGS for padding in PADDINGS]


def build(name, **changes):
    torch.manual_seed(0)
    return GENERATORS[name](3, 2, **{"size": 32, "width": 4, "dropout": 0.0} | changes)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("up", "down", "padding"), KINDS)
@torch.no_grad()
def test_any_size_comes_back_and_both_passes_agree(name, up, down, padding):
    net = build(name, upsample=up, downsample=down, padding=padding, width=2).eval()
    for size in ((1, 1), (5, 300), (250, 333)):
        x = torch.rand(1, 3, *size) * 2 - 1
        output, features = net.forward_with_features(x)
        assert output.shape == (1, 2, *size)
        assert output.abs().max() <= 1
        assert torch.equal(output, net(x))
        taps = net.encode(x)
        assert all(map(torch.equal, taps, features))
        assert tuple(tap.shape[1] for tap in taps) == tuple(tap.shape[1] for tap in features) == net.feature_channels


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("norm", NORMS)
def test_one_pixel_can_be_trained_on(name, norm):
    net = build(name, norm=norm).train()
    net(torch.rand(2, 3, 1, 1)).sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def outputs_of(modules, net, x):
    """What forward hooks see of these modules in one pass."""
    seen: dict = {}
    handles = [m.register_forward_hook(lambda m, inputs, y: seen.setdefault(m, y)) for m in modules]
    net(x)
    for handle in handles:
        handle.remove()
    return [seen[m] for m in modules]


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("down", DOWNSAMPLINGS)
def test_taps_are_the_published_places(name, down):
    """The input, the halving convolutions' outputs, and for the ResNet the first and the fifth block."""
    net = build(name, downsample=down, **({"blocks": 7} if name == "resnet" else {"depth": 5}))
    if name == "resnet":
        modules = [*(stage.conv for stage in net.down), net.blocks[0], net.blocks[4]]
        assert net.feature_channels == (3, 8, 16, 16, 16)
    else:
        modules = [stage.conv for stage in list(net.down)[:4]]
        assert net.feature_channels == (3, 4, 8, 16, 32)
    x = torch.rand(2, 3, 32, 32)
    expected = [x, *outputs_of(modules, net, x)]
    taps = net.encode(x)
    assert len(taps) == len(expected)
    assert all(map(torch.equal, taps, expected))


@pytest.mark.parametrize("name", GENERATORS)
def test_encode_stops_after_its_last_tap(name):
    net = build(name, **({"blocks": 7} if name == "resnet" else {"depth": 5}))
    beyond = [net.up[0], net.up[-1], *([net.blocks[5], net.last] if name == "resnet" else [net.down[4]])]
    for module in beyond:
        module.register_forward_pre_hook(lambda module, inputs: pytest.fail("ran further than the last tap"))
    net.encode(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    ("kind", "choices"),
    [("upsample", UPSAMPLERS), ("downsample", DOWNSAMPLINGS), ("padding", PADDINGS), ("norm", NORMS)],
)
def test_unknown_choices_are_listed(name, kind, choices):
    with pytest.raises(ValueError, match=f'called "nothing".*{", ".join(choices)}'):
        build(name, **{kind: "nothing"})
