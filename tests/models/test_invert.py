"""BiGAN: what an encoder pays, whom it teaches, and that it inverts a generator that is known."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.models.test_info import CPU, made, some_batch
from translate.batch import Batch
from translate.losses import OBJECTIVES
from translate.models.dcgan import DCGANSettings
from translate.networks.discriminator import Shown
from translate.training.loop import Step, make_optimizers

INVERTIBLE = ("vanilla", "lsgan", "wasserstein", "hinge", "softplus", "relativistic", "relativistic-average")


def by_hand(objective, real, fake):
    """What generator and encoder pay together: fakes should be taken for real, and real ones for fakes."""
    zeros, ones = torch.zeros_like(real), torch.ones_like(real)
    bce, mse = F.binary_cross_entropy_with_logits, F.mse_loss
    return {
        "vanilla": lambda: bce(fake, ones) + bce(real, zeros),
        "softplus": lambda: bce(fake, ones) + bce(real, zeros),
        "lsgan": lambda: mse(fake, ones) + mse(real, zeros),
        "wasserstein": lambda: real.mean() - fake.mean(),
        "hinge": lambda: real.mean() - fake.mean(),
        "relativistic": lambda: F.softplus(real - fake).mean(),
        "relativistic-average": lambda: (bce(fake - real.mean(), ones) + bce(real - fake.mean(), zeros)) / 2,
    }[objective]()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("objective", INVERTIBLE)
def test_what_generator_and_encoder_pay_by_hand(objective, count):
    model, _ = made(
        invert=True, encoder_width=4, objective=objective, penalty="none" if objective != "wasserstein" else "gp"
    )
    batch = some_batch(model, count)
    images = model.generate(batch, tuple(model.players))
    losses, _ = model.objective("generator", batch, images)
    read = model.inverter(batch.target)
    torch.testing.assert_close(images["read"], read)
    pairs = Shown(batch.target, code=read), Shown(images["fake"], code=batch.draws["z"])
    real, fake = (scores[0].logits for scores in model.discriminator(*pairs))
    torch.testing.assert_close(losses["g_gan"], by_hand(objective, real, fake))


def test_other_objectives_have_no_cost_for_an_encoder():
    assert {name for name, objective in OBJECTIVES.items() if objective.middle is not None} == set(INVERTIBLE)
    for objective in set(OBJECTIVES) - set(INVERTIBLE):
        if not OBJECTIVES[objective].energy:
            with pytest.raises(ValueError, match=f"--invert: .* --objective {objective} has no cost for: use vanilla"):
                DCGANSettings.make({"invert": True, "objective": objective})


@pytest.mark.parametrize("condition", ["none", "label"])
def test_each_player_learns_from_both_pairs(condition):
    from tests.models.test_words import conditioned, words_batch

    settings = {"invert": True, "encoder_width": 4}
    model = made(**settings)[0] if condition == "none" else conditioned(condition, **settings)[0]
    batch = some_batch(model, 3) if condition == "none" else words_batch(model, 3)
    assert model.deployed[-1] == "inverter"
    assert model.players["generator"] == model.deployed
    images = model.generate(batch, tuple(model.players))
    losses, _ = model.objective("discriminator", batch, images)
    losses["d"].backward(retain_graph=True)
    assert all(weight.grad is None for weight in (*model.generator.parameters(), *model.inverter.parameters()))
    model.zero_grad()
    losses, _ = model.objective("generator", batch, images)
    losses["g_gan"].backward()
    for part in (model.generator, model.inverter):
        assert all(weight.grad is not None and weight.grad.any() for weight in part.parameters() if weight.dim() > 1)
    torch.testing.assert_close(model.code_of(batch.target), images["read"])


def test_what_an_encoder_does_not_go_with_is_refused():
    for values, message in (
        ({"info_categorical": 10}, "--invert: of InfoGAN's codes only the largest number counts"),
        ({"condition": "label", "label_loss": "concat"}, "--label-loss concat: with --invert the discriminator sees"),
    ):
        with pytest.raises(ValueError, match=message):
            DCGANSettings.make({"invert": True, **values})
    assert DCGANSettings.make({"invert": "True", "condition": "text"}).label_loss == "inner"
    assert DCGANSettings.make({"condition": "text"}).label_loss == "projection"
    with pytest.raises(ValueError, match="--encoder-width 8 changes nothing without --invert"):
        DCGANSettings.make({"encoder_width": 8}).refuse_unused()


class Known(nn.Module):
    """Two numbers to four: a rotation and a scale that an encoder has to undo, as the values of four quarters."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mix", 0.3 * torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, -0.7], [-0.6, -0.8]]))

    def forward(self, z, code=None):
        quarters = (z @ self.mix.T).view(-1, 1, 2, 2)
        return F.interpolate(quarters, scale_factor=4, mode="nearest")


def test_the_encoder_inverts_a_generator_that_is_known():
    model, settings = made(
        invert=True, z=2, norm="none", encoder_width=8, discriminator_width=16, lr=1e-3, objective="vanilla"
    )
    for module in (*model.inverter.modules(), *model.discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, 0.2)
    model.generator = Known()
    model.players = {"discriminator": ("discriminator",), "generator": ("inverter",)}
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU)
    generator = torch.Generator().manual_seed(0)

    def drawn(count):
        return torch.randn(count, 2, generator=generator)

    def error():
        z = drawn(512)
        with torch.no_grad():
            return float((model.code_of(model.generator(z)) - z).square().mean().sqrt())

    before = error()
    for _ in range(300):
        step([Batch({"target": model.generator(drawn(32))}, draws={"z": drawn(32)})])
    assert before > 0.8
    assert error() < 0.3
