"""`Measure`: the base class of every measure; with what it needs (`Need`) and its warnings (`Alarm`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from translate.batch import Batch
from translate.conditions import Conditions
from translate.evaluation.features import Features, PooledFeatures, TrainingFeatures
from translate.figures import Direction
from translate.images import ImageSpec

NONE: Mapping[str, str] = MappingProxyType({})
NO_CONDITIONS = Conditions()

Figures = dict[str, float]

Need = Literal[
    "pictures",
    "pairs",
    "features",
    "conditions",
    "labels or text",
    "classes",
    "label maps",
    "judge",
    "training pictures",
    "both sides",
    "training labels",
    "imagenet classes",
    "lpips",
    "inception",
]

NEEDS: dict[Need, str] = {
    "pictures": "validation pictures",
    "pairs": "true pairs to validate on",
    "features": "a pretrained network to judge by",
    "conditions": "a model with a condition",
    "labels or text": "a model with labels or text as its condition",
    "classes": "a discriminator that tells classes (--semi-supervised)",
    "label maps": "targets that are label maps",
    "judge": "a model that turns outputs into label maps (--judge of translate evaluate)",
    "training pictures": "features of the training pictures (translate evaluate has them)",
    "both sides": "training pictures of both sides (translate evaluate has them)",
    "training labels": "labels of the training targets (translate evaluate has them)",
    "imagenet classes": "the ImageNet classes of the targets (translate evaluate)",
    "lpips": "LPIPS's network (translate evaluate)",
    "inception": "Inception-v3 (translate evaluate)",
}
"""What a figure may need, in words."""


@dataclass(frozen=True)
class Judge:
    """A model of the other direction, which tells outputs' label maps."""

    label_maps: Callable[[Tensor], Tensor]
    """Pixels of pictures `[B, H, W, Ct]` float32, as they are written -> pixels of label maps `[B, H, W, C]`."""

    palette: tuple[tuple[int, ...], ...]  # colours `[K][C]` of the classes, as the sources have them


class PictureDistance(Protocol):
    """A distance between pictures, by a network."""

    name: str  # of the network

    def __call__(self, output: Tensor, target: Tensor, /) -> Tensor:
        """`[B]`, of two `[B, 1 or 3, H, W]` in [-1, 1]."""
        ...


@dataclass(frozen=True)
class Examples:
    """What is known of the validation examples before they are read; and what else there is to measure with."""

    source: ImageSpec | None  # None: outputs are made of noise
    target: ImageSpec
    paired: bool = True  # source i and target i belong together
    conditions: Conditions = NO_CONDITIONS  # of the model
    domains: bool = False  # sources and targets are pictures of one multi-domain set
    # How many count in figures of sets and shares: others are those same ones again, or more than training looks at.
    sources: int | None = None  # None: all
    targets: int | None = None
    features: Features | None = None  # of a pretrained network, to judge by
    judge: Judge | None = None
    training: TrainingFeatures | None = None  # by `features`
    imagenet_classes: tuple[int, ...] = ()  # what a good output is a picture of, by ImageNet's numbers
    lpips: PictureDistance | None = None
    inception: PooledFeatures | None = None

    def lack(self, needs: Iterable[Need]) -> Need | None:
        """The first of these needs that they do not meet."""
        return next((need for need in needs if not self._have(need)), None)

    def _have(self, need: Need) -> bool:
        conditions = self.conditions
        has = {
            "pairs": self.paired,
            "features": self.features is not None,
            "conditions": bool(conditions),
            "labels or text": bool(conditions.labels or conditions.text),
            "classes": bool(conditions.classes),
            "label maps": self.target.kind == "labels",
            "judge": self.judge is not None,
            "training pictures": self.training is not None,
            "both sides": self.training is not None and self.training.source is not None,
            "training labels": self.training is not None and self.training.labels is not None,
            "imagenet classes": bool(self.imagenet_classes),
            "lpips": self.lpips is not None,
            "inception": self.inception is not None,
        }
        return has.get(need, True)


@dataclass(frozen=True)
class Alarm:
    """A warning. `message` is one line: the observation, with numbers, and what to do about it."""

    name: str
    message: str


class Measure(ABC):
    """Figures of one model: `add` takes its outputs batch by batch, `figures` returns the result."""

    needs: ClassVar[tuple[Need, ...]] = ()
    """Requirements on the examples."""

    needs_of: ClassVar[Mapping[str, tuple[Need, ...]]] = {}
    """Figures with other requirements than the rest."""

    better: ClassVar[Mapping[str, Direction]] = {}
    """Figure -> better direction, from `translate.figures`; figures without one have no entry.

    A figure on features is here without the name of the network: `kid`, where `figures()` has `kid_lite0`.
    """

    shown: ClassVar[Mapping[str, str]] = NONE
    """How the value of a figure is printed, as for `str.format`; by default with four decimals."""

    apart: ClassVar[bool] = False
    """Its figures are no part of `validation` in metrics.jsonl, which has those of all weights: they have a key of
    their own, the measure's name, with the figures of one.
    """

    asks_conditions: ClassVar[bool] = False
    """It has `conditions`. These cost a pass each, so in training the newest weights alone are measured by it."""

    both_ways: ClassVar[bool] = False
    """It also measures the outputs of the way back, from targets to sources."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def conditions(self, batch: Batch) -> Mapping[str, Mapping[str, Tensor]]:
        """Further outputs to be made for `add`: their names, and the condition of each."""
        return {}

    @abstractmethod
    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        """Add a batch.

        Args:
            batch: sources `[B, Cs, H, W]` and targets `[B, Ct, H, W]` in [-1, 1]; exchanged for the way back.
            outputs: `[B, Ct, H, W]` in [-1, 1]: `output`, and those that `conditions` asked for. In training of a model
                that classifies also `classes`, logits `[B, classes]` of the targets.
        """

    @abstractmethod
    def figures(self) -> Figures:
        """Figures of all batches so far, finite; without those that the examples do not allow for."""

    def each(self) -> dict[str, list[float]]:
        """Its figures of every picture, in the order of the pictures; without those that only a set has."""
        return {}

    def errors(self) -> Figures:
        """Standard errors of figures that only a set has."""
        return {}

    def left_out(self) -> dict[str, str]:
        """Figures that it has not for these pictures, and why, in words."""
        return {}

    def references(self) -> dict[str, Figures]:
        """The same figures of other pictures, to be shown beside: what these are, in words, and their figures."""
        return {}

    def describe(self) -> str:
        """One line for a person beside the figures, or nothing. A run prints it of measures that are `apart`."""
        return ""

    def alarms(self, *, step: int | None = None) -> list[Alarm]:
        """Warnings after this step of the training (None: after the last), the most serious first."""
        return []
