"""How a model does on pictures it has not seen: figures, a grid to look at, and what a blind guess would reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.batch import Batch, RawBatch, normalize, quantize
from translate.evaluation.metrics import compare
from translate.evaluation.sheet import displayable, sheet
from translate.images import ImageSpec
from translate.models import Model

Figures = dict[str, float]


@torch.no_grad()
def validate(
    translators: Mapping[str, Callable[[Tensor], Tensor]],
    batches: Iterable[Batch],
    *,
    target: ImageSpec,
    samples: int,
    source: ImageSpec,
) -> tuple[dict[str, Figures], Image.Image | None]:
    """Mean figures of each translator over all pairs, and a grid of the first `samples`: source, the outputs, target.

    A translator maps sources `[B, Cs, H, W]` in [-1, 1] to outputs `[B, Ct, H, W]`, as `as_translator` makes it.
    """
    sums: dict[str, dict[str, float]] = {name: {} for name in translators}
    rows: list[list[np.ndarray]] = []
    count = 0
    for batch in batches:
        outputs = {name: translator(batch.source) for name, translator in translators.items()}
        for name, output in outputs.items():
            for figure, values in compare(
                _seen(output, target), _seen(batch.target, target), valid=batch.valid
            ).items():
                sums[name][figure] = sums[name].get(figure, 0.0) + float(values.sum())
        count += len(batch)
        for i in range(min(len(batch), samples - len(rows))):
            cells = [(batch.source, source), *((o, target) for o in outputs.values()), (batch.target, target)]
            rows.append([displayable(quantize(x[i : i + 1], spec)[0].cpu().numpy(), spec) for x, spec in cells])
    figures = {name: {k: v / max(count, 1) for k, v in totals.items()} for name, totals in sums.items()}
    page = sheet(rows, titles=["source", *translators, "target"]) if rows else None
    return figures, page


def as_translator(model: Model) -> Callable[[Tensor], Tensor]:
    """`model.forward` as at inference (no dropout, no use of the batch), whatever mode the model is in and stays in."""

    def translate(source: Tensor) -> Tensor:
        training = model.training
        model.eval()
        try:
            return model(source)
        finally:
            model.train(training)

    return translate


def constant(output: Tensor) -> Callable[[Tensor], Tensor]:
    """A translator that always answers `output` `[1, C, H, W]`, whatever it is asked."""
    return lambda source: output.to(source.device).expand(len(source), -1, *source.shape[-2:])


def _seen(values: Tensor, spec: ImageSpec) -> Tensor:
    """What figures are taken of: label maps as the colours they will be written in, images as they are."""
    if spec.kind == "image":
        return values
    return quantize(values, spec).permute(0, 3, 1, 2) / 127.5 - 1


def mean_target(batches: Iterable[RawBatch], spec: ImageSpec) -> Tensor:
    """The mean training target `[1, C, H, W]` in [-1, 1]: the best blind guess, which any model has to beat."""
    total: Tensor | None = None
    count = 0
    for raw in batches:
        values = normalize(raw.target, spec).double().sum(0, keepdim=True)
        total = values if total is None else total + values
        count += len(raw)
    assert total is not None, "there are training pairs"
    return (total / count).float()
