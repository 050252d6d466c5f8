"""Eight Gaussians on a ring: which modes a generator finds, by objective, unrolled, and with minibatch features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.game.points import PointModel, made, mlp, play, settings_of
from benchmarks.game.work import Row, Work, save
from translate.losses import OBJECTIVES
from translate.models.game_settings import GameSettings
from translate.networks.minibatch import MinibatchDeviation, MinibatchDiscrimination

MODES, RADIUS, SIGMA = 8, 2.0, 0.02
NEAR = 3 * SIGMA  # of a mode's centre
FOUND = 0.01  # of all samples that a mode has near it
JUDGED = 2000  # samples
LOOK = 100  # steps between looks
Z = 64
STEPS = 1600
OBJECTIVE_STEPS = 1000  # of each objective


def ring(count: int) -> Tensor:
    """Points `[N, 2]` of the eight Gaussians."""
    return centres()[torch.randint(MODES, (count,))] + SIGMA * torch.randn(count, 2)


def centres() -> Tensor:
    """`[8, 2]`."""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], 1)


def noise(count: int) -> Tensor:
    """`[N, 64]`."""
    return torch.randn(count, Z)


@dataclass(frozen=True)
class Coverage:
    """What samples `[N, 2]` cover."""

    modes: int  # with 1 % of all samples within three sigma
    share: float  # of all samples that are within three sigma of a mode

    @classmethod
    def of(cls, points: Tensor) -> Coverage:
        distance, nearest = torch.cdist(points, centres()).min(1)
        counts = torch.bincount(nearest[distance <= NEAR], minlength=MODES)
        return cls(int((counts >= FOUND * len(points)).sum()), float(counts.sum()) / len(points))

    @property
    def enough(self) -> bool:
        """Seven modes, and 80 % of the samples at some mode."""
        return self.modes >= 7 and self.share >= 0.8


@dataclass(frozen=True)
class Variant:
    """One way to play on the ring."""

    settings: dict[str, Any] = field(default_factory=dict)
    minibatch: str = "none"
    steps: int = STEPS

    def model(self) -> tuple[PointModel, GameSettings]:
        """A new model with its settings."""
        settings = settings_of(**{"lr": 2e-3, "lr_d": 5e-3, "batch": 256, **self.settings})
        layers: list[Any] = []
        if self.minibatch == "discrimination":
            layers = [MinibatchDiscrimination(128, kernels=16)]  # of the published 100: a sixth of the time
        elif self.minibatch == "stddev":
            layers = [MinibatchDeviation(128)]
        discriminator: nn.Module = mlp(2, 1, before_last=layers, more=sum(layer.planes for layer in layers))
        model = PointModel(
            settings,
            generator=mlp(Z, 2),
            discriminator=discriminator,
            together=False if layers else None,  # a batch of both kinds would show D the wrong neighbours
        )
        return model, settings


@dataclass(frozen=True)
class Run:
    """What one training came to."""

    coverage: Coverage
    steps: int  # to the criterion, or all
    points: Tensor


def run(variant: Variant, *, seed: int, steps: int, stop: bool = True) -> Run:
    """Train until seven modes are found and hold 80 % of the samples, `steps` at most; or that long in any case."""
    torch.manual_seed(seed)
    model, settings = variant.model()
    number, points = 0, torch.empty(0, 2)
    for number, _ in play(model, settings, ring, noise, steps=steps):
        if number == steps or (stop and number % LOOK == 0):
            points = made(model, noise, JUDGED)
            if Coverage.of(points).enough:
                break
    return Run(Coverage.of(points), number, points)


VARIANTS: dict[str, Variant] = {
    "plain": Variant({"objective": "relativistic-average"}),
    "minibatch stddev": Variant({"objective": "relativistic-average"}, minibatch="stddev"),
    "unrolled, 5 steps": Variant({"objective": "relativistic-average", "unroll": 5}, steps=4000),
}
BOUNDED = {"penalty": "gp", "lambda_gp": 1.0}
OF_OBJECTIVES: dict[str, Variant] = {
    name: Variant({"objective": name, **(BOUNDED if objective.critic else {})})
    for name, objective in OBJECTIVES.items()
    if not objective.energy
}
"""EBGAN and BEGAN need an autoencoder for D, whose bottleneck means nothing for two numbers."""


def shown(found: dict[str, Run], *, title: str, path: Any, columns: int) -> None:
    """Draw the samples of runs beside each other."""
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.05 * rows), layout="constrained")
    for place, (name, run_) in enumerate(found.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        (x, y), (across, down) = centres().T.tolist(), run_.points[:800].T.tolist()
        axes.scatter(x, y, s=60, facecolors="none", edgecolors="tab:orange", linewidths=0.8)
        axes.scatter(across, down, s=1.5, color="tab:blue")
        axes.set(title=name, xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=(), yticks=())
        axes.title.set_fontsize("small")
    figure.suptitle(title, fontsize="small")
    save(figure, path)


def of_variants(work: Work) -> list[Row]:
    """The plain game, unrolled, and with minibatch features, for each seed."""
    rows: list[dict[str, Any]] = []
    first: dict[str, Run] = {}
    for seed in work.seeds:
        for name, variant in VARIANTS.items():
            ended = run(variant, seed=seed, steps=work.steps(variant.steps))
            first.setdefault(name, ended)
            rows.append({"game": name, "seed": seed} | _figures(ended))
    shown(first, title="samples; circles: the modes", path=work.out / "ring.png", columns=3)
    return rows


def of_objectives(work: Work) -> list[Row]:
    """The plain game under each objective, all for as many steps."""
    found = {
        name: run(variant, seed=work.seeds[0], steps=work.steps(OBJECTIVE_STEPS), stop=False)
        for name, variant in OF_OBJECTIVES.items()
    }
    shown(found, title=f"after {work.steps(OBJECTIVE_STEPS)} steps", path=work.out / "objectives.png", columns=7)
    return [{"objective": name} | _figures(ended) for name, ended in found.items()]


def _figures(ended: Run) -> dict[str, Any]:
    return {
        "steps": ended.steps,
        "modes of 8": ended.coverage.modes,
        "samples near a mode": f"{100 * ended.coverage.share:.0f} %",
    }
