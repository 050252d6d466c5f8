import pytest
import torch

from translate.networks import Critic, patchgan
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
        torch.nn.init.ones_(parameter)  # positive weights: nothing cancels
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


def test_critic_joins_the_condition_in_front():
    critic = Critic(torch.nn.Sequential())
    image, condition = torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2)
    assert critic(image, condition=condition).logits[:, 0].eq(1).all()
    assert critic(image).logits.shape == (1, 3, 2, 2)
