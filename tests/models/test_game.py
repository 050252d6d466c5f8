"""A game by itself: what each player's terms are made of, whatever the model."""

import math

import pytest
import torch
from torch import nn

from tests.models.test_models import small_model
from translate.models.game import Game
from translate.models.parts import GanSettings
from translate.networks import Discriminator, Scores, Shown
from translate.training.ema import Average


class Scales(Discriminator):
    """Two scales: a picture's mean, and twice that; its features are the picture at both."""

    def __init__(self):
        super().__init__(nn.Sequential(nn.Conv2d(1, 1, 1)))
        self.seen = []

    def forward(self, *shown, together=False):
        self.seen.append((len(shown), together))
        return [
            [Scores(k * one.image.mean((2, 3), keepdim=True), (one.image, k * one.image)) for k in (1, 2)]
            for one in shown
        ]


def game_of(discriminator=None, *, suffix="", **settings):
    return Game(discriminator or Scales(), GanSettings.make(settings), suffix=suffix)


def picture(value, count=2):
    return torch.full((count, 1, 4, 4), float(value))


def test_costs_are_summed_over_the_scales_and_weighted():
    game = game_of(objective="wasserstein", penalty="clip", lambda_gan=3.0, suffix="_back")
    real, fake = Shown(picture(5)), Shown(picture(2).requires_grad_())
    terms = game.discriminator(real, fake, draws={})
    assert terms.losses["d_back"].item() == (2 - 5) + (4 - 10)
    assert not terms.losses["d_back"].requires_grad  # nothing here has weights that are used, and fakes get none
    assert terms.stats["d_real_back"].item() == pytest.approx((5 + 10) / 2)
    assert terms.stats["d_fake_back"].item() == pytest.approx((2 + 4) / 2)
    terms = game.generator(real, fake, draws={})
    assert terms.losses["g_gan_back"].item() == 3 * (-2 - 4)
    terms.losses["g_gan_back"].backward()
    torch.testing.assert_close(fake.image.grad, torch.full_like(fake.image, -3 * (1 + 2) / (2 * 16)))


def test_a_wrong_condition_is_as_bad_as_a_fake():
    game = game_of(objective="wasserstein", penalty="clip")
    terms = game.discriminator(Shown(picture(5)), Shown(picture(2)), Shown(picture(4)), draws={})
    assert terms.losses["d"].item() == 0.5 * (((4 - 5) + (2 - 5)) + ((8 - 10) + (4 - 10)))
    assert terms.stats["d_wrong"].item() == pytest.approx((4 + 8) / 2)


def test_the_generator_looks_at_real_pictures_only_for_what_needs_them():
    """A relativistic objective gets the logits of both, and feature matching the features; others see fakes alone."""
    real, fake = Shown(picture(5)), Shown(picture(2))
    for game, count in (
        (game_of(), 1),
        (game_of(objective="relativistic"), 2),
        (game_of(lambda_features=2.0), 2),
    ):
        terms = game.generator(real, fake, draws={})
        assert game.network.seen == [(count, count == 2)]
        assert len(terms.real) == (2 if count == 2 else 0)
        if game.objective.pairs:
            expected = math.log1p(math.exp(5 - 2)) + math.log1p(math.exp(10 - 4))
            assert terms.losses["g_gan"].item() == pytest.approx(expected)
        if game.settings.lambda_features:  # of all layers but the outermost: at the scales 1 and 2
            assert terms.losses["g_features"].item() == 2 * ((5 - 2) ** 2 + (10 - 4) ** 2)


@pytest.mark.parametrize("interval", [1, 4])
def test_a_penalty_counts_as_often_as_it_is_left_out(interval):
    layer = nn.Conv2d(1, 1, 1, bias=False)
    discriminator = Discriminator(nn.Sequential(layer))
    nn.init.constant_(layer.weight, 32.0)  # the slope of a picture's mean logit is 2 for each pixel
    game = game_of(discriminator, objective="wasserstein", penalty_every=interval)
    draws = {"game.mix": torch.rand(2, 1, 1, 1)}
    terms = game.discriminator(Shown(picture(1)), Shown(picture(0)), draws=draws)
    norm = (16 * 2.0**2) ** 0.5
    assert terms.losses["d_penalty"].item() == pytest.approx(interval * 10 * (norm - 1) ** 2)
    game.before_step(interval - 1, 0.0)
    assert game.penalty_due == (interval == 1)
    game.before_step(interval + 1, 0.0)
    assert (
        interval == 1 or "d_penalty" not in game.discriminator(Shown(picture(1)), Shown(picture(0)), draws=draws).losses
    )


def test_clipping_leaves_norms_and_biases():
    discriminator = Discriminator(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1)))
    for weight in discriminator.parameters():
        nn.init.ones_(weight)
    game = game_of(discriminator, objective="wasserstein", penalty="clip", clip=0.1)
    game.after_step("generator", {})
    assert all(weight.eq(1).all() for weight in discriminator.parameters())
    game.after_step("discriminator", {})
    for weight in discriminator.parameters():
        assert weight.eq(0.1 if weight.dim() > 1 else 1.0).all()


def test_what_a_game_keeps_is_part_of_the_model_and_of_no_model_file():
    """Such as BEGAN's k: saved and restored with the training state; the weights stay the discriminator's own."""
    model = small_model("cyclegan")
    before = list(model.state_dict())
    assert not any(name.startswith("game") for name in before)
    for game in model.games:
        game.register_buffer("k", torch.tensor(0.25))
    assert set(model.state_dict()) - set(before) == {"game.k", "game_back.k"}
    assert not any("game" in name for name in Average(model, decay=0.9).model.state_dict())
    assert not any("game" in name for name, _ in model.named_parameters())
