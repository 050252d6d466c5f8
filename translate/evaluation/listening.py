"""Does a model listen to its condition? The error with the right one, with a wrong one and with none; and diversity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from translate.batch import Batch
from translate.conditions import Conditions
from translate.evaluation.metrics import l1
from translate.models.steering import Condition, hidden, said

Answer = Callable[[Any, Condition], Tensor]
"""What a model makes of pictures `[B, Cs, H, W]` (None: of noise) and what steers them: `[B, Ct, H, W]` in [-1, 1]."""

ERRORS = {"right": "the right condition", "wrong": "a wrong one", "none": "none"}
"""Conditions that there is an answer to be wrong about, in words."""


class Listening:
    """Gathers the figures batch by batch.

    With pairs the error is the L1 between an output and its target. In one heap of pictures it is the L1 between an
    output and its source: a model that listens leaves a picture alone that is given its own condition, and no other.

    `diversity` is the mean L1 between outputs for the same picture and two conditions: 0 for a model that is deaf.
    """

    def __init__(self, conditions: Conditions, *, heap: bool, errors: bool = True) -> None:
        """`errors`: an output has something to be held against; pictures of noise have not."""
        self.conditions = conditions
        self.heap = heap
        self.errors = errors
        self.sums: dict[str, float] = {}
        self.count = 0

    @torch.no_grad()
    def add(self, answer: Answer, batch: Batch) -> None:
        """A batch of validation examples, with right and wrong conditions."""
        source = batch.pictures.get("source")
        truth = batch.source if self.heap else batch.target
        made = {name: answer(source, condition) for name, condition in self._said(batch).items()}
        for name in [name for name in ERRORS if name in made and self.errors]:
            self._sum(name, l1(made[name], truth, valid=batch.valid))
        one, other, *_ = made.values()
        self._sum("diversity", l1(one, other, valid=batch.valid))
        self.count += len(batch)

    def figures(self) -> dict[str, float]:
        """Means over all examples: `right`, `wrong`, `none` (as far as the model has them), and `diversity`."""
        return {name: total / max(self.count, 1) for name, total in self.sums.items()}

    def describe(self) -> str:
        """For a person, in one line."""
        figures = self.figures()
        errors = [f"{figures[name]:.4f} with {words}" for name, words in ERRORS.items() if name in figures]
        text = f"L1 {', '.join(errors)}; " if errors else ""
        return f"{text}outputs for two conditions are {figures['diversity']:.4f} apart"

    def _said(self, batch: Batch) -> dict[str, Condition]:
        """The conditions to try; the first two are those whose outputs are compared."""
        code = {"z": batch.condition["z"]} if self.conditions.z else {}
        right = said(self.conditions, batch, prefix="own_" if self.heap else "")
        if not right:  # a code is neither right nor wrong
            return {"one": code, "other": {"z": -code["z"]}}
        tried: dict[str, Condition] = {"right": right, "wrong": said(self.conditions, batch, prefix="wrong_")}
        if not self.conditions.required:
            tried["none"] = hidden(self.conditions, right)
        return {name: {**condition, **code} for name, condition in tried.items()}

    def _sum(self, name: str, values: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())
