import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.networks import Discriminator, Shown, patchgan
from translate.networks.blocks import NORMS
from translate.networks.patchgan import STRIDED_LAYERS, check_size, smallest_size


@pytest.mark.parametrize(("channels", "norm", "count"), [(6, "batch", 2_768_705), (3, "instance", 2_764_737)])
def test_parameter_counts_are_the_published_ones(channels, norm, count):
    assert sum(p.numel() for p in patchgan(channels, norm=norm).parameters()) == count


@pytest.mark.parametrize("patch", [int(p) for p in STRIDED_LAYERS])
def test_receptive_field_is_the_patch(patch):
    """The gradient of one logit reaches exactly `patch` x `patch` pixels."""
    net = patchgan(1, width=2, patch=patch, norm="none")
    for parameter in net.parameters():
        nn.init.ones_(parameter)  # positive weights: nothing cancels
    side = smallest_size(patch) + 3 * patch
    x = torch.ones(1, 1, side, side, requires_grad=True)
    logits = net(x)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == patch


@pytest.mark.parametrize("patch", [int(p) for p in STRIDED_LAYERS])
@pytest.mark.parametrize("norm", NORMS)
def test_smallest_size_is_the_smallest(patch, norm):
    side = smallest_size(patch)
    net = patchgan(3, width=2, patch=patch, norm=norm)
    assert min(net(torch.rand(2, 3, side, side)).shape[-2:]) >= 1
    check_size(side, patch)
    with pytest.raises(ValueError, match=f"at least {side} pixels"):
        check_size(side - 1, patch)
    if patch > 1 or norm == "instance":
        with pytest.raises((RuntimeError, ValueError)):
            net(torch.rand(2, 3, side - 1, side - 1))


def test_unknown_patch_lists_the_choices():
    with pytest.raises(ValueError, match="1, 16, 34, 70, 142, 286"):
        patchgan(3, patch=71)


def test_a_discriminator_joins_the_source_in_front():
    discriminator = Discriminator(nn.Sequential())
    image, source = torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2)
    assert discriminator(Shown(image, source))[0][0].logits[:, 0].eq(1).all()
    assert discriminator(Shown(image))[0][0].logits.shape == (1, 3, 2, 2)


def test_features_are_the_activations_of_every_layer():
    network = patchgan(3, width=4)
    expected = []
    for layer in network:
        if isinstance(layer, nn.LeakyReLU):
            layer.register_forward_hook(lambda layer, inputs, output: expected.append(output))
    features = Discriminator(network)(Shown(torch.rand(1, 3, 32, 32)))[0][0].features
    assert len(features) == len(expected) == 4
    assert all(map(torch.equal, features, expected))


class Blur(nn.Module):
    """CUT's blur of stride 2, from its description."""

    def forward(self, x):
        kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
        mirrored = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(mirrored, kernel.expand(x.shape[1], 1, 3, 3), stride=2, groups=x.shape[1])


def test_anti_aliased_is_the_discriminator_of_cut():
    layers = [nn.Conv2d(3, 4, 4, 1, 1), nn.LeakyReLU(0.2), Blur()]
    for channels in (4, 8):
        conv = nn.Conv2d(channels, 2 * channels, 4, 1, 1)
        layers += [conv, nn.InstanceNorm2d(2 * channels), nn.LeakyReLU(0.2), Blur()]
    layers += [nn.Conv2d(16, 32, 4, 1, 1), nn.InstanceNorm2d(32), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 4, 1, 1)]
    theirs = nn.Sequential(*layers)
    ours = patchgan(3, width=4, norm="instance", downsample="antialiased")
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 50, 64)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("patch", [int(p) for p in STRIDED_LAYERS])
def test_smallest_size_holds_with_anti_aliasing(patch):
    side = smallest_size(patch)
    net = patchgan(3, width=2, patch=patch, norm="instance", downsample="antialiased", size=side)
    assert net(torch.rand(2, 3, side, side)).shape[1] == 1
    with pytest.raises(ValueError, match=f"at least {side} pixels"):
        patchgan(3, patch=patch, size=side - 1)
