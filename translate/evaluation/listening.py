"""Does a model listen to its condition? The error with the right one, with a wrong one and with none; and diversity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from translate.batch import Batch
from translate.conditions import Conditions

Condition = Mapping[str, Tensor]
Answer = Callable[[Tensor, Condition], Tensor]
"""What a model makes of pictures `[B, Cs, H, W]` and what steers them: `[B, Ct, H, W]` in [-1, 1]."""


class Listening:
    """Gathers the figures batch by batch.

    With pairs the error is the L1 between an output and its target. In one heap of pictures it is the L1 between an
    output and its source: a model that listens leaves a picture alone that is given its own condition, and no other.

    `diversity` is the mean L1 between outputs for the same picture and two conditions: 0 for a model that is deaf.
    """

    def __init__(self, conditions: Conditions, *, heap: bool) -> None:
        self.conditions = conditions
        self.heap = heap
        self.sums: dict[str, float] = {}
        self.count = 0

    @torch.no_grad()
    def add(self, answer: Answer, batch: Batch) -> None:
        """A batch of validation examples, with right and wrong conditions."""
        said = self._said(batch)
        truth = batch.source if self.heap else batch.target
        made = {name: answer(batch.source, condition) for name, condition in said.items()}
        for name, output in made.items():
            if name in ("right", "wrong", "none"):
                self._sum(name, _apart(output, truth, batch.valid))
        one, other = (made[name] for name in ("right", "wrong") if name in made) if "wrong" in made else made.values()
        self._sum("diversity", _apart(one, other, batch.valid))
        self.count += len(batch)

    def figures(self) -> dict[str, float]:
        """Means over all examples: `right`, `wrong`, `none` (as far as the model has them), and `diversity`."""
        return {name: total / max(self.count, 1) for name, total in self.sums.items()}

    def describe(self) -> str:
        """For a person, in one line."""
        names = {"right": "the right condition", "wrong": "a wrong one", "none": "none"}
        figures = self.figures()
        errors = [f"{figures[name]:.4f} with {words}" for name, words in names.items() if name in figures]
        text = f"L1 {', '.join(errors)}; " if errors else ""
        return f"{text}outputs for two conditions are {figures['diversity']:.4f} apart"

    def _said(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        names = [name for name in self.conditions.inputs if name != "z"]
        if not names:  # a code is neither right nor wrong
            z = batch.condition["z"]
            return {"one": {"z": z}, "other": {"z": -z}}
        own = "own_" if self.heap else ""
        more = {"z": batch.condition["z"]} if self.conditions.z else {}
        said = {
            "right": {name: batch.condition[f"{own}{name}"] for name in names} | more,
            "wrong": {name: batch.condition[f"wrong_{name}"] for name in names} | more,
        }
        if not self.conditions.required:
            assert self.conditions.text is None or self.conditions.text.pad >= 0
            pad = self.conditions.text.pad if self.conditions.text else 0
            nothing = {"label": 0, "tokens": pad}
            said["none"] = {name: torch.full_like(said["right"][name], nothing[name]) for name in names} | more
        return said

    def _sum(self, name: str, values: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())


def _apart(one: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
    """Mean absolute difference of each picture `[B]`, as a share of full scale, as all figures are."""
    difference = (one.float() - other.float()).abs() / 2
    if valid is None:
        return difference.mean((1, 2, 3))
    weight = valid.expand_as(difference)
    return (difference * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)
