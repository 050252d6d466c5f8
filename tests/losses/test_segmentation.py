"""OASIS's costs, against numbers worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from translate.losses.segmentation import all_fake, class_balance, label_mask, label_mix, true_classes

CLASSES = torch.tensor([[[0, 0, 0], [0, 2, -1]], [[0, 2, 2], [-1, -1, 0]]])  # of 3: 6 pixels of 0, none of 1, 3 of 2


def logits(*, seed=0, dtype=torch.float64):
    return torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3


def test_a_class_weighs_the_pixels_over_those_of_all_its_pixels_and_the_classes_there():
    weights = class_balance(CLASSES, count=3)
    torch.testing.assert_close(weights, torch.tensor([9 / (2 * 6), 0.0, 9 / (2 * 3)]))
    whole = CLASSES.clamp(min=0)  # B*H*W / (classes present x pixels of c), as published
    torch.testing.assert_close(class_balance(whole, count=3), torch.tensor([12 / (2 * 9), 0, 12 / (2 * 3)]))


def test_the_cost_of_true_classes_is_the_mean_over_classes_of_their_pixels_costs():
    segments = logits()
    costs = -segments.log_softmax(1)
    means = [torch.stack([costs[b, c, y, x] for b, y, x in (c == CLASSES).nonzero().tolist()]).mean() for c in (0, 2)]
    found = true_classes(segments, CLASSES)
    assert found.item() == pytest.approx(((means[0] + means[1]) / 2).item(), rel=1e-6)
    assert true_classes(torch.zeros(2, 4, 2, 3), CLASSES).item() == pytest.approx(math.log(4))


def test_fakes_are_not_weighted():
    segments = logits()
    costs = -segments.log_softmax(1)[:, 3]
    assert all_fake(segments, CLASSES).item() == pytest.approx(costs[CLASSES >= 0].mean().item(), rel=1e-6)


@pytest.mark.parametrize("cost", [true_classes, all_fake])
def test_gradients_are_those_worked_out_by_hand_and_none_where_a_pixel_does_not_count(cost):
    """softmax less the target, times the pixel's weight over the pixels that count."""
    segments = logits(dtype=torch.float32).requires_grad_()
    cost(segments, CLASSES).backward()
    counted = (CLASSES >= 0).float()
    own = CLASSES.clamp(min=0) if cost is true_classes else torch.full_like(CLASSES, 3)
    weight = torch.tensor([0.75, 0.0, 1.5])[CLASSES.clamp(min=0)] if cost is true_classes else torch.ones(2, 2, 3)
    expected = (segments.softmax(1) - F.one_hot(own, 4).permute(0, 3, 1, 2)) * (weight * counted / 9)[:, None]
    torch.testing.assert_close(segments.grad, expected.detach())


def test_without_a_pixel_that_counts_every_cost_is_nought():
    none = torch.full((1, 2, 2), -1)
    segments = torch.randn(1, 4, 2, 2, requires_grad=True)
    mask = label_mask(none, torch.zeros(1, 3))
    for cost in (
        true_classes(segments, none),
        all_fake(segments, none),
        label_mix(segments, segments + 1, segments, mask=mask, classes=none),
    ):
        assert cost.item() == 0
        cost.backward()
    assert segments.grad.eq(0).all()


def test_the_mask_follows_the_borders_of_the_label_map():
    numbers = torch.tensor([[0.1, 0.1, 0.9], [0.5, 0.0, 0.49]])
    mask = label_mask(CLASSES.clamp(min=0), numbers)
    expected = [[[1, 1, 1], [1, 0, 1]], [[0, 1, 1], [0, 0, 0]]]
    assert mask.squeeze(1).int().tolist() == expected


def test_mixed_logits_are_compared_pixel_by_pixel():
    real, fake, mixed = (logits(seed=seed) for seed in (1, 2, 3))
    mask = label_mask(CLASSES, torch.tensor([[0.1, 0.1, 0.9], [0.9, 0.0, 0.1]]))
    wanted = mask * real + ~mask * fake
    squares = (mixed - wanted).square().mean(1)
    found = label_mix(mixed, real, fake, mask=mask, classes=CLASSES)
    assert found.item() == pytest.approx(squares[CLASSES >= 0].mean().item(), rel=1e-6)
    assert label_mix(wanted, real, fake, mask=mask, classes=CLASSES).item() == pytest.approx(0, abs=1e-12)
