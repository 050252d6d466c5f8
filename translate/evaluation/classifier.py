"""Small classifiers on pooled features: is an output taken for the target domain, or for the class asked for?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, with_known
from translate.evaluation.base import Examples, Figures, Measure, Need
from translate.evaluation.features import without_features
from translate.evaluation.intervals import Interval, wilson
from translate.evaluation.metrics import as_written, means
from translate.figures import BASELINES, CLASSIFIED

SOURCE = BASELINES["source"]
DECAY = 1.0  # weight of the squared weights, divided by the number of pictures: the usual C = 1
STEPS = 200  # of L-BFGS, at most


class Classifier:
    """Multinomial logistic regression on standardised features; the same numbers give the same classifier.

    Args:
        features: `[N, D]`.
        classes: `[N]` int64, each from 0 to `count` - 1.
        balanced: classes count alike, however many pictures they have, so that a share is no matter of which side has
            more files.
    """

    def __init__(self, features: Tensor, classes: Tensor, *, count: int, balanced: bool = True) -> None:
        x = features.double()
        self._mean, self._scale = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
        x = self._standardised(x)
        numbers = torch.bincount(classes, minlength=count)
        alike = (len(classes) / ((numbers > 0).sum() * numbers.clamp(min=1)))[classes].double()  # mean 1
        weights = alike if balanced else torch.ones_like(alike)
        with torch.enable_grad():  # also within a validation
            weight = torch.zeros(x.shape[1], count, dtype=torch.float64, requires_grad=True)
            bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
            solver = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

            def cost() -> Tensor:
                solver.zero_grad()
                costs = F.cross_entropy(x @ weight + bias, classes, reduction="none")
                value = (costs * weights).mean() + DECAY * weight.square().sum() / (2 * len(x))
                value.backward()
                return value

            solver.step(cost)
        absent = torch.where(numbers > 0, 0.0, -math.inf)  # never guessed
        self._weight, self._bias = weight.detach(), bias.detach() + absent

    def __call__(self, features: Tensor) -> Tensor:
        """The class of each picture, `[N]` int64, of features `[N, D]`."""
        return (self._standardised(features.double()) @ self._weight + self._bias).argmax(1)

    def _standardised(self, x: Tensor) -> Tensor:
        return (x - self._mean) / self._scale


class _Share(Measure):
    """Share of pictures that meet a condition on their features: of outputs, sources and real targets."""

    name: ClassVar[str]
    with_sources: ClassVar[bool] = True  # the condition makes sense of sources too

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._met: dict[str, list[float]] = {"outputs": [], SOURCE: [], "real targets": []}
        self._seen = 0

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        examples = self.examples
        output = with_known(outputs["output"], batch) if examples.paired else outputs["output"]
        sides = {"outputs": (output, examples.target, examples.sources)}
        if self.with_sources and examples.source is not None and without_features(examples.source) is None:
            sides[SOURCE] = (batch.source, examples.source, examples.sources)
        sides["real targets"] = (batch.target, examples.target, examples.targets)
        for side, (pictures, spec, count) in sides.items():
            # the shorter side begins anew when it ends: those counted already are left out
            new = slice(None if count is None else max(0, count - self._seen))
            if len(pictures[new]):
                shown = as_written(pictures[new].float(), spec).clamp(-1, 1)
                self._met[side] += self._meet(shown, batch, new).double().tolist()
        self._seen += len(batch)

    def each(self) -> dict[str, list[float]]:
        return self._named(self._met["outputs"])

    def figures(self) -> Figures:
        return means(self.each())

    def references(self) -> dict[str, Figures]:
        return {side: means(self._named(met)) for side, met in self._met.items() if side != "outputs" and met}

    def _meet(self, pictures: Tensor, batch: Batch, part: slice) -> Tensor:
        """`[B]` bool of pictures `[B, C, H, W]` in [-1, 1], which belong to this part of the batch."""
        raise NotImplementedError

    def _named(self, met: list[float]) -> dict[str, list[float]]:
        assert self.examples.features is not None
        return {f"{self.name}_{self.examples.features.name}": met}


class TargetShare(_Share):
    """Share of outputs that a classifier, fitted on training pictures of both sides, takes for targets.

    A model that returns the source is at the share of the sources. All outputs may be taken for targets and still be
    bad: the classifier knows nothing but these two sides.
    """

    name = "target_share"
    needs: ClassVar[tuple[Need, ...]] = ("features", "both sides")
    better: ClassVar = {"target_share": CLASSIFIED["target_share"]}
    shown: ClassVar[Mapping[str, str]] = {"target_share": "{:.1%}"}

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        training = examples.training
        assert training is not None
        assert training.source is not None
        sides = (training.source, training.target)
        self._classifier = Classifier(
            torch.cat(sides), torch.cat([torch.full((len(x),), i) for i, x in enumerate(sides)]), count=2
        )

    def _meet(self, pictures: Tensor, batch: Batch, part: slice) -> Tensor:
        assert self.examples.features is not None
        return self._classifier(self.examples.features.pooled(pictures)) == 1


class ClassShare(_Share):
    """Share of outputs whose largest ImageNet logit is one of the classes named, as zebra (340)."""

    name = "class_share"
    needs: ClassVar[tuple[Need, ...]] = ("features", "imagenet classes")
    better: ClassVar = {"class_share": CLASSIFIED["class_share"]}
    shown: ClassVar[Mapping[str, str]] = {"class_share": "{:.1%}"}

    def _meet(self, pictures: Tensor, batch: Batch, part: slice) -> Tensor:
        assert self.examples.features is not None
        found = self.examples.features.backbone.logits(pictures).argmax(1).cpu()
        return torch.isin(found, torch.tensor(self.examples.imagenet_classes))


class Obeyed(_Share):
    """Share of outputs that a classifier, fitted on the training targets and their labels, takes for the label asked.

    With several labels a picture each label is asked of a classifier of its own, and the picture's value is the share
    of labels that are as asked.
    """

    name = "obeyed"
    with_sources = False
    needs: ClassVar[tuple[Need, ...]] = ("features", "training labels")
    better: ClassVar = {"obeyed": CLASSIFIED["obeyed"]}
    shown: ClassVar[Mapping[str, str]] = {"obeyed": "{:.1%}"}

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        training = examples.training
        assert training is not None
        assert training.labels is not None
        self._several = examples.conditions.several
        if self._several:
            self._classifiers = [Classifier(training.target, labels.long(), count=2) for labels in training.labels.T]
        else:
            known = training.labels.sum(1) > 0
            classes = training.labels[known].argmax(1)
            self._classifiers = [Classifier(training.target[known], classes, count=training.labels.shape[1])]

    def _meet(self, pictures: Tensor, batch: Batch, part: slice) -> Tensor:
        assert self.examples.features is not None
        pooled, asked = self.examples.features.pooled(pictures), batch.condition["label"][part].cpu()
        found = torch.stack([classifier(pooled) for classifier in self._classifiers], 1)  # [B, K] or [B, 1]
        if self._several:
            return (found == asked.long()).double().mean(1)
        return found[:, 0] == asked.argmax(1)


@dataclass(frozen=True)
class Accuracy:
    """Right answers among `count`."""

    right: int
    count: int

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.count

    def interval(self) -> Interval:
        """95 %."""
        low, high = wilson(np.array([self.value]), self.count)[0]
        return Interval(float(low), float(high))

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.value:.1%} (95 %: {low:.1%} to {high:.1%})"


@dataclass(frozen=True)
class Verdict:
    """What translation does for a task: accuracy on real targets, by what the classifier was fitted on."""

    translated: Accuracy  # on translated sources, with the labels of the sources
    sources: Accuracy  # on the sources as they are: the floor
    targets: Accuracy  # on real targets, with their labels, which adaptation does without: the ceiling
    chance: Accuracy  # always the commonest label of the sources

    def describe(self) -> str:
        """For a person, one line each."""
        texts = {
            "translated sources": self.translated,
            "sources": self.sources,
            "real targets": self.targets,
            "nothing (the commonest label)": self.chance,
        }
        lines = [f"  {name}: {accuracy}" for name, accuracy in texts.items()]
        return "\n".join([f"labels of {self.targets.count} real targets, told by a classifier fitted on", *lines])


def task_verdict(
    *,
    sources: Tensor,
    translated: Tensor,
    labels: Tensor,
    targets: Tensor,
    target_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
) -> Verdict:
    """Labels of real pictures by classifiers that saw labelled sources, the same translated, and labelled targets.

    The use of translation for domain adaptation (Hoffman 2018): labels are known of the sources alone.

    Args:
        sources, translated: features `[N, D]` of the same pictures, with `labels` `[N]` int64.
        targets: `[M, D]`, training targets, with `target_labels` `[M]`.
        test: `[T, D]`, real targets that are not among these, with `test_labels` `[T]`.

    Raises:
        ValueError: there are no test pictures, or fewer than two labels to tell apart.
    """
    if not len(test):
        raise ValueError("--task: there are no real targets with labels to test on")
    if min(len(labels.unique()), len(target_labels.unique())) < 2:
        raise ValueError("--task: the training pictures of each side need two labels at least")
    count = int(torch.cat([labels, target_labels, test_labels]).max()) + 1

    def accuracy(features: Tensor, classes: Tensor) -> Accuracy:
        found = Classifier(features, classes, count=count, balanced=False)(test)
        return Accuracy(int((found == test_labels).sum()), len(test))

    commonest = labels.mode().values
    return Verdict(
        translated=accuracy(translated, labels),
        sources=accuracy(sources, labels),
        targets=accuracy(targets, target_labels),
        chance=Accuracy(int((test_labels == commonest).sum()), len(test)),
    )


def labels_of(names: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Names of labels as numbers `[N]` int64, and the different names, in order."""
    known = tuple(sorted(set(names)))
    return torch.tensor([known.index(name) for name in names], dtype=torch.int64), known
