"""A network cut at its norms is the network; statistics put together are those of the whole."""

import itertools

import pytest
import torch
from torch import nn

from translate.networks import GENERATORS
from translate.networks.blocks import NORMS, ReferredNorm2d
from translate.networks.footprint import peak_bytes, sees_statistics
from translate.networks.padding import PADDINGS
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS
from translate.networks.stages import Statistics, as_affine, is_whole_image, run_stages

ALL_NORMS = [*((name, False) for name in NORMS), ("batch", True)]


def build(name, **changes):
    torch.manual_seed(0)
    network = GENERATORS[name](3, 2, **{"size": 32, "width": 4, "depth": 2} | changes).double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, ReferredNorm2d):
            layer.mean.normal_(0, 0.3)
            layer.variance.uniform_(0.5, 2)
            layer.references = 3
    return network


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(("norm", "per_image"), ALL_NORMS)
@torch.inference_mode()
def test_the_stages_are_the_network(name, norm, per_image):
    for up, down, padding in itertools.product(UPSAMPLERS, DOWNSAMPLINGS, PADDINGS):
        kind = {"upsample": up, "downsample": down, "padding": padding, "norm": norm, "per_image": per_image}
        network = build(name, **kind, **({"blocks": 2} if name == "resnet" else {"depth": 3}))
        x = torch.rand(1, 3, 24, 40, dtype=torch.float64) * 2 - 1
        assert torch.equal(run_stages(network.stages(), x), network(x)), kind


@pytest.mark.parametrize(("norm", "per_image"), ALL_NORMS)
@torch.inference_mode()
def test_statistics_of_unequal_parts_make_the_norm(norm, per_image):
    x = torch.randn(1, 12, 50, 7, dtype=torch.float64) * torch.linspace(0.1, 3, 12)[:, None, None] + 5
    layer = NORMS[norm](12, per_image=per_image).double().eval()
    if isinstance(layer, ReferredNorm2d):
        layer.references = 3
    for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
        if values.is_floating_point():
            values.uniform_(0.5, 2).mul_(1 if "var" in name else 3)
    sums = Statistics()
    for part in x.split([1, 30, 19], 2):
        sums.add(part)
    affine = as_affine(layer, sums)
    made = x if affine is None else x * affine[0][:, None, None] + affine[1][:, None, None]
    torch.testing.assert_close(made, layer(x), rtol=0, atol=1e-12)
    part = x[:, :, :10]
    assert is_whole_image(layer) == (not torch.allclose(layer(part), layer(x)[:, :, :10]))
    assert sees_statistics(nn.Sequential(nn.Conv2d(12, 12, 1), layer)) == is_whole_image(layer)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("down", DOWNSAMPLINGS)
@torch.inference_mode()
def test_nothing_beyond_the_radius_counts(name, down):
    """And it is no more than some times what does count."""
    for up, padding in itertools.product(UPSAMPLERS, PADDINGS):
        kind = {"upsample": up, "downsample": down, "padding": padding, "norm": "none"}
        network = build(name, **kind, **({"blocks": 1} if name == "resnet" else {}))
        middle = network.radius + 2 * network.stride
        x = torch.rand(1, 3, 4, 2 * middle, dtype=torch.float64) * 2 - 1
        whole = network(x)
        for column in range(middle, middle + network.stride):
            for far, same in ((network.radius, True), (network.radius // 4, False)):
                changed = x.clone()
                changed[..., : column - far] = 0
                changed[..., column + far + 1 :] = 0
                assert torch.equal(network(changed)[..., column], whole[..., column]) == same, (kind, column)


def test_memory_is_counted_by_hand():
    """Two layers of 8 channels live together while the second is made; then 2 channels take the first one's place."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert peak_bytes(network, channels=3, height=10, width=20) == 2 * 8 * 200 * 4
    assert peak_bytes(network.double(), channels=3, height=10, width=20) == 2 * 8 * 200 * 8
    in_place = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True))
    assert peak_bytes(in_place, channels=3, height=10, width=20) == 8 * 200 * 4
