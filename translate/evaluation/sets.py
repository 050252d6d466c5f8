"""Outputs beside targets as two sets of pictures, by their features: for tasks without pairs, and how real all look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from translate.batch import Batch, with_known
from translate.evaluation import neighbours
from translate.evaluation.base import Examples, Figures, Measure, Need
from translate.evaluation.features import PooledFeatures
from translate.evaluation.frechet import fid
from translate.evaluation.kid import kid, kid_difference
from translate.evaluation.metrics import as_written
from translate.evaluation.neighbours import Estimate, overlap
from translate.figures import LARGE_SETS, SETS

FEWEST = 3  # pictures for a jackknife of KID

T = TypeVar("T")


def compare_sets(made: Tensor, real: Tensor) -> dict[str, Estimate]:
    """Every figure of two sets of features `[M, D]` and `[N, D]`; see `left_out` for those that are not there."""
    missing = left_out(len(made), len(real), made.shape[1])
    found: dict[str, Estimate] = {}
    if "kid" not in missing:
        found["kid"] = Estimate(*kid(made, real))
    if "fid" not in missing:
        found["fid"] = Estimate(fid(made, real))
    if "precision" not in missing:
        found |= overlap(made, real)
    return found


def left_out(made: int, real: int, features: int) -> dict[str, str]:
    """Figures that sets of so many pictures have not, and why, in words."""
    fewest, counts = min(made, real), f"{made} outputs and {real} targets"
    missing: dict[str, str] = {}
    if fewest < FEWEST:
        missing["kid"] = f"it takes {FEWEST} pictures of each at least, and there are {counts}"
    if fewest <= features:
        missing["fid"] = f"it takes more pictures of each than the {features} features, and there are {counts}"
    if fewest < neighbours.FEWEST:
        why = f"it takes {neighbours.FEWEST} pictures of each at least, and there are {counts}"
        missing |= dict.fromkeys(("precision", "recall", "density", "coverage"), why)
    return missing


def floor(
    real: Tensor, *, training: Tensor | None = None, count: int | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """What `compare_sets` gives for two sets that are both real: no output can be expected to be better.

    Figures but KID depend on the number of pictures, which therefore has to be that of the outputs.

    Args:
        real: features `[N, D]` of the targets.
        training: `[M, D]` of training targets, of which `count` are drawn to stand for outputs. Without them the
            targets are cut into two halves, which are smaller.
        count: how many outputs there are; None: as many as targets.
        seed: of the draw.
    """
    drawn = torch.Generator().manual_seed(seed)
    if training is None:
        first, second = real[torch.randperm(len(real), generator=drawn)].tensor_split(2)
        return compare_sets(second, first)
    chosen = torch.randperm(len(training), generator=drawn)[: count or len(real)]
    return compare_sets(training[chosen], real)


class Pooled:
    """Pooled features of outputs and of targets, each picture once.

    In pairs, pixels that are not valid are taken from the target: where it has none, neither have outputs.
    """

    def __init__(self, examples: Examples, network: PooledFeatures) -> None:
        self._examples, self._network = examples, network
        self._made: list[Tensor] = []
        self._real: list[Tensor] = []
        self._seen = 0

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        """Take in a batch, as `Measure.add` gets it."""
        examples = self._examples
        output = with_known(outputs["output"], batch) if examples.paired else outputs["output"]
        output, target = (as_written(x.float(), examples.target) for x in (output, batch.target))
        # the shorter side begins anew when it ends: those counted already are left out
        made = output[: None if examples.sources is None else max(0, examples.sources - self._seen)]
        real = target[: None if examples.targets is None else max(0, examples.targets - self._seen)]
        if len(made):
            self._made.append(self._network.pooled(made.clamp(-1, 1)))
        if len(real):
            self._real.append(self._network.pooled(real.clamp(-1, 1), real=self._seen))
        self._seen += len(batch)

    @property
    def made(self) -> Tensor:
        """Of the outputs, `[M, D]`."""
        return torch.cat(self._made) if self._made else torch.zeros(0, 1)

    @property
    def real(self) -> Tensor:
        """Of the targets, `[N, D]`."""
        return torch.cat(self._real) if self._real else torch.zeros(0, 1)


class SetFigures(Measure):
    """`compare_sets` of all outputs and all targets, each counted once."""

    needs: ClassVar[tuple[Need, ...]] = ("features",)
    better: ClassVar = {**SETS, **LARGE_SETS}
    shown: ClassVar[Mapping[str, str]] = {
        "fid": "{:.2f}",
        **dict.fromkeys(("precision", "recall", "density", "coverage"), "{:.3f}"),
    }

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        network, self._training = self._judging()
        self._name = network.name
        self._pooled = Pooled(examples, network)
        self._found: dict[str, Estimate] | None = None

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        self._pooled.add(batch, outputs)
        self._found = None

    def figures(self) -> Figures:
        return {name: estimate.value for name, estimate in self._estimates().items()}

    def errors(self) -> Figures:
        return {name: e.error for name, e in self._estimates().items() if e.error is not None}

    def left_out(self) -> dict[str, str]:
        made, real = self._pooled.made, self._pooled.real
        return self._chosen(left_out(len(made), len(real), made.shape[1]))

    def references(self) -> dict[str, Figures]:
        made, real, training = self._pooled.made, self._pooled.real, self._training
        if training is None or len(training) < len(made):
            found, what = floor(real), "one half of the targets against the other"
        else:
            found = floor(real, training=training, count=len(made))
            what = f"{len(made)} training targets against the targets"
        values = {name: estimate.value for name, estimate in self._chosen(found).items()}
        return {what: values} if values else {}

    def kid_less(self, first: SetFigures) -> dict[str, Estimate]:
        """KID of these outputs less those of `first`, of the same pictures; with its paired error."""
        made, other, real = self._pooled.made, first._pooled.made, self._pooled.real
        known = min(len(made), len(real)) >= FEWEST and made.shape == other.shape
        return self._chosen({"kid": Estimate(*kid_difference(made, other, real))} if known else {})

    def _judging(self) -> tuple[PooledFeatures, Tensor | None]:
        """The network, and its features of training targets if there are any that are not measured themselves."""
        examples = self.examples
        assert examples.features is not None
        training = examples.training
        return examples.features, training.target if training and training.apart else None

    def _estimates(self) -> dict[str, Estimate]:
        if self._found is None:
            self._found = self._chosen(compare_sets(self._pooled.made, self._pooled.real))
        return self._found

    def _chosen(self, figures: Mapping[str, T]) -> dict[str, T]:
        return {f"{name}_{self._name}": value for name, value in figures.items()}


class InceptionFigures(SetFigures):
    """KID and FID as papers have them, on Inception-v3: the figures `kid_inception` and `fid_inception`."""

    needs: ClassVar[tuple[Need, ...]] = ("inception",)
    better: ClassVar = {}  # the directions are those of `SetFigures`

    def _judging(self) -> tuple[PooledFeatures, Tensor | None]:
        assert self.examples.inception is not None
        return self.examples.inception, None

    def _chosen(self, figures: Mapping[str, T]) -> dict[str, T]:
        return super()._chosen({name: value for name, value in figures.items() if name in ("kid", "fid")})
