"""What an evaluation knows of the training pictures: their features, what is nearest to an output, and a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.batch import Batch, quantize
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.pairs import Pair, of_side
from translate.datasets.prepare import Prepared
from translate.evaluation.base import Examples, Figures, Measure, Need
from translate.evaluation.classifier import Verdict, labels_of, task_verdict
from translate.evaluation.features import Features, TrainingFeatures, without_features
from translate.evaluation.memorised import Memorised, memorised, memorised_sheet
from translate.evaluation.metrics import as_written
from translate.evaluation.sets import Pooled
from translate.evaluation.sheet import displayable
from translate.images import ImageSpec
from translate.settings import DataSettings
from translate.training.evaluate_columns import Columns
from translate.training.outputs import Translate

MOST = 500  # training pictures of each side: their features take 20 to 30 ms of a core each
CLOSEST = 8  # outputs on the sheet of memorised pictures
BATCH = 8


class TrainingPictures:
    """Training pictures as validation takes them, at most `MOST` of each side, from all over the set."""

    def __init__(self, prepared: Prepared, data: DataSettings, *, device: torch.device) -> None:
        self.prepared, self.device = prepared, device
        self.domains, unpaired = prepared.kind == "domains", prepared.kind == "unpaired"
        pairs = prepared.train
        self.sources = _thinned(of_side(pairs, "source") if unpaired else pairs)
        self.targets = _thinned(of_side(pairs, "target") if unpaired else pairs)
        chosen = (*self.sources, *self.targets) if unpaired else self.targets
        self._data = replace(prepared, val=chosen, val_paired=prepared.kind == "pairs")
        self._dataset = make_dataset(self._data, settings=data, part="val", seed=0)
        self._batch = 1 if data.val_whole else BATCH

    def batches(self) -> Iterator[Batch]:
        """All of them; the shorter side begins anew when it ends."""
        for raw in ordered_batches(self._dataset, batch=self._batch):
            yield raw.to(self.device, self._data.specs)

    @torch.no_grad()
    def features(self, network: Features, outputs: Translate | None = None) -> TrainingFeatures:
        """Features of the pictures, and of what `outputs` makes of the sources.

        The pictures of many domains are all targets, with their own labels.
        """
        source, target = self.prepared.source, self.prepared.target
        found: dict[str, list[Tensor]] = {"source": [], "target": [], "made": [], "label": []}
        label = "own_label" if self.domains else "label"
        for batch in self.batches():
            sides: list[tuple[str, Tensor, ImageSpec, int]] = []
            if source is not None and not self.domains and without_features(source) is None:
                sides.append(("source", batch.source, source, len(self.sources)))
            if outputs is not None:
                sides.append(("made", outputs(batch), target, len(self.sources)))
            sides.append(("target", batch.source if self.domains else batch.target, target, len(self.targets)))
            for name, pictures, spec, count in sides:
                new = pictures[: max(0, count - sum(map(len, found[name])))]
                if len(new):
                    found[name].append(network.pooled(as_written(new.float(), spec).clamp(-1, 1)))
            if label in batch.condition:
                found["label"].append(batch.condition[label].cpu())
        whole = {name: torch.cat(parts) for name, parts in found.items() if parts}
        return TrainingFeatures(whole.get("source"), whole["target"], whole.get("label"), whole.get("made"))

    def target(self, place: int) -> np.ndarray:
        """Training target `place` as it is shown, `[H, W, 3]` uint8."""
        pictures = self._dataset[0, place].pictures
        return displayable(pictures["source" if self.domains else "target"], self.prepared.target)


def _thinned(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    count = min(MOST, len(pairs))
    return tuple(pairs[i * len(pairs) // count] for i in range(count))


class PooledFigures(Measure):
    """No figure: keeps the features of outputs and targets, for what is made of them afterwards."""

    needs: ClassVar[tuple[Need, ...]] = ("features",)
    apart = True

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        assert examples.features is not None
        self.pooled = Pooled(examples, examples.features)

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        self.pooled.add(batch, outputs)

    def figures(self) -> Figures:
        return {}


def nearest_page(
    pooled: Pooled,
    training: TrainingPictures,
    features: TrainingFeatures,
    *,
    some: Callable[[Sequence[int]], Iterator[Batch]],
    outputs: Translate,
) -> tuple[Memorised, Image.Image]:
    """Outputs beside the training targets that are nearest to them, the closest first; and how close all are.

    Args:
        some: the batches of one picture at some places.
    """
    found = memorised(pooled.made, pooled.real, features.target)
    places, spec = found.closest_first[:CLOSEST], training.prepared.target
    with torch.no_grad():
        made = {
            place: displayable(quantize(outputs(batch), spec)[0].cpu().numpy(), spec)
            for place, batch in zip(places, some(places), strict=True)
        }
    nearest = {place: training.target(place) for place in {int(found.places[i]) for i in places}}
    return found, memorised_sheet(made, nearest, found, most=CLOSEST)


def task(
    column: Columns, features: TrainingFeatures, training: TrainingPictures, *, test: Tensor, test_pairs: Sequence[Pair]
) -> Verdict:
    """How well a classifier of the column that saw translated sources does on real targets.

    Args:
        features: of the training pictures, with the outputs of the training sources.
        test: features `[T, D]` of real targets, of `test_pairs`.

    Raises:
        ValueError: pictures without a value in the column, or too few values.
    """
    if features.source is None or features.made is None:
        raise ValueError("--task needs sources that are gray or colour pictures of their own: leave it out")
    names = [column.of(pairs) for pairs in (training.sources, training.targets, test_pairs)]
    numbers, _ = labels_of([name for part in names for name in part])
    labels, target_labels, test_labels = numbers.split([len(part) for part in names])
    return task_verdict(
        sources=features.source,
        translated=features.made,
        labels=labels,
        targets=features.target,
        target_labels=target_labels,
        test=test,
        test_labels=test_labels,
    )
