"""Simultaneous and alternating steps on V(x, y) = x y, by the project's own `Step`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.game.points import CPU
from benchmarks.game.work import Row, Work, panels, rounded, save
from translate.batch import Batch, Images, Losses, Stats
from translate.models import Model
from translate.pace import Pace
from translate.settings import ModelSettings
from translate.training.loop import Step, make_optimizers

RATE = 0.1
START = (1.0, 0.0)


class Number(nn.Module):
    """A player that is one number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))


class Product(Model):
    """x minimises V = x y, and y maximises it: the smallest game. Its equilibrium is (0, 0)."""

    data = "targets"
    players = {"x": ("x",), "y": ("y",)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = (Number(value) for value in START)

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        return {"fake": batch.target}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        product: Tensor = self.x.value * self.y.value
        return {player: product if player == "x" else -product}, {}


def path(steps: int, *, simultaneous: bool, rate: float = RATE) -> np.ndarray:
    """Places `[steps + 1, 2]` of the two players under gradient steps."""
    model = Product()
    settings = ModelSettings.make({"optimizer": "sgd", "lr": rate})
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU, pace=Pace(simultaneous=simultaneous))
    batch = Batch({"target": torch.zeros(1, 1, 1, 1)})
    places = [START]
    for number in range(steps):
        step([batch], number=number)
        places.append((model.x.value.item(), model.y.value.item()))
    return np.array(places)


def spiral(work: Work) -> list[Row]:
    """Both orders of steps beside the circle of continuous time."""
    count = work.steps(150)
    both = {"simultaneous": path(count, simultaneous=True), "alternating": path(count, simultaneous=False)}
    figure, (left, right) = panels(2, width=4.2, height=4.0)
    turn = np.linspace(0, 2 * math.pi, 200)
    left.plot(np.cos(turn), np.sin(turn), "k:", label="continuous time")
    rows: list[dict[str, Any]] = []
    for name, places in both.items():
        radius = np.linalg.norm(places, axis=1)
        left.plot(*places.T, label=name, linewidth=1)
        right.plot(radius, label=name)
        rows.append(
            {
                "steps": name,
                "distance after them": rounded(float(radius[-1])),
                "growth a step": f"{(radius[-1] / radius[0]) ** (1 / count):.5f}",
                "expected": f"{math.sqrt(1 + RATE**2):.5f}" if name == "simultaneous" else "bounded",
            }
        )
    left.set(title=f"V = xy, {count} steps, rate {RATE}", xlabel="x", ylabel="y", aspect="equal")
    right.set(title="distance from the equilibrium", xlabel="step")
    for axes in (left, right):
        axes.legend(fontsize="small")
    save(figure, work.out / "spiral.png")
    return rows
