import math
from functools import partial

import pytest
import torch

from translate.losses import OBJECTIVES, class_cost, kl_normal, matching_aware


def test_matching_aware_least_squares_by_hand():
    right, wrong, fake = torch.tensor([0.5, 1.0]), torch.tensor([0.4, 0.0]), torch.tensor([2.0, -1.0])
    expected = 0.5 * (0.25 / 2 + 0.5 * (0.16 / 2 + 5 / 2))
    made = matching_aware(OBJECTIVES["lsgan"].discriminator, right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(expected)


def test_matching_aware_vanilla_by_hand():
    right, wrong, fake = (torch.tensor([math.log(p / (1 - p))]) for p in (0.8, 0.4, 0.1))
    expected = -0.5 * (math.log(0.8) + 0.5 * (math.log(0.6) + math.log(0.9)))
    made = matching_aware(OBJECTIVES["vanilla"].discriminator, right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(expected, abs=1e-6)


def test_matching_aware_wasserstein_by_hand():
    made = matching_aware(
        OBJECTIVES["wasserstein"].discriminator,
        right=torch.tensor([3.0]),
        wrong=torch.tensor([1.0]),
        fake=torch.tensor([-2.0]),
    )
    assert made.item() == pytest.approx(-0.5 - 3)


def test_smoothing_of_three_kinds_of_pairs_is_of_the_right_ones_alone():
    """Their target is 0.8 in both halves; the targets of wrong texts and of fakes stay 0."""
    right, wrong, fake = torch.tensor([0.5]), torch.tensor([0.4]), torch.tensor([2.0])
    cost = partial(OBJECTIVES["lsgan"].discriminator, smoothing=0.2)
    made = matching_aware(cost, right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(0.5 * (0.3**2 + 0.5 * (0.4**2 + 2.0**2)))


def test_relativistic_pairs_hold_the_right_ones_against_both_kinds_of_wrong_ones():
    right, wrong, fake = torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([-1.0])
    made = matching_aware(OBJECTIVES["relativistic"].discriminator, right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(0.5 * (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-2))))


def test_class_cost_by_hand():
    logits = torch.tensor([[math.log(2.0), math.log(6.0)], [0.0, 0.0]])
    label = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert class_cost(logits, label).item() == pytest.approx((-math.log(0.75) + math.log(2)) / 2)
    label[1] = 0
    assert class_cost(logits, label).item() == pytest.approx(-math.log(0.75) / 2)
    both = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    expected = (-math.log(2 / 3) - math.log(6 / 7) + 2 * math.log(2)) / 2  # summed over classes, mean over pictures
    assert class_cost(logits, both, several=True).item() == pytest.approx(expected)


def test_hidden_labels_cost_nothing_by_hand():
    logits, label = torch.tensor([[math.log(2.0), math.log(6.0)], [5.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    kept = torch.tensor([True, False])
    assert class_cost(logits, label, kept=kept).item() == pytest.approx(-math.log(0.75) / 2)
    expected = (math.log(3) + math.log(7 / 6)) / 2
    assert class_cost(logits, label, several=True, kept=kept).item() == pytest.approx(expected)
    assert class_cost(logits, label, kept=torch.zeros(2, dtype=torch.bool)).item() == 0


def test_kl_is_that_of_torch():
    mu, logvar = torch.randn(3, 4), torch.randn(3, 4)
    one, standard = torch.distributions.Normal(mu, (logvar / 2).exp()), torch.distributions.Normal(0, 1)
    expected = torch.distributions.kl_divergence(one, standard).sum(1).mean()
    torch.testing.assert_close(kl_normal(mu, logvar), expected)
    assert kl_normal(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0
