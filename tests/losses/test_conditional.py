import math

import pytest
import torch

from translate.losses import OBJECTIVES, class_cost, gradient_penalty, kl_normal, matching_aware


def test_matching_aware_least_squares_by_hand():
    right, wrong, fake = torch.tensor([0.5, 1.0]), torch.tensor([0.4, 0.0]), torch.tensor([2.0, -1.0])
    expected = 0.5 * (0.25 / 2 + 0.5 * (0.16 / 2 + 5 / 2))
    made = matching_aware(OBJECTIVES["lsgan"], right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(expected)


def test_matching_aware_vanilla_by_hand():
    right, wrong, fake = (torch.tensor([math.log(p / (1 - p))]) for p in (0.8, 0.4, 0.1))
    expected = -0.5 * (math.log(0.8) + 0.5 * (math.log(0.6) + math.log(0.9)))
    made = matching_aware(OBJECTIVES["vanilla"], right=right, wrong=wrong, fake=fake)
    assert made.item() == pytest.approx(expected, abs=1e-6)


def test_matching_aware_wasserstein_by_hand():
    made = matching_aware(
        OBJECTIVES["wasserstein"], right=torch.tensor([3.0]), wrong=torch.tensor([1.0]), fake=torch.tensor([-2.0])
    )
    assert made.item() == pytest.approx(-0.5 - 3)


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


def test_gradient_penalty_of_a_linear_critic_by_hand():
    """Two patches of each picture, of the gradients (3, 0) and (3, 8): their mean (3, 4) has the length 5."""
    weight = torch.tensor([[3.0, 0.0], [3.0, 8.0]], requires_grad=True)
    real, fake = torch.rand(3, 2, 1, 1), torch.rand(3, 2, 1, 1, requires_grad=True)
    made = gradient_penalty(lambda x: x.flatten(1) @ weight.t(), real, fake, eps=torch.rand(3, 1, 1, 1))
    assert made.item() == pytest.approx(10 * 16)
    made.backward()
    assert fake.grad is None
    # d/dw of 10 (|g| - 1)^2 with g the mean of the rows: 20 * 4 * g / 5 / 2
    torch.testing.assert_close(weight.grad, torch.tensor([[24.0, 32.0], [24.0, 32.0]]))


def test_gradient_penalty_is_taken_between_real_and_fake():
    """Of x^2 / 2 the gradient is x itself: 0.25 * 4 + 0.75 * 8 = 7 in the first, 8 in the second picture."""
    real, fake = torch.full((2, 1, 1, 1), 4.0), torch.full((2, 1, 1, 1), 8.0)
    eps = torch.tensor([0.25, 0.0]).reshape(2, 1, 1, 1)
    made = gradient_penalty(lambda x: x.square() / 2, real, fake, eps=eps, weight=1.0)
    assert made.item() == pytest.approx((36 + 49) / 2)
