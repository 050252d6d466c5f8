"""The game where its answer is known: density ratios, divergences, smoothing, augmentation, the spiral on V = xy."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.losses.formulas import BY_HAND, OPTIMUM, WEIGHTS
from translate.batch import Batch
from translate.cli import main
from translate.losses import OBJECTIVES
from translate.losses.adversarial import DIVERGENCES
from translate.models import Model
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import DiffAugment, Discriminator, Shown
from translate.pace import Pace
from translate.training.loop import Step

NORMAL = torch.distributions.Normal


def game(network, **settings):
    return Game(Discriminator(network), GameSettings.make(settings))


def quantiles(density, count):
    """`[count, 1, 1, 1]`: as a sample, but without its noise."""
    return density.icdf((torch.arange(count) + 0.5) / count).reshape(-1, 1, 1, 1)


# a discriminator of four points: a logit for each


def points(counts):
    """Each of four points as a picture of one pixel with a channel for each of them, as often as `counts` says."""
    one_hot = F.one_hot(torch.arange(4).repeat_interleave(torch.as_tensor(counts)), 4)
    return Shown(one_hot.float()[..., None, None])


def best_table(p=WEIGHTS[0], q=WEIGHTS[1], **settings):
    """The four logits that are best for D, and its cost there."""
    table = nn.Conv2d(4, 1, 1, bias=False)
    nn.init.zeros_(table.weight)
    played = game(nn.Sequential(table), **settings)
    optimizer = torch.optim.LBFGS([table.weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        cost = played.discriminator(points(p), points(q), draws={}).losses["d"]
        cost.backward()
        return cost

    optimizer.step(closure)
    return table.weight.detach().flatten().double().numpy(), closure().item()


P, Q = WEIGHTS / 10


@pytest.mark.parametrize("objective", ["vanilla", "minimax", "maximum-likelihood", "softplus"])
def test_the_best_logit_is_the_log_of_the_density_ratio(objective):
    np.testing.assert_allclose(best_table(objective=objective)[0], np.log(P / Q), atol=2e-3)


def test_the_best_output_of_least_squares_is_the_data_s_share():
    np.testing.assert_allclose(best_table(objective="lsgan")[0], P / (P + Q), atol=2e-3)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_logit_of_a_divergence_and_its_bound(name):
    logits, cost = best_table(objective=name)
    np.testing.assert_allclose(logits, OPTIMUM[name](P / Q), atol=5e-3)
    assert -cost == pytest.approx(BY_HAND[name](P, Q), rel=1e-4)


def test_a_discriminator_of_gaussians_learns_the_log_of_their_ratio():
    """A small network, compared where both have mass; its cross-entropy there gives their Jensen-Shannon divergence."""
    torch.manual_seed(0)
    data, model = NORMAL(0.0, 1.0), NORMAL(1.5, 0.7)
    played = game(
        nn.Sequential(
            nn.Conv2d(1, 32, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 1)
        ),
        objective="vanilla",
    )
    optimizer = torch.optim.Adam(played.network.parameters(), lr=1e-2)
    real, fake = (Shown(quantiles(density, 500)) for density in (data, model))
    for step in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 200)
        optimizer.zero_grad()
        cost = played.discriminator(real, fake, draws={}).losses["d"]
        cost.backward()
        optimizer.step()
    x = torch.linspace(-1.0, 2.5, 71)
    ((scores,),) = played.network(Shown(x.reshape(-1, 1, 1, 1)))
    ratio = data.log_prob(x) - model.log_prob(x)
    assert ratio.abs().max() > 3
    torch.testing.assert_close(scores.logits.flatten(), ratio, atol=0.25, rtol=0)
    assert bits(cost.item()) == pytest.approx(jensen_shannon_bits(data, model), abs=0.01)


def bits(cost):
    """The Jensen-Shannon divergence from D's mean cross-entropy in nats."""
    return 1 - cost / math.log(2)


def jensen_shannon_bits(data, model):
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    p, q = (density.log_prob(x).exp() for density in (data, model))
    integrand = sum(d * torch.log2(2 * d / (p + q)).nan_to_num() for d in (p, q)) / 2
    return torch.trapezoid(integrand, x).item()


def test_the_best_cross_entropy_is_one_bit_less_the_jensen_shannon_divergence():
    exact = BY_HAND["jensen-shannon"](P, Q) / 2 / math.log(2)
    assert bits(best_table(objective="vanilla")[1]) == pytest.approx(exact, abs=1e-6)
    equal = best_table(WEIGHTS[0], WEIGHTS[0], objective="vanilla")
    assert bits(equal[1]) == pytest.approx(0, abs=1e-6)
    disjoint = best_table([5, 5, 0, 0], [0, 0, 3, 7], objective="vanilla")
    assert bits(disjoint[1]) == pytest.approx(1, abs=1e-3)


# label smoothing


@pytest.mark.parametrize("objective", ["vanilla", "softplus"])
def test_one_sided_smoothing_only_scales_the_best_discriminator(objective):
    logits, _ = best_table(objective=objective, label_smoothing=0.1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), 0.9 * P / (P + Q), atol=1e-3)


def test_a_smoothed_target_of_fakes_would_add_the_model_s_density():
    """What the flag refuses: with the targets 1 - a and b the optimum is ((1 - a) p + b q) / (p + q)."""
    a, b = 0.1, 0.2
    p, q = torch.from_numpy(P), torch.from_numpy(Q)
    logits = torch.logit(((1 - a) * p + b * q) / (p + q)).requires_grad_()
    cost = F.binary_cross_entropy_with_logits
    each = [(w * cost(logits, torch.full_like(w, t), reduction="none")).sum() for w, t in ((p, 1 - a), (q, b))]
    (gradient,) = torch.autograd.grad(torch.stack(each).sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("label-smoothing", "0.1,0.1"),
        ("label_smoothing", "0,0.1"),
        ("fake-label-smoothing", "0.1"),
        ("target_fake_label", "0.1"),
        ("two-sided-label-smoothing", "0.1"),
    ],
)
def test_a_smoothed_target_of_fakes_is_refused_with_the_reason(flag, value, capsys):
    assert main(["train", "pix2pix", "--data", ".", f"--{flag}", value]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "would add b p_model to the best discriminator's numerator" in error
    assert "only the target of real pictures" in error


# what the generator then minimises


MINIMISED = {  # with the best D, as a function of p and q
    "maximum-likelihood": lambda p, q: (p * (p / q).log()).sum(),
    "minimax": lambda p, q: js(p, q),
    "vanilla": lambda p, q: (q * (q / p).log()).sum() - js(p, q),  # Arjovsky and Bottou 2017
    "kl": lambda p, q: (p * (p / q).log()).sum(),
    "reverse-kl": lambda p, q: (q * (q / p).log()).sum(),
    "pearson": lambda p, q: ((p - q).square() / q).sum(),
    "hellinger": lambda p, q: (p.sqrt() - q.sqrt()).square().sum(),
    "jensen-shannon": lambda p, q: js(p, q),
}


def js(p, q):
    """Twice the Jensen-Shannon divergence."""
    return (p * (2 * p / (p + q)).log()).sum() + (q * (2 * q / (p + q)).log()).sum()


@pytest.mark.parametrize("name", MINIMISED)
def test_the_generator_s_gradient_is_that_of_the_divergence(name):
    """A model of four probabilities; D is the best one, and held, as in a step of G."""
    p, start = torch.from_numpy(P), torch.from_numpy(Q).log().requires_grad_()
    optimum = OPTIMUM.get(name, np.log)
    costs = torch.stack(
        [OBJECTIVES[name].generator(None, v.reshape(1, 1, 1, 1)) for v in torch.as_tensor(optimum(P / Q))]
    )
    (found,) = torch.autograd.grad((start.softmax(0) * costs).sum(), start)
    (expected,) = torch.autograd.grad(MINIMISED[name](p, start.softmax(0)), start)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_maximum_likelihood_cost_moves_samples_as_likelihood_would():
    """Data N(0, 1), model N(m, 1): the gradient of KL(data || model) by m is m."""
    m = torch.tensor(0.6, requires_grad=True)
    x = quantiles(NORMAL(0.0, 1.0), 20_000) + m
    logits = NORMAL(0.0, 1.0).log_prob(x) - NORMAL(m.detach(), 1.0).log_prob(x)
    OBJECTIVES["maximum-likelihood"].generator(None, logits).backward()
    assert m.grad.item() == pytest.approx(0.6, rel=0.01)


@pytest.mark.parametrize("policy", ["translation", "cutout", "color", "color,translation,cutout"])
def test_augmentation_leaves_the_optimum_where_it_was(policy):
    """Three pictures of a bright pixel, which augmentation confuses: with the best D on what is augmented, G's shares
    still go to those of the data, and stay there.
    """
    pictures = torch.full((3, 1, 8, 8), -1.0)
    for i, place in enumerate(((3, 3), (3, 4), (4, 5))):
        pictures[i, 0, *place] = 1
    numbers = torch.rand(40, 7, generator=torch.Generator().manual_seed(0))
    made = DiffAugment(policy)(pictures.repeat_interleave(40, 0), numbers.repeat(3, 1), channels=1)
    _, place = torch.unique(made.flatten(1), dim=0, return_inverse=True)
    assert (place.max() < 119) == (policy != "color")  # some outcomes are those of several pictures, or of one alone
    outcomes = F.one_hot(place).float().reshape(3, 40, -1).mean(1)  # [3, N]: how likely each is, of each picture
    data = torch.tensor([0.6, 0.3, 0.1])
    start = torch.zeros(3, requires_grad=True)

    def gradient(logits):
        shares = logits.softmax(0)
        best = (data @ outcomes).log() - (shares.detach() @ outcomes).log()
        costs = torch.stack([OBJECTIVES["minimax"].generator(None, v.reshape(1, 1, 1, 1)) for v in best])
        return torch.autograd.grad((shares @ outcomes * costs).sum(), logits)[0]

    for _ in range(60):
        start.data -= 4 * gradient(start)
    torch.testing.assert_close(start.softmax(0), data, atol=0.02, rtol=0)
    at_data = data.log().requires_grad_()
    torch.testing.assert_close(gradient(at_data), torch.zeros(3), atol=1e-6, rtol=0)


# V(x, y) = x y


class Number(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))


class Product(Model):
    """x minimises V = x y, and y maximises it."""

    players = {"discriminator": ("y",), "generator": ("x",)}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.x, self.y = Number(1.0), Number(0.0)

    def generate(self, batch, players):
        return {"fake": self.x.value}

    def objective(self, player, batch, images):
        sign, x = (-1, images["fake"].detach()) if player == "discriminator" else (1, images["fake"])
        return {player[0]: sign * x * self.y.value}, {}


def radii(pace, *, steps=100, rate=0.1):
    """The distance from the equilibrium after each step."""
    model = Product()
    optimizers = {p: torch.optim.SGD(model.get_submodule(s).parameters(), lr=rate) for p, (s,) in model.players.items()}
    step = Step(model, optimizers, device=torch.device("cpu"), pace=pace)
    found = []
    for number in range(steps):
        step([Batch({"target": torch.zeros(1)})], number=number)
        found.append(math.hypot(model.x.value.item(), model.y.value.item()))
    return np.array([1.0, *found])


def test_simultaneous_steps_on_a_product_spiral_outwards():
    """By sqrt(1 + rate^2) a step."""
    found = radii(Pace(simultaneous=True))
    np.testing.assert_allclose(found[1:] / found[:-1], math.sqrt(1 + 0.1**2), rtol=1e-5)


def test_alternating_steps_on_a_product_stay_on_an_ellipse():
    """x^2 + y^2 - rate x y is kept: the radius stays within a twentieth of 1."""
    found = radii(Pace(), steps=300)
    assert 0.95 < found.min() < found.max() < 1.06


# instance noise


class Seeing(nn.Module):
    """Keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        self.seen = x.detach()
        return self.last(x)


def test_instance_noise_is_on_all_pictures_that_d_sees_and_falls_to_nothing_by_the_end():
    torch.manual_seed(0)
    layer = Seeing()
    played = Game(Discriminator(nn.Sequential(layer, nn.Conv2d(1, 1, 1))), GameSettings.make({"instance_noise": 0.5}))
    real, fake = (Shown(torch.full((4, 3, 32, 32), value), torch.zeros(4, 1, 32, 32)) for value in (0.25, -0.25))
    for progress in (0.0, 0.5, 1.0):
        played.before_step(0, progress)
        for play, means in ((played.discriminator, [0.25] * 4 + [-0.25] * 4), (played.generator, [-0.25] * 4)):
            play(real, fake, draws={})
            noise = layer.seen[:, 1:] - torch.tensor(means).reshape(-1, 1, 1, 1)
            assert noise.std().item() == pytest.approx(0.5 * (1 - progress), rel=0.03)
            assert layer.seen[:, 0].abs().max() == 0  # the source is known to both players
