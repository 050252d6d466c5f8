"""What a trained D knows: the log density ratio, and with it the Jensen-Shannon divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.game.points import Sampler, mlp, train_discriminator
from benchmarks.game.work import Row, Work, normal_density, panels, rounded, save

DISTANCES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # between the means, in standard deviations
HELD_OUT = 100_000  # points that the cross-entropy is measured on


def gaussian(mean: float, deviation: float = 1.0) -> Sampler:
    """Points `[N, 1]` of one Gaussian."""
    return lambda count: mean + deviation * torch.randn(count, 1)


def two_modes(count: int, *, apart: float = 1.5) -> Tensor:
    """Points `[N, 1]`: seven tenths about -1.5, three tenths about 1.5, deviation 0.5."""
    means = torch.where(torch.rand(count, 1) < 0.7, -apart, apart)
    return means + 0.5 * torch.randn(count, 1)


def two_modes_density(x: np.ndarray, *, apart: float = 1.5) -> np.ndarray:
    """Of the same at each of `x`."""
    return 0.7 * normal_density(x, -apart, 0.5) + 0.3 * normal_density(x, apart, 0.5)


@torch.no_grad()
def logits_at(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """D's logit at each of `x`."""
    return network(torch.tensor(x, dtype=torch.float32)[:, None, None, None]).flatten().numpy()


def log_ratio(work: Work) -> list[Row]:
    """D's logit beside log p_data - log p_model, of two modes against one wide Gaussian."""
    torch.manual_seed(work.seeds[0])
    trained = train_discriminator(mlp(1, 1), real=two_modes, fake=gaussian(0.0, 1.5), steps=work.steps(1500))
    x = np.linspace(-4, 4, 401)
    p_data, p_model = two_modes_density(x), normal_density(x, 0.0, 1.5)
    exact, found = np.log(p_data) - np.log(p_model), logits_at(trained, x)
    weights = p_data + p_model
    error = float((np.abs(found - exact) * weights).sum() / weights.sum())
    figure, (above, below) = panels(2)
    above.plot(x, p_data, label="p_data")
    above.plot(x, p_model, label="p_model")
    above.set(title="the densities", xlabel="x")
    below.plot(x, exact, label="log p_data - log p_model")
    below.plot(x, found, "--", label="D's logit, trained")
    below.set(title="what D learns", xlabel="x", ylim=(-9, 3))
    for axes in (above, below):
        axes.legend(fontsize="small")
    save(figure, work.out / "log-ratio.png")
    return [
        {
            "x": at,
            "exact": rounded(float(np.interp(at, x, exact))),
            "D's logit": rounded(float(np.interp(at, x, found))),
        }
        for at in (-3.0, -1.5, 0.0, 1.5, 3.0)
    ] + [{"x": "mean error", "D's logit": rounded(error, 2)}]


def jensen_shannon(p: np.ndarray, q: np.ndarray, step: float) -> float:
    """Of two densities on a grid, in bits: 0 for equal ones, 1 for disjoint ones."""
    mean = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(one > 0, one * np.log2(one / mean), 0.0).sum() for one in (p, q)]
    return float(0.5 * step * sum(parts))


@torch.no_grad()
def bits_of_discriminator(network: nn.Module, real: Sampler, fake: Sampler) -> float:
    """1 - D's mean cross-entropy in bits, on new points: the Jensen-Shannon divergence, where D is the best one."""
    sides = ((real, -1.0), (fake, 1.0))
    nats = [F.softplus(sign * network(side(HELD_OUT)[..., None, None])).mean() for side, sign in sides]
    return 1 - float(torch.stack(nats).mean()) / math.log(2)


def divergence(work: Work) -> list[Row]:
    """Jensen-Shannon in bits from D beside the exact one, as two Gaussians move apart."""
    grid = np.linspace(-8, 14, 4001)
    rows: list[dict[str, Any]] = []
    for distance in DISTANCES:
        torch.manual_seed(work.seeds[0])
        real, fake = gaussian(0.0), gaussian(distance)
        trained = train_discriminator(mlp(1, 1, width=32), real=real, fake=fake, steps=work.steps(400))
        exact = jensen_shannon(normal_density(grid, 0, 1), normal_density(grid, distance, 1), grid[1] - grid[0])
        found = bits_of_discriminator(trained, real, fake)
        rows.append({"distance": distance, "exact, bits": round(exact, 3), "from D, bits": round(found, 3) + 0.0})
    figure, (axes,) = panels(1, width=5.2)
    axes.plot(DISTANCES, [row["exact, bits"] for row in rows], label="exact")
    axes.plot(DISTANCES, [row["from D, bits"] for row in rows], "o", label="1 - D's cross-entropy in bits")
    axes.set(title="Jensen-Shannon divergence", xlabel="distance of the means, in deviations", ylabel="bits")
    axes.legend(fontsize="small")
    save(figure, work.out / "jensen-shannon.png")
    return rows
