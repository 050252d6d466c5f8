"""How far outputs depend on the condition: the error with the right one, a wrong one and none; and diversity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from translate.batch import Batch
from translate.evaluation.base import Examples, Figures, Measure, Need
from translate.evaluation.metrics import l1
from translate.figures import CONDITION_SENSITIVITY
from translate.models.conditioning import Condition, conditions_of, without_condition

ERRORS = {"right": "the right condition", "wrong": "a wrong one", "none": "none"}
"""Conditions with which an output has an error, in words."""


class ConditionSensitivity(Measure):
    """Mean L1 with the `right` condition, a `wrong` one and `none` (as far as the model has them); and `diversity`.

    With pairs the error is the L1 between an output and its target. In a multi-domain set it is the L1 between an
    output and its source: a picture with its own condition should stay as it is, and with any other change.

    `diversity` is the mean L1 between outputs for the same picture and two conditions: 0 if the condition is ignored.
    """

    needs = ("conditions",)
    needs_of: ClassVar[Mapping[str, tuple[Need, ...]]] = {
        "right": ("labels or text",)
    }  # a code is neither right nor wrong
    better = CONDITION_SENSITIVITY
    apart = True
    asks_conditions = True

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._sums: dict[str, float] = {}
        self._count = 0

    def conditions(self, batch: Batch) -> Mapping[str, Condition]:
        given = self.examples.conditions
        code = {"z": batch.condition["z"]} if given.z else {}
        right = conditions_of(given, batch, prefix="own_" if self.examples.domains else "")
        if not right:  # a code is neither right nor wrong
            return {"one": code, "other": {"z": -code["z"]}}
        tried: dict[str, Condition] = {"right": right, "wrong": conditions_of(given, batch, prefix="wrong_")}
        if not given.required:
            tried["none"] = without_condition(given, right)
        return {name: {**condition, **code} for name, condition in tried.items()}

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        truth = batch.source if self.examples.domains else batch.target
        compared = () if self.examples.source is None else ERRORS  # what is made of noise has no truth of its own
        for name in [name for name in compared if name in outputs]:
            self._sum(name, l1(outputs[name], truth, valid=batch.valid))
        first, second = (outputs[name] for name in (("right", "wrong") if "right" in outputs else ("one", "other")))
        self._sum("diversity", l1(first, second, valid=batch.valid))
        self._count += len(batch)

    def figures(self) -> Figures:
        return {name: total / max(self._count, 1) for name, total in self._sums.items()}

    def describe(self) -> str:
        figures = self.figures()
        errors = [f"{figures[name]:.4f} with {words}" for name, words in ERRORS.items() if name in figures]
        text = f"L1 {', '.join(errors)}; " if errors else ""
        return f"does it listen? {text}outputs for two conditions are {figures['diversity']:.4f} apart"

    def _sum(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())
