"""How a model does on pictures it has not seen: figures, a page to look at, and what simpler answers would reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, RawBatch, missing, normalize, quantize
from translate.evaluation.listening import Answer, Listening
from translate.evaluation.metrics import compare
from translate.evaluation.sheet import displayable, sheet, shrunk
from translate.images import ImageSpec
from translate.training.alarms import Watch
from translate.training.answers import Translate

Figures = dict[str, float]


BASELINES = {
    "mean_target": "the mean target",
    "colour_map": "the best recolouring of the source (affine, each channel)",
}
"""Simpler answers, in words. A model has to beat them."""

MEAN_PIXELS = 2**22
FITTED_AT_ONCE = 2**22  # pixels whose products are in memory together


@dataclass(frozen=True)
class Validation:
    """What one validation found."""

    figures: dict[str, Figures]  # of each translator, empty where the examples are no true pairs
    page: Image.Image | None  # the first examples, to look at
    watches: dict[str, Watch]  # of each translator
    watches_back: dict[str, Watch]  # of each translator of the other way


@torch.no_grad()
def validate(
    translators: Mapping[str, Translate],
    batches: Iterable[Batch],
    *,
    source: ImageSpec | None,
    target: ImageSpec,
    paired: bool = True,
    step: int | None = None,
    samples: int = 0,
    largest: int | None = None,
    back: Mapping[str, Translate] | None = None,
    listening: Mapping[Listening, Answer] | None = None,
) -> Validation:
    """Mean figures of each translator over all examples, and a page of the first `samples`.

    A row of it has the source, the outputs, and the target (without pairs: any target), and then what the translators
    `back` make of that.

    Args:
        paired: the targets are the sources' own, so that figures mean something.
        step: of the training, for the watches: early ones keep silent.
        largest: side in pixels to which larger pictures are shrunk on the page; None: never.
        back: translators of the other way.
        listening: what is to find out whether these answers heed what steers them.
    """
    sums: dict[str, dict[str, float]] = {name: {} for name in translators}
    back = back or {}
    watches, watches_back = ({name: Watch(paired=paired, step=step) for name in ways} for ways in (translators, back))
    rows: list[list[np.ndarray]] = []
    count = 0
    for batch in batches:
        outputs = {name: translator(batch) for name, translator in translators.items()}
        for name, output in outputs.items():
            watches[name].add(
                source=batch.pictures.get("source"), output=output, target=batch.target, valid=batch.valid
            )
            compared = compare(_seen(output, target), _seen(batch.target, target), valid=batch.valid) if paired else {}
            for figure, values in compared.items():
                sums[name][figure] = sums[name].get(figure, 0.0) + float(values.sum())
        count += len(batch)
        for listener, answer in (listening or {}).items():
            listener.add(answer, batch)
        outputs_back = {name: translator(batch) for name, translator in back.items()}
        for name, output in outputs_back.items():
            watches_back[name].add(source=batch.target, output=output, target=batch.source, valid=batch.valid)
        if len(rows) >= samples:
            continue
        assert source is not None, "pictures made of noise have a page of their own: `noise.fixed_page`"
        columns = [(batch.source, source), *((o, target) for o in outputs.values()), (batch.target, target)]
        columns += [(output, source) for output in outputs_back.values()]
        for i in range(min(len(batch), samples - len(rows))):
            cells = [displayable(quantize(x[i : i + 1], spec)[0].cpu().numpy(), spec) for x, spec in columns]
            rows.append([shrunk(cell, largest) if largest else cell for cell in cells])
    figures = {name: {k: v / max(count, 1) for k, v in totals.items()} for name, totals in sums.items()}
    titles = ["source", *translators, "target" if paired else "a target", *(f"{name} back" for name in back)]
    return Validation(figures, sheet(rows, titles=titles) if rows else None, watches, watches_back)


def summary(figures: Figures, weights: str, baselines: Mapping[str, Figures]) -> str:
    """Figures of a model, of which `weights` tells which it was, beside those of simpler answers; in one line."""
    text = f"validation L1 {figures['l1']:.4f}, PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f} ({weights})"
    for name, words in BASELINES.items():
        if name in baselines:
            reached = baselines[name]
            text += f"; {words} reaches L1 {reached['l1']:.4f}, PSNR {reached['psnr']:.2f} dB"
    return text


def constant(output: Tensor) -> Translate:
    """A translator that always answers `output` `[1, C, H, W]`, whatever it is asked, at the target's size."""
    return lambda batch: _stretched(output, batch.target).to(batch.target.device).expand(len(batch), -1, -1, -1)


def best_colour_map(batches: Iterable[Batch]) -> Translate:
    """The affine map of each channel, `a * source + b`, that brings sources nearest to their targets (least squares).

    Fitted on the very pairs that it is judged on: what recolouring alone can reach at most. Sources and targets have as
    many channels.
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


def _seen(values: Tensor, spec: ImageSpec) -> Tensor:
    """What figures are taken of: label maps as the colours they will be written in, images as they are."""
    if spec.kind == "image":
        return values
    return quantize(values, spec).permute(0, 3, 1, 2) / 127.5 - 1


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
