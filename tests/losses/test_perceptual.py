import math

import pytest
import torch

from translate.losses import perceptual


def test_unit_vectors_at_a_right_angle_are_2_apart_and_opposite_ones_4():
    x = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)
    for y, expected in (([5.0, 0.0], 0), ([0.0, 0.1], 2), ([-1.0, 0.0], 4), ([1.0, 1.0], 2 - math.sqrt(2))):
        assert perceptual([x], [torch.tensor(y).view(1, 2, 1, 1)]).item() == pytest.approx(expected, abs=1e-6)


def test_the_mean_over_positions_and_pictures_then_over_layers():
    torch.manual_seed(0)
    layers = [(torch.randn(2, 3, 2, 4), torch.randn(2, 3, 2, 4)), (torch.randn(2, 5, 1, 1), torch.randn(2, 5, 1, 1))]
    of_layers = []
    for x, y in layers:
        distances = []
        for b in range(2):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    p, q = x[b, :, i, j], y[b, :, i, j]
                    distances.append((p / p.norm() - q / q.norm()).pow(2).sum())
        of_layers.append(torch.stack(distances).mean())
    expected = torch.stack(of_layers).mean().item()
    assert perceptual([x for x, _ in layers], [y for _, y in layers]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_its_gradient_is_that_of_finite_differences(batch):
    torch.manual_seed(0)
    output = [torch.randn(batch, 3, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    target = [torch.randn(batch, 3, 2, 2, dtype=torch.float64) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *layers: perceptual(layers, target), output)


def test_no_gradient_flows_into_the_target():
    x, y = (torch.randn(1, 3, 2, 2, requires_grad=True) for _ in range(2))
    perceptual([x], [y]).backward()
    assert x.grad is not None
    assert y.grad is None


def test_features_of_nothing_give_a_finite_gradient():
    """After a ReLU all of a flat patch's features may be 0, in the output, the target or both."""
    zero, some = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    for x, y in ((zero, some), (some, zero), (zero, zero)):
        x = x.clone().requires_grad_()
        loss = perceptual([x], [y])
        loss.backward()
        assert loss.isfinite()
        assert x.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    x, y = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4)
    assert perceptual([x.bfloat16()], [y.bfloat16()]).dtype == torch.float32
