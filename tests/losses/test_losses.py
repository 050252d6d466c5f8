import math

import pytest
import torch

from translate.losses import OBJECTIVES, l1


def logit(probability):
    return torch.tensor([[math.log(probability / (1 - probability))]])


def test_vanilla_by_hand():
    game = OBJECTIVES["vanilla"]
    real, fake = logit(0.8), logit(0.3)
    assert game.discriminator(real, fake).item() == pytest.approx(-0.5 * (math.log(0.8) + math.log(0.7)), abs=1e-6)
    assert game.generator(fake).item() == pytest.approx(-math.log(0.3), abs=1e-6)


def test_vanilla_generator_does_not_saturate():
    """Its gradient with regard to the logit is -(1 - D): near -1 where D is sure, not near 0."""
    fake = torch.tensor([-8.0], requires_grad=True)
    OBJECTIVES["vanilla"].generator(fake).backward()
    assert fake.grad.item() == pytest.approx(-(1 - torch.sigmoid(torch.tensor(-8.0)).item()), abs=1e-6)


def test_least_squares_by_hand():
    game = OBJECTIVES["lsgan"]
    real, fake = torch.tensor([0.5, 1.5]), torch.tensor([0.2, -0.4])
    assert game.discriminator(real, fake).item() == pytest.approx(0.5 * (0.25 + (0.04 + 0.16) / 2))
    assert game.generator(fake).item() == pytest.approx((0.64 + 1.96) / 2)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_players_pull_in_opposite_directions(name):
    real, fake = (torch.full((2, 1, 3, 3), 0.5, requires_grad=True) for _ in range(2))
    OBJECTIVES[name].discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    OBJECTIVES[name].generator(fake).backward()
    assert (fake.grad < 0).all()


def test_costs_are_float32_under_autocast():
    fake = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    assert OBJECTIVES["vanilla"].generator(fake).dtype == torch.float32


def test_l1_counts_valid_pixels_only():
    output, target = (
        torch.zeros(1, 2, 2, 2),
        torch.tensor([[[[1.0, 3.0], [9.0, 9.0]], [[5.0, 7.0], [9.0, 9.0]]]]),
    )
    valid = torch.tensor([[[[True, True], [False, False]]]])
    assert l1(output, target, valid=valid).item() == pytest.approx((1 + 3 + 5 + 7) / 4)
    assert l1(output, target).item() == pytest.approx((1 + 3 + 5 + 7 + 36) / 8)
    assert l1(output, target, valid=torch.zeros_like(valid)).item() == 0
