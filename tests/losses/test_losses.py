import math

import pytest
import torch

from translate.losses import OBJECTIVES, class_weights, feature_matching, l1, layer_matching, mse


def logit(probability):
    return torch.tensor([[math.log(probability / (1 - probability))]])


def test_vanilla_by_hand():
    game = OBJECTIVES["vanilla"]
    real, fake = logit(0.8), logit(0.3)
    assert game.discriminator(real, fake).item() == pytest.approx(-0.5 * (math.log(0.8) + math.log(0.7)), abs=1e-6)
    assert game.generator(None, fake).item() == pytest.approx(-math.log(0.3), abs=1e-6)


def test_vanilla_generator_does_not_saturate():
    """Its gradient with regard to the logit is -(1 - D): near -1 where D is sure, not near 0."""
    fake = torch.tensor([-8.0], requires_grad=True)
    OBJECTIVES["vanilla"].generator(None, fake).backward()
    assert fake.grad.item() == pytest.approx(-(1 - torch.sigmoid(torch.tensor(-8.0)).item()), abs=1e-6)


def test_least_squares_by_hand():
    game = OBJECTIVES["lsgan"]
    real, fake = torch.tensor([0.5, 1.5]), torch.tensor([0.2, -0.4])
    assert game.discriminator(real, fake).item() == pytest.approx(0.5 * (0.25 + (0.04 + 0.16) / 2))
    assert game.generator(None, fake).item() == pytest.approx((0.64 + 1.96) / 2)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_players_pull_in_opposite_directions(name):
    """D's real logits up and its fakes' down, which G wants up; of energies the reverse."""
    objective, up = OBJECTIVES[name], -1 if OBJECTIVES[name].energy else 1
    numbers = {number: value for number, value in (("margin", 1.0), ("k", 0.3)) if number in objective.takes}
    real, fake = (torch.full((2, 1, 3, 3), 0.5, requires_grad=True) for _ in range(2))
    objective.discriminator(real, fake, **numbers).backward()
    assert (up * real.grad < 0).all()
    assert (up * fake.grad > 0).all()
    fake.grad = None
    objective.generator(real, fake).backward()
    assert (up * fake.grad < 0).all()


def test_costs_are_float32_under_autocast():
    fake = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    assert OBJECTIVES["vanilla"].generator(None, fake).dtype == torch.float32


def test_l1_counts_valid_pixels_only():
    output, target = (
        torch.zeros(1, 2, 2, 2),
        torch.tensor([[[[1.0, 3.0], [9.0, 9.0]], [[5.0, 7.0], [9.0, 9.0]]]]),
    )
    valid = torch.tensor([[[[True, True], [False, False]]]])
    assert l1(output, target, weight=valid).item() == pytest.approx((1 + 3 + 5 + 7) / 4)
    assert l1(output, target).item() == pytest.approx((1 + 3 + 5 + 7 + 36) / 8)
    assert l1(output, target, weight=torch.zeros_like(valid)).item() == 0


def test_class_weights_by_hand():
    """Three pixels of one class and one of another; a picture of one class only."""
    classes = torch.tensor([[[5, 5], [5, 2]], [[0, 0], [0, 0]]])
    assert class_weights(classes, count=8, power=0).eq(1).all()
    torch.testing.assert_close(
        class_weights(classes, count=8, power=1)[0, 0], torch.tensor([[1 / 3, 1 / 3], [1 / 3, 1.0]])
    )
    torch.testing.assert_close(class_weights(classes, count=8, power=0.5)[1, 0], torch.full((2, 2), 0.5))
    error = torch.tensor([[[[1.0, 1.0], [1.0, 5.0]]]])
    weight = class_weights(classes[:1], count=8, power=1)
    assert l1(error, torch.zeros_like(error), weight=weight).item() == pytest.approx((1 + 5) / 2)


def test_wasserstein_by_hand():
    """Not halved: the critic's cost is minus the distance it estimates."""
    game = OBJECTIVES["wasserstein"]
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([0.5, -0.1])
    assert game.discriminator(real, fake).item() == pytest.approx(0.2 - 2.0)
    assert game.generator(None, fake).item() == pytest.approx(-0.2)


def test_mse_counts_valid_pixels_only():
    output = torch.zeros(1, 2, 2, 2)
    target = torch.tensor([[[[1.0, 3.0], [9.0, 9.0]], [[5.0, 7.0], [9.0, 9.0]]]])
    valid = torch.tensor([[[[True, True], [False, False]]]])
    assert mse(output, target, weight=valid).item() == pytest.approx((1 + 9 + 25 + 49) / 4)
    assert mse(output, target).item() == pytest.approx((1 + 9 + 25 + 49 + 4 * 81) / 8)
    assert mse(output, target, weight=torch.zeros_like(valid)).item() == 0


def test_feature_matching_compares_means_over_the_batch():
    """Two layers by hand: of one value each, and of two positions."""
    real = [torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), torch.tensor([[1.0, 5.0]]).reshape(1, 1, 1, 2)]
    fake = [torch.tensor([7.0, 2.0, 0.0]).reshape(3, 1, 1, 1), torch.tensor([[2.0, 2.0]]).reshape(1, 1, 1, 2)]
    assert feature_matching(real, fake).item() == pytest.approx((2 - 3) ** 2 + (1 + 9) / 2)


def test_feature_matching_moves_the_fake_towards_the_real():
    real, fake = (torch.full((2, 3, 4, 4), value, requires_grad=True) for value in (1.0, 0.0))
    feature_matching([real], [fake]).backward()
    assert real.grad is None
    assert (fake.grad < 0).all()


def test_layer_matching_compares_each_fake_with_its_own_target():
    """Two layers by hand, each the mean of its numbers; the real ones are held."""
    real = [torch.tensor([[1.0], [3.0]], requires_grad=True), torch.tensor([[1.0, 5.0], [0.0, 0.0]])]
    fake = [torch.tensor([[3.0], [1.0]], requires_grad=True), torch.tensor([[2.0, 2.0], [0.0, 4.0]])]
    made = layer_matching(real, fake)
    assert made.item() == pytest.approx((2 + 2) / 2 + (1 + 3 + 0 + 4) / 4)
    made.backward()
    assert real[0].grad is None
    torch.testing.assert_close(fake[0].grad, torch.tensor([[0.5], [-0.5]]))
    with pytest.raises(AssertionError, match="a target for each fake"):
        layer_matching(real, [part[:1] for part in fake])
