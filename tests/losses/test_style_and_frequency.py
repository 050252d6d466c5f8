"""Style and focal frequency: values worked out in another way, gradients by differences, and what they do not see."""

import numpy as np
import pytest
import torch

from translate.losses import focal_frequency, gram, style


def pictures(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


SHAPES = [(1, 3, 8, 8), (2, 3, 7, 5), (3, 1, 1, 9)]


def style_by_hand(output, target):
    """Entry by entry: how two channels go together, over C H W; squared difference, summed over the entries."""
    costs = []
    for made, wanted in zip(output, target, strict=True):
        batch, channels, height, width = made.shape
        cost = 0.0
        for i in range(batch):
            for a in range(channels):
                for b in range(channels):
                    one, other = (
                        np.einsum("hw,hw->", f[i, a].numpy(), f[i, b].numpy()) / (channels * height * width)
                        for f in (made.detach(), wanted)
                    )
                    cost += (one - other) ** 2 / batch
        costs.append(cost)
    return float(np.mean(costs))


def frequency_by_hand(output, target, *, alpha):
    """Each coefficient as the sum that defines it."""
    batch, channels, height, width = output.shape
    rows, columns = np.arange(height), np.arange(width)
    across = np.exp(-2j * np.pi * np.outer(rows, rows) / height) / np.sqrt(height)
    along = np.exp(-2j * np.pi * np.outer(columns, columns) / width) / np.sqrt(width)
    total = 0.0
    for i in range(batch):
        for c in range(channels):
            sizes = np.abs(across @ (output[i, c].detach().numpy() - target[i, c].numpy()) @ along)
            weights = (sizes / sizes.max()) ** alpha
            total += (weights * sizes**2).sum()
    return total / output.numel()


@pytest.mark.parametrize("shape", SHAPES)
def test_style_is_the_squared_difference_of_gram_matrices(shape):
    output = [pictures(*shape, seed=1).requires_grad_(), pictures(*shape, seed=2)]
    target = [pictures(*shape, seed=3), pictures(*shape, seed=4)]
    assert style(output, target).item() == pytest.approx(style_by_hand(output, target), rel=1e-10)
    assert torch.allclose(
        gram(target[0]), torch.einsum("bihw,bjhw->bij", target[0], target[0]) / (shape[1] * shape[2] * shape[3])
    )
    assert torch.autograd.gradcheck(lambda x: style([x, output[1]], target), output[0])


def test_style_does_not_see_where_something_is():
    features = pictures(2, 4, 6, 6)
    elsewhere = features.flatten(2)[..., torch.randperm(36)].view_as(features)
    assert style([elsewhere], [features]).item() == pytest.approx(0, abs=1e-20)
    assert style([2 * features], [features]).item() > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_focal_frequency_is_the_weighted_squared_difference_of_coefficients(shape, alpha):
    output, target = pictures(*shape, seed=1), pictures(*shape, seed=2)
    value = focal_frequency(output, target, alpha=alpha).item()
    assert value == pytest.approx(frequency_by_hand(output, target, alpha=alpha), rel=1e-9)


def test_the_gradient_of_focal_frequency_goes_past_its_weights():
    """With the weights held constant the loss is a quadratic form, whose differences are its gradient."""
    output, target = pictures(2, 2, 5, 4, seed=1).requires_grad_(), pictures(2, 2, 5, 4, seed=2)
    (found,) = torch.autograd.grad(focal_frequency(output, target), output)
    spectrum = np.fft.fft2((output - target).detach().numpy(), norm="ortho")
    sizes = np.abs(spectrum)
    weights = sizes / sizes.max((2, 3), keepdims=True)
    expected = 2 * np.fft.ifft2(weights * spectrum, norm="ortho").real / output.numel()
    assert np.allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_without_weights_it_is_the_mean_squared_difference():
    output, target = pictures(2, 3, 9, 7, seed=1), pictures(2, 3, 9, 7, seed=2)
    expected = (output - target).square().mean().item()
    assert focal_frequency(output, target, alpha=0.0).item() == pytest.approx(expected, rel=1e-12)


def test_equal_pictures_differ_by_nothing_and_have_a_gradient_of_nothing():
    output = pictures(1, 3, 6, 6, dtype=torch.float32).requires_grad_()
    for loss in (focal_frequency(output, output.detach()), style([output], [output.detach()])):
        (gradient,) = torch.autograd.grad(loss, output)
        assert loss.item() == 0
        assert gradient.abs().max().item() == 0


@pytest.mark.parametrize("loss", [lambda o, t: style([o], [t]), focal_frequency], ids=["style", "frequency"])
def test_no_gradient_flows_into_the_target_and_half_precision_is_computed_in_whole(loss):
    output, target = (pictures(2, 3, 8, 8, seed=s).float().requires_grad_() for s in (1, 2))
    loss(output, target).backward()
    assert output.grad is not None
    assert target.grad is None
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(output, target).item() == loss(output, target).item()
        assert loss(output.bfloat16(), target.bfloat16()).dtype == torch.float32
    assert loss(output.to("meta"), target.to("meta")).shape == ()
