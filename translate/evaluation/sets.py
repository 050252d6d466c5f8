"""Outputs beside targets as two sets of pictures, by their features: for tasks without pairs, and how real all look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from translate.batch import Batch
from translate.evaluation.base import Examples, Figures, Measure
from translate.evaluation.kid import kid
from translate.evaluation.metrics import as_written
from translate.figures import SETS

FEWEST = 3  # pictures for a jackknife


class SetFigures(Measure):
    """KID of all outputs and all targets, each counted once, with its standard error."""

    needs = ("features",)
    better = SETS
    shown: ClassVar[Mapping[str, str]] = {"kid": "KID ({network}) {value:.4f}"}

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._made: list[Tensor] = []
        self._real: list[Tensor] = []
        self._seen = 0

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        examples = self.examples
        assert examples.features is not None
        output, target = (as_written(x.float(), examples.target) for x in (outputs["output"], batch.target))
        # the shorter side begins anew when it ends: those counted already are left out
        made = output[: None if examples.sources is None else max(0, examples.sources - self._seen)]
        real = target[: None if examples.targets is None else max(0, examples.targets - self._seen)]
        if len(made):
            self._made.append(examples.features.pooled(made.clamp(-1, 1)))
        if len(real):
            self._real.append(examples.features.pooled(real.clamp(-1, 1), real=self._seen))
        self._seen += len(batch)

    def figures(self) -> Figures:
        return {name: value for name, (value, _) in self._found().items()}

    def errors(self) -> Figures:
        return {name: error for name, (_, error) in self._found().items()}

    def _found(self) -> dict[str, tuple[float, float]]:
        if min(sum(map(len, side)) for side in (self._made, self._real)) < FEWEST:
            return {}
        assert self.examples.features is not None
        return {f"kid_{self.examples.features.name}": kid(torch.cat(self._made), torch.cat(self._real))}
