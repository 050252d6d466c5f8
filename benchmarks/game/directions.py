"""The two directions of KL: one Gaussian fitted to two modes, exactly and by the game."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.game.points import PointModel, mlp, play, settings_of
from benchmarks.game.ratio import two_modes, two_modes_density
from benchmarks.game.work import Row, Work, normal_density, panels, rounded, save

APART = 2.0  # of either mode from 0
START = (-1.0, 1.0)  # of games: mean and deviation
GRID = np.linspace(-9, 9, 1801)
GAMES = ("kl", "reverse-kl", "jensen-shannon", "vanilla", "maximum-likelihood", "minimax")
LINES = ("-", "--", ":", "-.")  # so that curves on each other are seen
SHOWN = ("KL(data || model)", "KL(model || data)", "Jensen-Shannon")


class Affine(nn.Module):
    """A generator of one Gaussian: mean + deviation z."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean))
        self.log_deviation = nn.Parameter(torch.tensor(math.log(deviation)))

    def forward(self, z: Tensor) -> Tensor:
        return self.mean + self.log_deviation.exp() * z

    @property
    def found(self) -> tuple[float, float]:
        """Mean and deviation."""
        return self.mean.item(), self.log_deviation.exp().item()


def divergences(mean: float, deviation: float) -> dict[str, float]:
    """All three between the two modes and one Gaussian, in nats, by sums over a grid."""
    p, q = two_modes_density(GRID, apart=APART), normal_density(GRID, mean, deviation) + 1e-300
    step, half = GRID[1] - GRID[0], (p + q) / 2
    values = (
        (p * np.log(p / q)).sum(),
        (q * np.log(q / p)).sum(),
        0.5 * ((p * np.log(p / half)).sum() + (q * np.log(q / half)).sum()),
    )
    return {name: float(step * value) for name, value in zip(SHOWN, values, strict=True)}


def best_fits() -> dict[str, tuple[float, float]]:
    """The mean and deviation that each divergence is least at, among those of a fine grid."""
    tried = [(float(m), float(s)) for m in np.linspace(-2.5, 2.5, 51) for s in np.geomspace(0.3, 3, 47)]
    values = [divergences(*one) for one in tried]
    return {name: tried[int(np.argmin([value[name] for value in values]))] for name in SHOWN}


def fitted(objective: str, *, seed: int, steps: int) -> tuple[float, float]:
    """The Gaussian that a game ends with; it starts wide, nearer to the larger mode."""
    torch.manual_seed(seed)
    generator = Affine(*START)
    settings = settings_of(objective=objective, lr=5e-3, lr_d=1e-2, batch=256)
    model = PointModel(settings, generator=generator, discriminator=mlp(1, 1, width=32))
    for _ in play(model, settings, partial(two_modes, apart=APART), lambda n: torch.randn(n, 1), steps=steps):
        pass
    return generator.found


def directions(work: Work) -> list[Row]:
    """The best Gaussians by each divergence, and those that games end with."""
    fits, steps = best_fits(), work.steps(1200)
    games = {name: fitted(name, seed=work.seeds[0], steps=steps) for name in GAMES}
    figure, (left, right) = panels(2, width=5.0)
    for axes, found in ((left, fits), (right, games)):
        axes.fill_between(GRID, two_modes_density(GRID, apart=APART), alpha=0.2, color="k", label="data")
        for place, (name, (mean, deviation)) in enumerate(found.items()):
            axes.plot(GRID, normal_density(GRID, mean, deviation), LINES[place % len(LINES)], label=name)
        axes.set(xlim=(-5, 5), ylim=(0, 0.9), xlabel="x")
        axes.legend(fontsize="x-small")
    left.set(title="the best Gaussian by each divergence")
    right.set(title="where games end")
    save(figure, work.out / "directions.png")
    rows: list[dict[str, Any]] = []
    for kind, found in (("exact", fits), ("game", games)):
        for name, (mean, deviation) in found.items():
            row = {"by": kind, "minimises": name, "mean": round(mean, 2), "deviation": round(deviation, 2)}
            rows.append(row | {title: rounded(value, 2) for title, value in divergences(mean, deviation).items()})
    return rows
