"""The error of a discriminator that tells classes, on validation pictures that have a label."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from translate.batch import Batch
from translate.evaluation.base import Examples, Figures, Measure
from translate.figures import FEW_LABELS


class ClassificationError(Measure):
    """`error`: share of the labelled pictures that are taken for another class. Only training has the discriminator."""

    needs = ("pictures", "classes")
    better = FEW_LABELS

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._wrong = self._labelled = 0

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        if "classes" not in outputs:
            return
        label = batch.condition["label"]
        known = label.sum(1) > 0
        wrong = known & (outputs["classes"].argmax(1) != label.argmax(1))
        self._labelled += int(known.sum())
        self._wrong += int(wrong.sum())

    def figures(self) -> Figures:
        return {"error": self._wrong / self._labelled} if self._labelled else {}

    def errors(self) -> Figures:
        """Of a share of so many pictures."""
        share = self.figures().get("error")
        return {} if share is None else {"error": (share * (1 - share) / self._labelled) ** 0.5}

    def left_out(self) -> dict[str, str]:
        return {} if self._labelled else {"error": "no picture has a label, or there is no discriminator"}
