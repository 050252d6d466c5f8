"""Are outputs copies of training pictures? Each beside the one that is nearest to it by features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from translate.evaluation.neighbours import nearest
from translate.evaluation.sheet import sheet

CLOSE = 0.05  # quantile of the distances of real pictures below which an output counts as close


@dataclass(frozen=True, eq=False)
class Memorised:
    """The nearest training target of each output, by pooled features."""

    places: Tensor  # [N] int64: of the nearest training targets
    distances: Tensor  # [N]
    of_real: Tensor  # [M]: how far real pictures that are not in training are from their nearest training target

    @property
    def closest_first(self) -> list[int]:
        """Places of the outputs, those nearest to a training picture first."""
        return [int(i) for i in self.distances.argsort(stable=True)]

    @property
    def close(self) -> float:
        """Share of outputs nearer to a training picture than all but 5 % of the real ones; 0.05 is chance."""
        return float((self.distances < self.of_real.quantile(CLOSE)).float().mean())

    def describe(self) -> str:
        """For a person, in one line."""
        outputs, real = (float(x.median()) for x in (self.distances, self.of_real))
        return (
            f"memorised? {self.close:.0%} of the outputs are nearer to a training picture than all but {CLOSE:.0%} of "
            f"the real ones; median distance {outputs:.2f}, of real pictures {real:.2f}"
        )


def memorised(made: Tensor, real: Tensor, training: Tensor) -> Memorised:
    """Compare outputs `[N, D]` and real targets `[M, D]`, none of them in training, with training targets `[T, D]`."""
    places, distances = nearest(made, training)
    return Memorised(places, distances, nearest(real, training)[1])


def memorised_sheet(
    outputs: Mapping[int, np.ndarray], training: Mapping[int, np.ndarray], found: Memorised, *, most: int = 8
) -> Image.Image:
    """Outputs beside their nearest training pictures, the closest first.

    Args:
        outputs: RGB pictures `[H, W, 3]` uint8 by their place; at least the first `most` of `found.closest_first`.
        training: the same of their nearest training pictures.
    """
    rows: list[Sequence[np.ndarray]] = [
        (outputs[place], training[int(found.places[place])]) for place in found.closest_first[:most]
    ]
    return sheet(rows, titles=["output", "nearest training picture"])
