"""Baselines and their figures; a model has to beat them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, RawBatch, missing, normalize
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared
from translate.evaluation.base import Examples, Figures, Measure
from translate.evaluation.measures import MEASURES
from translate.images import ImageSpec
from translate.settings import DataSettings
from translate.training.outputs import ModelOutputs, Translate
from translate.training.validation import validate

TRAINING_PICTURES = 1000  # training pairs that baselines are made of, at most
MEAN_PIXELS = 2**22  # of the mean target, at most
FITTED_PIXELS = 64  # to a side of a picture, for the recolouring: its pixels on a grid
THUMBNAIL = 16  # pixels to a side, in which the nearest source is looked for
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def baseline_figures(
    data: Prepared,
    validation: Callable[[], Iterator[Batch]],
    examples: Examples,
    *,
    settings: DataSettings,
    seed: int,
) -> dict[str, Figures]:
    """The figures of each baseline on the validation pictures, which `validation` gives anew at each call.

    Without true pairs to validate on these are figures of sets alone, of the source itself and of training targets.
    """
    measures = {
        name: measure
        for name, measure in MEASURES.items()
        if not measure.apart and {"pairs", "features"} & set(measure.needs) and examples.lack(measure.needs) is None
    }
    sets = {name: measure for name, measure in measures.items() if "pairs" not in measure.needs}
    guesses = source_itself(data.source, data.target, scale=data.scale)
    if data.val_paired and data.source is not None:
        guesses |= of_training_pairs(data, validation, settings=settings, seed=seed)
    found = validate(
        {name: ModelOutputs(guess) for name, guess in guesses.items()},
        validation() if guesses and measures else (),
        examples=examples,
        measures=measures,
    ).figures()
    real = _real(data, validation, examples, sets, settings=settings, seed=seed)
    return {name: figures for name, figures in found.items() if figures} | real


def source_itself(source: ImageSpec | None, target: ImageSpec, *, scale: int) -> dict[str, Translate]:
    """The baseline that gives the source back as if it were an output, `source`, or `bicubic` if targets are larger.

    None where neither kind of picture has a place for the other.
    """
    itself = None if source is None else as_target(source, target)
    if itself is None:
        return {}
    return {"source": lambda batch: itself(batch.source)} if scale == 1 else {"bicubic": lambda x: itself(enlarged(x))}


def of_training_pairs(
    data: Prepared, validation: Callable[[], Iterator[Batch]], *, settings: DataSettings, seed: int
) -> dict[str, Translate]:
    """Baselines for validation pairs that are made of the training pairs, `TRAINING_PICTURES` at most."""
    assert data.source is not None
    specs = {"source": data.source, "target": data.target}
    targets = [pair for pair in data.train if pair.target is not None][:TRAINING_PICTURES]
    in_pairs = data.kind == "pairs"
    sources = [] if in_pairs else [pair for pair in data.train if pair.target is None][:1]
    unaugmented = replace(data, val=(*sources, *targets), val_paired=in_pairs)
    dataset = make_dataset(unaugmented, settings=settings, part="val", seed=seed)
    recolouring, nearest = Recolouring(), Nearest()

    def seen(batches: Iterable[RawBatch]) -> Iterator[RawBatch]:
        """The same batches, which the other baselines of training pairs see in passing."""
        for raw in batches:
            if in_pairs:
                batch = raw.to(torch.device("cpu"), specs)
                recolouring.add(batch)
                nearest.add(batch)
            yield raw

    guesses = {"mean_target": constant(mean_target(seen(ordered_batches(dataset, batch=1)), data.target))}
    if in_pairs:
        guesses["nearest"] = nearest.found(
            lambda place: normalize(torch.from_numpy(dataset[0, place].target[None].copy()), data.target)
        )
    else:
        for batch in validation():
            recolouring.add(batch)
    return guesses | {"colour_map": recolouring.fitted()}


def _real(
    data: Prepared,
    validation: Callable[[], Iterator[Batch]],
    examples: Examples,
    sets: dict[str, type[Measure]],
    *,
    settings: DataSettings,
    seed: int,
) -> dict[str, Figures]:
    """Training targets against as many validation targets: what real pictures reach in figures of sets."""
    if not sets or examples.targets is None:
        return {}
    every = list({pair.target: pair for pair in data.train if pair.target is not None}.values())
    count = min(len(every), examples.targets)
    chosen = [every[i * len(every) // count] for i in range(count)]  # from the whole of the set
    sources = [pair for pair in data.train if pair.target is None][:1]  # of unpaired sets, which have both sides
    dataset = make_dataset(
        replace(data, val=(*sources, *chosen), val_paired=data.kind == "pairs"),
        settings=settings,
        part="val",
        seed=seed,
    )
    places = iter(range(count))

    def next_ones(batch: Batch) -> Tensor:
        taken = list(islice(places, len(batch))) or [count - 1]  # later ones are not counted
        made = [normalize(torch.from_numpy(dataset[0, i].target[None].copy()), data.target) for i in taken]
        return torch.cat(made + made[-1:] * (len(batch) - len(made))).to(batch.target.device)

    found = validate(
        {"real": ModelOutputs(next_ones)},
        validation(),
        examples=replace(examples, sources=count, targets=count),
        measures=sets,
    ).figures()
    return {name: figures for name, figures in found.items() if figures}


def as_target(source: ImageSpec, target: ImageSpec) -> Callable[[Tensor], Tensor] | None:
    """Sources `[B, Cs, H, W]` as pictures with the channels of targets; None where neither has a place for the other.

    Gray is repeated, and colour becomes its brightness; other numbers of channels have to be equal.
    """
    given, wanted = source.network_channels, target.network_channels
    if any(spec.kind == "labels" and spec.one_hot for spec in (source, target)):
        return None
    if given == wanted:
        return lambda pictures: pictures
    if given == 1:
        return lambda pictures: pictures.expand(-1, wanted, -1, -1)
    if (given, wanted) == (3, 1):
        return lambda pictures: (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return None


def constant(output: Tensor) -> Translate:
    """Returns `output` `[1, C, H, W]` for every picture, at the target's size."""
    return lambda batch: _stretched(output, batch.target).to(batch.target.device).expand(len(batch), -1, -1, -1)


def enlarged(batch: Batch) -> Tensor:
    """The sources of a batch, enlarged to the size of their targets (bicubic)."""
    size = batch.target.shape[-2:]
    return F.interpolate(batch.source, size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


class Recolouring:
    """The affine map from all channels of a source's pixel to those of its target, by least squares over pairs.

    Fitted on training pairs; where a set has none, on the validation pairs themselves, as the upper bound.
    """

    def __init__(self) -> None:
        self._squares: Tensor | None = None  # [Cs + 1, Cs + 1] float64
        self._products: Tensor | None = None  # [Cs + 1, Ct]

    def add(self, batch: Batch) -> None:
        """Take in pairs: of large pictures the pixels on a grid."""
        source = enlarged(batch) if batch.scale > 1 else batch.source
        step = -(-max(source.shape[-2:]) // FITTED_PIXELS)
        # [B, h, w, C], on the CPU as MPS has no float64
        x, y = (side[..., ::step, ::step].movedim(1, -1).cpu().double() for side in (source, batch.target))
        counted = torch.ones_like(x[..., 0], dtype=torch.bool)
        if batch.valid is not None:
            counted = batch.valid[:, 0, ::step, ::step].cpu()
        x = F.pad(x[counted], (0, 1), value=1.0)  # [N, Cs + 1]
        squares, products = x.T @ x, x.T @ y[counted]
        self._squares = squares if self._squares is None else self._squares + squares
        self._products = products if self._products is None else self._products + products

    def fitted(self) -> Translate:
        """The map, of any batch."""
        assert self._squares is not None
        assert self._products is not None
        # channels may be the same, so that there is no inverse
        weights = (torch.linalg.pinv(self._squares, rtol=1e-10, hermitian=True) @ self._products).float()

        def recoloured(batch: Batch) -> Tensor:
            source = enlarged(batch) if batch.scale > 1 else batch.source
            slopes, shift = weights.to(source.device)[:-1], weights.to(source.device)[-1]
            return (torch.einsum("bchw,cd->bdhw", source, slopes) + shift[:, None, None]).clamp(-1, 1)

        return recoloured


class Nearest:
    """The target of the training pair whose source is nearest: squared distance of thumbnails, over all pixels."""

    def __init__(self) -> None:
        self._sources: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        """Take in training pairs."""
        self._sources.append(_thumbnails(batch.source))

    def found(self, target: Callable[[int], Tensor]) -> Translate:
        """`target`: the target of a training pair `[1, C, H, W]`, by its place."""
        sources = torch.cat(self._sources)

        def nearest(batch: Batch) -> Tensor:
            places = torch.cdist(_thumbnails(batch.source), sources).argmin(1).tolist()
            made = [_stretched(target(place), batch.target) for place in places]
            return torch.cat(made).to(batch.target.device)

        return nearest


def _thumbnails(pictures: Tensor) -> Tensor:
    """`[B, C, H, W]` -> `[B, C * THUMBNAIL ** 2]` on the CPU."""
    return F.adaptive_avg_pool2d(pictures.float().cpu(), THUMBNAIL).flatten(1)


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
