"""Label maps: classes right and wrong by pixel; and photos, judged by the label maps that a model sees in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, nearest_entry, quantize
from translate.evaluation.base import Examples, Figures, Measure, Need
from translate.evaluation.kid import jackknife
from translate.figures import JUDGED, LABEL_MAPS
from translate.images import ImageSpec

MOST_CLASSES = 1024  # of a palette: a confusion matrix has the square
MOST_COLOURS = 64  # of label maps with noise
FLAT = 16  # levels, at most, within the 3 x 3 pixels around one that is inside an area of a class
SHADE = 24  # levels in every channel within which two colours are one with JPEG noise
CORE = 8  # levels around a class's own colour within which its flat pixels are
MIN_SHARE = 0.0005  # of the pixels, which are flat and in a colour's core
MIN_COVERED = 0.4  # share of all pixels in some core: of facades 0.62, at 64 pixels 0.56; of their photos 0.19
SHOWN_CLASSES = 3  # the worst, in messages

Palette = tuple[tuple[int, ...], ...]


class Confusion:
    """Counts of pixels by their class in truth (rows) and in the output (columns), summed and picture by picture.

    With t_i pixels of class i in truth, p_i in the outputs and n_ii in both (Long 2015):
    pixel accuracy = sum n_ii / sum t_i; class accuracy = mean of n_ii / t_i; IoU of a class =
    n_ii / (t_i + p_i - n_ii), and its mean. Means are over the classes that are in the truth.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.matrix = torch.zeros(classes, classes, dtype=torch.int64)
        self._parts: list[Tensor] = []  # [3, K] of each picture: n_ii, t_i and p_i

    def add(self, output: Tensor, truth: Tensor, *, valid: Tensor | None = None) -> None:
        """Take in classes `[B, H, W]` int64; of pixels that are `valid` `[B, H, W]` bool only."""
        pairs = truth * self.classes + output
        for i in range(len(pairs)):
            chosen = pairs[i].flatten() if valid is None else pairs[i][valid[i]]
            matrix = torch.bincount(chosen, minlength=self.classes**2).view(self.classes, -1).cpu()
            self.matrix += matrix
            self._parts.append(_parts(matrix))

    def figures(self) -> Figures:
        """`pixel_accuracy`, `class_accuracy` and `miou`, shares; empty without pixels."""
        found = {name: float(value) for name, value in _figures(_parts(self.matrix)).items()}
        return found if self.matrix.sum() else {}

    def iou(self) -> Tensor:
        """`[K]` float64, NaN for classes that the truth does not have."""
        right, truth, made = _parts(self.matrix).double()
        return torch.where(truth > 0, right / (truth + made - right), torch.nan)

    def each(self) -> list[float]:
        """Pixel accuracy of each picture; 1 for one without pixels that count."""
        return [float(right.sum() / truth.sum()) if truth.any() else 1.0 for right, truth, _ in self._parts]

    def errors(self) -> Figures:
        """Standard errors of figures that are no means over pictures, by a jackknife.

        Of class accuracy and IoU, as not every picture has every class, and of pixel accuracy where unlike numbers of
        pixels count. None of a figure that is the same without any one picture, of which nothing follows.
        """
        if len(self._parts) < 2:
            return {}
        parts = torch.stack(self._parts)  # [N, 3, K]
        without = _figures(parts.sum(0) - parts)
        alike = len(parts[:, 1].sum(1).unique()) == 1
        names = ("class_accuracy", "miou") if alike else LABEL_MAPS
        found = {name: float(jackknife(without[name]).sqrt()) for name in names}
        return {name: error for name, error in found.items() if error > 0}

    def worst(self, palette: Palette) -> str:
        """The classes of the smallest IoU, with what they are taken for, in words; empty for fewer than two classes."""
        iou = self.iou()
        order = [int(i) for i in iou.nan_to_num(2.0).argsort(stable=True) if not iou[i].isnan()]
        if len(order) < 2:
            return ""
        texts = []
        for i in order[:SHOWN_CLASSES]:
            row = self.matrix[i]
            wrong = row.clone()
            wrong[i] = 0
            text = f"{_named(palette[i])} IoU {iou[i]:.2f} ({_share(row.sum() / self.matrix.sum())} of the pixels"
            if wrong.any():
                most = int(wrong.argmax())
                text += f", {_share(wrong[most] / row.sum())} of them taken for {_named(palette[most])}"
            texts.append(f"{text})")
        return f"worst classes: {'; '.join(texts)}"


def classes_of(values: Tensor, spec: ImageSpec) -> Tensor:
    """Classes `[B, H, W]` int64 of label maps as the network has them, `[B, C or K, H, W]` in [-1, 1]."""
    if spec.one_hot:
        return values.argmax(1)
    return nearest_entry((values.float().permute(0, 2, 3, 1) + 1) * 127.5, spec)


def palette_of(maps: Iterable[Tensor]) -> Palette:
    """The classes' colours in label maps with noise, such as JPEG's.

    Colours are taken by their number of pixels inside of flat areas, each with its shades: a blend at the border of two
    classes has no area. On 100 label maps of facades, as their files are, that gives the 12 colours of the set; reduced
    to 64 pixels, those of the rare thin parts are missing. So give the files at their own size.

    Args:
        maps: pixels `[B, H, W, 1 or 3]` from 0 to 255, of some dozens of pictures.

    Raises:
        ValueError: there are none, or they are photos.
    """
    every: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    channels = 1
    for pixels in maps:
        channels = pixels.shape[-1]
        packed = torch.zeros(pixels.shape[:-1], dtype=torch.int64, device=pixels.device)
        for band in pixels.round().clamp(0, 255).long().unbind(-1):
            packed = packed << 8 | band
        x = pixels.float().permute(0, 3, 1, 2)
        spread = F.max_pool2d(x, 3, stride=1, padding=1) + F.max_pool2d(-x, 3, stride=1, padding=1)
        for counts, chosen in ((every, packed.flatten()), (inside, packed[(spread <= FLAT).all(1)])):
            found = chosen.unique(return_counts=True)
            counts.update(dict(zip(*(values.tolist() for values in found), strict=True)))
    if not every:
        raise ValueError("there are no label maps to take the classes' colours from")
    total = every.total()
    kept: list[tuple[int, ...]] = []
    if inside:
        colours, counts_inside = _unpacked(inside, channels)
        free = torch.ones(len(colours), dtype=torch.bool)
        while free.any() and len(kept) < MOST_COLOURS:
            first = colours[int(free.long().argmax())]  # the most frequent of those left
            away = (colours - first).abs().amax(1)
            if counts_inside[free & (away <= CORE)].sum() >= MIN_SHARE * total:
                kept.append(tuple(first.tolist()))
            free &= away > SHADE
    colours, counts_every = _unpacked(every, channels)
    covered = torch.zeros(len(colours), dtype=torch.bool)
    for colour in kept:
        covered |= (colours - torch.tensor(colour)).abs().amax(1) <= CORE
    share = counts_every[covered].sum() / total
    if share < MIN_COVERED or len(kept) < 2:
        raise ValueError(
            f"these are no label maps: {_share(share)} of their pixels have one of {len(kept)} main colours, and it "
            f"takes {MIN_COVERED:.0%} and 2"
        )
    return tuple(sorted(kept))


def _unpacked(counts: Counter[int], channels: int) -> tuple[Tensor, Tensor]:
    """Colours `[N, C]` and their pixels `[N]`, the most frequent first."""
    packed, numbers = (torch.tensor(x, dtype=torch.int64) for x in zip(*counts.most_common(), strict=True))
    return torch.stack([packed >> 8 * band & 255 for band in reversed(range(channels))], 1), numbers


class LabelFigures(Measure):
    """Accuracy and IoU of outputs that are label maps."""

    needs: ClassVar[tuple[Need, ...]] = ("pairs", "label maps")
    better = LABEL_MAPS
    shown: ClassVar[Mapping[str, str]] = dict.fromkeys(LABEL_MAPS, "{:.3f}")

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        palette = examples.target.palette
        assert palette is not None
        self.confusion = Confusion(len(palette)) if len(palette) <= MOST_CLASSES else None

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        if self.confusion is not None:
            output, truth = (classes_of(x, self.examples.target) for x in (outputs["output"], batch.target))
            self.confusion.add(output, truth, valid=None if batch.valid is None else batch.valid[:, 0])

    def figures(self) -> Figures:
        return self.confusion.figures() if self.confusion else {}

    def each(self) -> dict[str, list[float]]:
        return {"pixel_accuracy": self.confusion.each()} if self.confusion else {}

    def errors(self) -> Figures:
        return self.confusion.errors() if self.confusion else {}

    def left_out(self) -> dict[str, str]:
        if self.confusion is not None:
            return {}
        classes = len(self.examples.target.palette or ())
        return dict.fromkeys(LABEL_MAPS, f"the label maps have {classes} colours, more than {MOST_CLASSES}")

    def describe(self) -> str:
        palette = self.examples.target.palette
        return self.confusion.worst(palette) if self.confusion and palette else ""


class JudgeFigures(Measure):
    """FCN score of photos made of label maps (Isola 2017): how much of its label map a judge finds in the photo.

    Figures are those of `Confusion`, between the judge's label map of an output and the source. The judge on the real
    photos is the ceiling.
    """

    needs: ClassVar[tuple[Need, ...]] = ("pairs", "judge")
    better = JUDGED
    shown: ClassVar[Mapping[str, str]] = dict.fromkeys(JUDGED, "{:.3f}")

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        assert examples.judge is not None
        assert examples.source is not None
        self._judge, self._source = examples.judge, examples.source
        palette = self._judge.palette
        self._classes = ImageSpec(channels=len(palette[0]), kind="labels", palette=palette)
        self.confusion, self.ceiling = Confusion(len(palette)), Confusion(len(palette))

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        truth = nearest_entry(quantize(batch.source, self._source), self._classes)
        for confusion, pictures in ((self.confusion, outputs["output"]), (self.ceiling, batch.target)):
            found = self._judge.label_maps(quantize(pictures, self.examples.target))
            classes = nearest_entry(found.to(truth.device), self._classes)
            if classes.shape != truth.shape:
                raise ValueError(
                    f"--judge: its label maps are {_size(classes)}, and the sources {_size(truth)}: it takes a model "
                    "that keeps the size, and sources as large as the targets"
                )
            confusion.add(classes, truth, valid=None if batch.valid is None else batch.valid[:, 0])

    def figures(self) -> Figures:
        return _prefixed(self.confusion.figures())

    def each(self) -> dict[str, list[float]]:
        return {"fcn_pixel_accuracy": self.confusion.each()}

    def errors(self) -> Figures:
        return _prefixed(self.confusion.errors())

    def references(self) -> dict[str, Figures]:
        return {"the judge on the real targets": _prefixed(self.ceiling.figures())}

    def describe(self) -> str:
        return self.confusion.worst(self._judge.palette)


def _parts(matrix: Tensor) -> Tensor:
    """Of a confusion matrix `[K, K]`: pixels that are right, in truth and in the output, by class, `[3, K]`."""
    return torch.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)])


def _figures(parts: Tensor) -> dict[str, Tensor]:
    """Figures `[...]` of `[..., 3, K]`."""
    right, truth, made = parts.double().unbind(-2)
    there = truth > 0
    count = there.sum(-1).clamp(min=1)
    accuracy = torch.where(there, right / truth.clamp(min=1), 0)
    iou = torch.where(there, right / (truth + made - right).clamp(min=1), 0)
    return {
        "pixel_accuracy": right.sum(-1) / truth.sum(-1).clamp(min=1),
        "class_accuracy": accuracy.sum(-1) / count,
        "miou": iou.sum(-1) / count,
    }


def _prefixed(figures: Figures) -> Figures:
    return {f"fcn_{name}": value for name, value in figures.items()}


def _named(colour: Sequence[int]) -> str:
    return f"#{''.join(f'{value:02x}' for value in colour)}" if len(colour) == 3 else str(colour[0])


def _share(value: Tensor) -> str:
    return f"{float(value):.0%}" if value >= 0.01 else f"{float(value):.1%}"


def _size(classes: Tensor) -> str:
    return f"{classes.shape[-1]}x{classes.shape[-2]} pixels"
