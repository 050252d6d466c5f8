"""Feature matching in both forms, by hand, in every model; and where it has no meaning."""

import pytest
import torch
from torch import nn

from tests.models.test_models import small_model, small_settings, some_batch
from translate.losses import layer_matching
from translate.models import MODELS
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks.discriminator import Discriminator, Shown
from translate.training.job import new_job

GAMES = [name for name, cls in MODELS.items() if "lambda_features" in cls.settings_class.every_field()]
PAIRED = [name for name in GAMES if MODELS[name].data == "pairs"]


def game(**changes):
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.2), nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3)]
    return Game(Discriminator(nn.Sequential(*layers)).double(), GameSettings.make(changes))


def features_of(network, picture):
    """After each leaky ReLU, from the outermost in."""
    found, x = [], picture
    for layer in network.network:
        x = layer(x)
        found += [x] if isinstance(layer, nn.LeakyReLU) else []
    return found


@pytest.mark.parametrize("batch", [1, 3])
def test_layers_is_the_sum_over_all_layers_of_the_mean_absolute_difference(batch):
    """pix2pixHD's, real detached; the gradient is the sign of each difference, over their number."""
    played = game(lambda_features=10, feature_matching="layers")
    real, fake = (torch.randn(batch, 2, 12, 11, dtype=torch.float64).requires_grad_() for _ in range(2))
    terms = played.generator(Shown(real), Shown(fake), draws={})
    sides = zip(features_of(played.network, real), features_of(played.network, fake), strict=True)
    expected = sum((r - f).abs().mean().item() for r, f in sides)
    assert terms.losses["g_features"].item() == pytest.approx(10 * expected, rel=1e-5)
    terms.losses["g_features"].backward()
    assert real.grad is None or not real.grad.any()
    assert fake.grad is not None
    leaf = torch.randn(batch, 5, dtype=torch.float64, requires_grad=True)
    target = torch.randn(batch, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad(layer_matching([target], [leaf]), leaf)
    assert torch.allclose(found, (leaf - target).sign() / leaf.numel())


@pytest.mark.parametrize("batch", [1, 3])
def test_mean_is_the_squared_difference_of_the_batches_means_on_all_layers_but_the_outermost(batch):
    played = game(lambda_features=2, feature_matching="mean")
    real, fake = (torch.randn(size, 2, 12, 11, dtype=torch.float64) for size in (batch, batch))
    terms = played.generator(Shown(real), Shown(fake), draws={})
    sides = zip(features_of(played.network, real)[1:], features_of(played.network, fake)[1:], strict=True)
    expected = sum((r.mean(0) - f.mean(0)).square().mean().item() for r, f in sides)
    assert terms.losses["g_features"].item() == pytest.approx(2 * expected, rel=1e-5)


def test_over_the_scales_layers_is_their_mean():
    one = game(lambda_features=1, feature_matching="layers")
    real, fake = (Shown(torch.randn(2, 2, 12, 12, dtype=torch.float64)) for _ in range(2))
    scores = one.network(real, fake)
    other = [[score._replace(features=tuple(3 * f for f in score.features)) for score in each] for each in scores]
    once, thrice = one._matching(*scores), one._matching(*other)
    both = one._matching(*(a + b for a, b in zip(scores, other, strict=True)))
    assert both.item() == pytest.approx((once + thrice).item() / 2)
    assert thrice.item() == pytest.approx(3 * once.item())


@pytest.mark.parametrize("name", PAIRED)
def test_every_paired_model_matches_the_layers_of_its_own_target(name):
    model, batch = small_model(name, lambda_features=10.0, feature_matching="layers"), some_batch(name)
    images = model.generate(batch, ["generator"])
    losses, _ = model.objective("generator", batch, images)
    assert losses["g_features"] > 0
    assert "g_features_drawn" not in losses  # BicycleGAN's outputs of drawn codes have no target of their own
    same, _ = model.objective("generator", batch, images | {"fake": batch.target.clone()})
    assert same["g_features"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", GAMES)
def test_every_model_matches_means(name):
    model, batch = small_model(name, lambda_features=1.0), some_batch(name)
    losses, _ = model.objective("generator", batch, model.generate(batch, ["generator"]))
    assert all(losses[f"g_features{game.suffix}"] > 0 for game in model.games)


@pytest.mark.parametrize("name", [name for name in GAMES if name not in PAIRED])
def test_layers_are_refused_where_a_fake_has_no_target_of_its_own(name, tmp_path):
    values = {"lambda_features": 1, "feature_matching": "layers", "data": tmp_path, "out": tmp_path / "run"}
    with pytest.raises(ValueError, match=r"--feature-matching layers holds each fake against its own target.*use mean"):
        new_job(name, values)
    assert not any(tmp_path.iterdir())


def test_without_its_weight_the_form_is_refused():
    with pytest.raises(ValueError, match="--feature-matching layers changes nothing without --lambda-features"):
        small_settings("pix2pix", feature_matching="layers").refuse_unused()
