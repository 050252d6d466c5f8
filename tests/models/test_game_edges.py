"""A game's choices together: unequal batches, wrong texts, penalties and smoothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.losses import OBJECTIVES
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import Discriminator, Shown


def chain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.InstanceNorm2d(4), nn.Conv2d(4, 1, 3, 1, 1))


def picture(count, seed):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def logits(game, shown):
    ((scores,),) = game.network(shown)
    return scores.logits


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if not OBJECTIVES[name].energy])
def test_more_fakes_than_real_pictures_are_no_trouble(name):
    """As where each side passes by itself."""
    game = Game(Discriminator(chain()), GameSettings.make({"objective": name, "penalty": "clip"}))
    assert game.together
    real, fake = Shown(picture(2, 1)), Shown(picture(3, 2).requires_grad_())
    terms = game.discriminator(real, fake, draws={})
    alone = [logits(game, shown) for shown in (real, fake)]
    torch.testing.assert_close(terms.losses["d"], game.objective.discriminator(*alone))
    terms = game.generator(real, fake, draws={})
    torch.testing.assert_close(terms.losses["g_gan"], game.objective.generator(*alone))
    terms.losses["g_gan"].backward()
    assert fake.image.grad.flatten(1).abs().sum(1).min() > 0


def with_texts(objective, **settings):
    """A game of pictures with codes, and its three kinds of pairs."""
    torch.manual_seed(1)
    network = Discriminator(chain(), join="projection", code=3)
    game = Game(network, GameSettings.make({"objective": objective, "batch": 2, **settings}))
    right, wrong = torch.randn(2, 3), torch.randn(2, 3)
    return game, Shown(picture(2, 1), code=right), Shown(picture(2, 2), code=right), Shown(picture(2, 1), code=wrong)


def test_smoothing_leaves_the_targets_of_wrong_texts_and_fakes():
    game, real, fake, wrong = with_texts("vanilla", label_smoothing=0.1)
    made = game.discriminator(real, fake, wrong, draws={}).losses["d"]
    right, other, fakes = (logits(game, shown) for shown in (real, wrong, fake))
    cost = F.binary_cross_entropy_with_logits
    zeros = torch.zeros_like(right)
    expected = 0.5 * (cost(right, zeros + 0.9) + 0.5 * (cost(other, zeros) + cost(fakes, zeros)))
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].pairs])
def test_relativistic_costs_hold_right_texts_against_wrong_ones_and_fakes(name):
    game, real, fake, wrong = with_texts(name)
    made = game.discriminator(real, fake, wrong, draws={}).losses["d"]
    right, other, fakes = (logits(game, shown) for shown in (real, wrong, fake))
    cost = game.objective.discriminator
    torch.testing.assert_close(made, 0.5 * (cost(right, other) + cost(right, fakes)))


@pytest.mark.parametrize("penalty", ["gp", "r1", "r1r2"])
def test_wrong_texts_have_no_penalty(penalty):
    game, real, fake, wrong = with_texts("vanilla", penalty=penalty)
    draws = {"game.mix": torch.full((2, 1, 1, 1), 0.5)}
    with_them, without = (game.discriminator(real, fake, w, draws=draws).losses["d_penalty"] for w in (wrong, None))
    torch.testing.assert_close(with_them, without)
