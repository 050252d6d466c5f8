"""Baselines and their figures; a model has to beat them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, RawBatch, missing, normalize
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared
from translate.evaluation.base import Figures
from translate.evaluation.measures import MEASURES
from translate.images import ImageSpec
from translate.training.job import Job
from translate.training.outputs import ModelOutputs, Translate
from translate.training.validation import examples_of, validate

TARGETS_IN_MEAN = 1000  # training targets in the mean, at most
MEAN_PIXELS = 2**22  # of the mean target, at most
FITTED_AT_ONCE = 2**22  # pixels whose products are in memory together


def baseline_figures(job: Job, data: Prepared, validation: Callable[[], Iterator[Batch]]) -> dict[str, Figures]:
    """The figures of each baseline on the validation pairs, which `validation` gives anew at each call."""
    assert data.source is not None, "pictures made of noise have no pairs to be measured on"
    guesses = {"mean_target": constant(_mean_target(job, data))}
    if data.kind != "pairs" and data.source.network_channels == data.target.network_channels:
        guesses["colour_map"] = best_colour_map(validation())
    if data.scale > 1 and data.source.network_channels == data.target.network_channels:
        guesses["bicubic"] = enlarged
    found = validate(
        {name: ModelOutputs(guess) for name, guess in guesses.items()},
        validation(),
        examples=examples_of(data),
        measures={name: measure for name, measure in MEASURES.items() if "pairs" in measure.needs},
    )
    return found.figures()


def _mean_target(job: Job, data: Prepared) -> Tensor:
    """The mean of up to `TARGETS_IN_MEAN` training targets."""
    targets = [pair for pair in data.train if pair.target is not None][:TARGETS_IN_MEAN]
    sources = [] if data.kind == "pairs" else [pair for pair in data.train if pair.target is None][:1]
    unaugmented = replace(data, val=(*sources, *targets), val_paired=data.kind == "pairs")
    dataset = make_dataset(unaugmented, settings=job.data, part="val", seed=job.run.seed)
    return mean_target(ordered_batches(dataset, batch=1), data.target)


def constant(output: Tensor) -> Translate:
    """Returns `output` `[1, C, H, W]` for every picture, at the target's size."""
    return lambda batch: _stretched(output, batch.target).to(batch.target.device).expand(len(batch), -1, -1, -1)


def enlarged(batch: Batch) -> Tensor:
    """The sources of a batch, enlarged to the size of their targets (bicubic)."""
    size = batch.target.shape[-2:]
    return F.interpolate(batch.source, size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


def best_colour_map(batches: Iterable[Batch]) -> Translate:
    """The affine map of each channel, `a * source + b`, that brings sources nearest to their targets (least squares).

    Fitted on the pairs that it is evaluated on: the upper bound of recolouring. Needs equal channels of both.
    """
    sums: Tensor | None = None  # [5, C]: count, x, y, x*x, x*y
    for batch in batches:
        sides = (side.transpose(0, 1).flatten(1).split(FITTED_AT_ONCE, 1) for side in (batch.source, batch.target))
        for x, y in zip(*sides, strict=True):  # [C, B*H*W] each, or a part of it
            x, y = x.double(), y.double()
            part = torch.stack([v.sum(1) for v in (torch.ones_like(x), x, y, x * x, x * y)])
            sums = part if sums is None else sums + part
    assert sums is not None, "there are validation pairs"
    count, x, y, xx, xy = sums
    slope = (count * xy - x * y) / (count * xx - x * x).clamp(min=1e-12)
    shift = (y - slope * x) / count
    a, b = (v.float()[:, None, None] for v in (slope, shift))
    return lambda batch: (a * batch.source + b).clamp(-1, 1)


def mean_target(batches: Iterable[RawBatch], spec: ImageSpec) -> Tensor:
    """The mean training target `[1, C, H, W]` in [-1, 1]: the best blind guess, which any model has to beat.

    It has the size of the first, or of its proportions where that is larger than `MEAN_PIXELS`; whole pictures of other
    sizes are stretched to it.
    """
    total: Tensor | None = None
    count: int | Tensor = 0
    for raw in batches:
        values = normalize(raw.target, spec).double().sum(0, keepdim=True)
        if total is None:
            shrink = min(1.0, (MEAN_PIXELS / values[0, 0].numel()) ** 0.5)
            total = values.new_zeros(*values.shape[:2], *(max(1, round(side * shrink)) for side in values.shape[-2:]))
        total += _stretched(values, total)
        gone = missing(raw.target, spec)  # the network's 0, which adds nothing
        there = None if gone is None else (~gone).permute(0, 3, 1, 2).double().sum(0, keepdim=True)
        count = count + (len(raw) if there is None else _stretched(there, total))
    assert total is not None, "there are training pairs"
    return (total / (count if isinstance(count, int) else count.clamp(min=1))).float()


def _stretched(pictures: Tensor, like: Tensor) -> Tensor:
    """`[B, C, H, W]` of the height and width of `like`."""
    if pictures.shape[-2:] == like.shape[-2:]:
        return pictures
    return F.interpolate(pictures, like.shape[-2:], mode="bilinear", align_corners=False, antialias=True)
