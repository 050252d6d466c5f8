"""How far two sets of pictures overlap, by the nearest neighbours of their features; and which picture is nearest."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from translate.evaluation.kid import jackknife

NEAREST_OF_PRECISION = 3  # k of precision and recall (Kynkaanniemi 2019)
NEAREST_OF_DENSITY = 5  # k of density and coverage (Naeem 2020)
FEWEST = NEAREST_OF_DENSITY + 2  # pictures of a set: k neighbours, and one more where one is left out


class Estimate(NamedTuple):
    """A figure of a set."""

    value: float
    error: float | None = None  # standard error; None: not known


def overlap(made: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Precision, recall, density and coverage of two sets of features.

    - `precision`: share of outputs within the ball of some real picture, which reaches to its 3rd nearest real one.
    - `recall`: the same the other way around: share of real pictures within the ball of some output.
    - `density`: balls that hold an output (of the 5th nearest), divided by 5; the mean over outputs, may exceed 1.
    - `coverage`: share of real pictures with an output in their ball.

    Errors are by a jackknife over the pictures of either set. That of a share in balls comes out too large rather than
    too small (Efron and Stein 1981).

    Args:
        made: `[M, D]`, M at least `FEWEST`.
        real: `[N, D]`, N at least `FEWEST`.
    """
    assert min(len(made), len(real)) >= FEWEST, f"{FEWEST} pictures of each side at least"
    made, real = made.double(), real.double()
    of_real, of_made = _Balls(real, made, NEAREST_OF_PRECISION), _Balls(made, real, NEAREST_OF_PRECISION)
    larger = _Balls(real, made, NEAREST_OF_DENSITY)
    return {
        "precision": of_real.held(),
        "recall": of_made.held(),
        "density": larger.density(),
        "coverage": larger.covered(),
    }


def nearest(made: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """For each output its nearest training picture by features: its place, `[N]` int64, and its distance, `[N]`.

    Args:
        made: `[N, D]`.
        training: `[M, D]`.
    """
    found = [torch.cdist(part.double(), training.double()).min(1) for part in made.split(1024)]
    return torch.cat([x.indices for x in found]), torch.cat([x.values for x in found]).float()


class _Balls:
    """Balls around `centres` `[N, D]`, to the k-th nearest other centre; and which of `points` `[M, D]` they hold."""

    def __init__(self, centres: Tensor, points: Tensor, k: int) -> None:
        among = torch.cdist(centres, centres).fill_diagonal_(torch.inf)
        radii, places = among.topk(k + 1, dim=1, largest=False)
        distances = torch.cdist(centres, points)
        self.k = k
        self.inside = distances <= radii[:, k - 1 : k]  # [N, M]
        self.grown = (distances <= radii[:, k:]) & ~self.inside  # held too once one of the k neighbours is gone
        self.neighbour = torch.zeros(among.shape).scatter_(1, places[:, :k], 1.0).T  # [j, i]: j is one of the k of i
        self.holding = self.inside.sum(0)  # [M] balls that hold a point
        # without centre j its own ball is gone, and those that it bounded grow: [N, M]
        self.holding_without = self.holding - self.inside.float() + self.neighbour @ self.grown.float()

    def held(self) -> Estimate:
        """Share of points in any ball."""
        held = (self.holding > 0).double()
        return _estimate(held.mean(), (self.holding_without > 0.5).double().mean(1), _means_without_one(held))

    def density(self) -> Estimate:
        """Balls that hold a point, by k; the mean over points."""
        values = self.holding.double() / self.k
        return _estimate(values.mean(), self.holding_without.double().mean(1) / self.k, _means_without_one(values))

    def covered(self) -> Estimate:
        """Share of balls with a point."""
        points = self.inside.sum(1)  # [N]
        covered = (points > 0).double()
        more = (points + self.grown.sum(1) > 0).double() - covered
        without_centre = (covered.sum() - covered + self.neighbour.double() @ more) / (len(covered) - 1)
        without_point = ((points[:, None] - self.inside.long()) > 0).double().mean(0)
        return _estimate(covered.mean(), without_centre, without_point)


def _means_without_one(values: Tensor) -> Tensor:
    return (values.sum() - values) / (len(values) - 1)


def _estimate(value: Tensor, *without_one: Tensor) -> Estimate:
    """A figure of several sets, and its values with one picture of each left out; without an error if all are alike."""
    variance = float(torch.stack([jackknife(values) for values in without_one]).sum())
    return Estimate(float(value), variance**0.5 or None)
