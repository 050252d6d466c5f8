"""Four ways to fit one small density: maximum likelihood, NCE, self-contrastive estimation and the game.

All play the value of the game, E log D(data) + E log(1 - D(noise)). They differ in who is D and who is the noise
(Goodfellow 2014, On distinguishability criteria for estimating generative models).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.game.directions import Affine
from benchmarks.game.points import PointModel, mlp, play, settings_of
from benchmarks.game.work import Row, Work, panels, rounded, save

MEAN, DEVIATION = 1.0, 0.6  # of the data
START = (-1.0, 1.5)  # the model's
NOISE = (0.0, 2.0)  # of NCE, fixed
BATCH, RATE = 256, 0.02
LOG_ROOT = 0.5 * math.log(2 * math.pi)


def data(count: int) -> Tensor:
    """Points `[N, 1]`."""
    return MEAN + DEVIATION * torch.randn(count, 1)


def log_density(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Of a Gaussian."""
    return -0.5 * ((x - mean) / log_deviation.exp()) ** 2 - log_deviation - LOG_ROOT


def likelihood_cost(weights: Tensor, x: Tensor) -> Tensor:
    """-E log p_model(data), of `weights`: mean, log deviation, log constant (which is not needed)."""
    return -log_density(x, weights[0], weights[1]).mean()


def noise_contrastive_cost(weights: Tensor, x: Tensor) -> Tensor:
    """D = p_model / (p_model + p_noise), with a fixed noise; the model's constant is learned as a third weight."""
    mean, log_deviation = torch.tensor(NOISE[0]), torch.tensor(math.log(NOISE[1]))
    noise = mean + log_deviation.exp() * torch.randn_like(x)

    def logit(points: Tensor) -> Tensor:
        shape = -0.5 * ((points - weights[0]) / weights[1].exp()) ** 2  # a density up to its constant
        return shape + weights[2] - log_density(points, mean, log_deviation)

    return F.softplus(-logit(x)).mean() + F.softplus(logit(noise)).mean()


def self_contrastive_cost(weights: Tensor, x: Tensor) -> Tensor:
    """The same with a copy of the model as the noise, renewed at each step: D is 1/2 everywhere, its slope is not."""
    copy = weights.detach()
    noise = copy[0] + copy[1].exp() * torch.randn_like(x)

    def logit(points: Tensor) -> Tensor:
        return log_density(points, weights[0], weights[1]) - log_density(points, copy[0], copy[1])

    return F.softplus(-logit(x)).mean() + F.softplus(logit(noise)).mean()


COSTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "maximum likelihood": likelihood_cost,
    "NCE": noise_contrastive_cost,
    "self-contrastive": self_contrastive_cost,
}
GAMES = {"GAN (vanilla)": "vanilla", "GAN (maximum-likelihood)": "maximum-likelihood"}


def descended(cost: Callable[[Tensor, Tensor], Tensor], *, seed: int, steps: int) -> list[tuple[float, float]]:
    """Mean and deviation after each Adam step."""
    torch.manual_seed(seed)
    start = [START[0], math.log(START[1]), -math.log(START[1]) - LOG_ROOT]
    weights = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=RATE, betas=(0.5, 0.999))
    places = []
    for _ in range(steps):
        optimizer.zero_grad()
        cost(weights, data(BATCH)).backward()
        optimizer.step()
        places.append((weights[0].item(), weights[1].exp().item()))
    return places


def played(objective: str, *, seed: int, steps: int) -> list[tuple[float, float]]:
    """The same of a game, whose D is a network."""
    torch.manual_seed(seed)
    generator = Affine(*START)
    settings = settings_of(objective=objective, lr=RATE, batch=BATCH, schedule="constant")
    model = PointModel(settings, generator=generator, discriminator=mlp(1, 1, width=32))
    return [generator.found for _ in play(model, settings, data, lambda n: torch.randn(n, 1), steps=steps)]


def distance(mean: float, deviation: float) -> float:
    """KL(data || model) in nats, in closed form."""
    return math.log(deviation / DEVIATION) + (DEVIATION**2 + (MEAN - mean) ** 2) / (2 * deviation**2) - 0.5


def estimators(work: Work) -> list[Row]:
    """KL(data || model) over the steps of all of them."""
    steps, seed = work.steps(600), work.seeds[0]
    paths = {name: descended(cost, seed=seed, steps=steps) for name, cost in COSTS.items()}
    paths |= {name: played(objective, seed=seed, steps=steps) for name, objective in GAMES.items()}
    figure, (axes,) = panels(1, width=6.4, height=3.6)
    rows: list[dict[str, Any]] = []
    for name, places in paths.items():
        values = [distance(*place) for place in places]
        axes.plot(np.arange(1, steps + 1), np.maximum(values, 1e-6), label=name, linewidth=1)
        near = next((number for number, value in enumerate(values, 1) if value < 0.05), None)
        last = np.mean(places[-max(1, steps // 6) :], axis=0)
        rows.append(
            {
                "way": name,
                "steps to KL < 0.05": near or "-",
                "mean": round(float(last[0]), 2),
                "deviation": round(float(last[1]), 2),
                "KL over the last sixth": rounded(float(np.mean(values[-max(1, steps // 6) :])), 1),
            }
        )
    axes.set(yscale="log", xlabel="step", ylabel="KL(data || model), nats", title="one Gaussian, five ways")
    axes.legend(fontsize="x-small")
    save(figure, work.out / "estimators.png")
    return rows
