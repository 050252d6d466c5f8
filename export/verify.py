"""Compares an exported file with its network: both have to give the same pixels. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from translate.card import Card
from translate.export.pictures import Size, cropped, is_flat, textured
from translate.images import ImageSpec

Run = Callable[[np.ndarray], np.ndarray]
"""`[N, H, W, Cs]` of the source's dtype -> the output for it, of any layout."""

SIZES: tuple[Size, ...] = ((1, 8, 8), (3, 33, 47), (1, 130, 90))
"""Batch, height and width of the random pictures, beside one of the training's size."""

COUNTS = (1, 5, 2)
"""Batch sizes for a model that generates from noise."""

FLAT_SIZES: tuple[Size, ...] = ((1, 16, 24), (2, 1, 1), (1, 1, 9))
"""Flat pictures only have to run: instance norm amplifies their rounding without bound, in PyTorch too."""


@dataclass(frozen=True)
class Tolerance:
    """How much a file may differ from the network."""

    psnr: float | None = None  # dB over all judged pictures; None: no value differs by more than `levels`
    changed: float = 0.001  # share of a label map's pixels: a class may change where two scores are almost equal
    levels: float = 1.0  # of 255, without a PSNR


EXACT = Tolerance()


class NotTheSame(RuntimeError):
    """The exported graph differs from the network. The message says by how much."""


def not_finite(what: str, where: str) -> NotTheSame:
    """The error for NaN or infinity, which can become any pixel when cast to integers."""
    return NotTheSame(f"nothing was written: {what} gives values that are not finite (NaN or infinity) {where}")


@dataclass(frozen=True)
class Check:
    """Difference of file and network over all judged pictures, in levels of 255 of the output's range."""

    runtime: str  # library and device that run the file
    reference: str  # library and device that run the network
    sizes: tuple[Size, ...]  # of the judged pictures
    largest: float  # difference of a value, levels
    mean: float  # difference, levels
    psnr: float | None  # dB; None if all are equal
    flat: float  # largest difference of pictures that are not judged, levels: flat or one pixel wide
    changed: float | None = None  # label maps: share of the pixels with another class
    real: int = 0  # real pictures among the judged
    random: bool = True  # whether the random ones are judged
    speed: float | None = None  # times as fast as the same graph in float32 on the device

    def describe(self) -> str:
        """The figures as a line of text."""
        likeness = "equal" if self.psnr is None else f"PSNR {self.psnr:.1f} dB"
        figures = f"at most {self.largest:.3g} of 255 levels apart, mean {self.mean:.2g}, {likeness}"
        if self.changed is not None:
            figures = f"{self.changed:.3%} of the pixels of another class"
        count = len(dict.fromkeys(self.sizes))
        real = f"{self.real or 'no'} real picture{'s' * (self.real != 1)}"
        text = f"{self.runtime} against {self.reference}: {figures} ({count} sizes, {real}; "
        text += f"not judged: flat{'' if self.random else ' and random'} ones, at most {self.flat:.3g})"
        return text if self.speed is None else f"{text}; {self.speed:.2g} times as fast as float32"

    def to_json(self) -> dict[str, Any]:
        """The figures for the file's metadata."""
        return asdict(self)


def verify(
    candidate: Run,
    reference: Run,
    card: Card,
    *,
    names: tuple[str, str],
    output: ImageSpec | None = None,
    real: Sequence[np.ndarray] = (),
    random: bool = True,
    tolerance: Tolerance = EXACT,
) -> Check:
    """Compare the file with the network on random textured pictures of several sizes, on real ones and on flat ones.

    Args:
        names: what runs the candidate, and what runs the reference.
        output: kind of their outputs; None for the card's target.
        real: pictures `[H, W, Cs]` of the source's dtype; the first is also tried at odd sides, and three together.
        random: judge by the random pictures; else they only have to run, as the flat ones.
        tolerance: how close they have to be.

    Raises:
        NotTheSame: a result has the wrong shape or type, or differs more than `tolerance`: with one level of 255
            (or, where a level of the pictures is more than that, one of those), or a share of a label map's pixels.
    """
    target = output or card.target
    step = 255 / (target.spans if target.bands else target.high - target.low)  # [C], or one for all channels
    judged, differences, flat = [], [], 0.0
    for batch, counts in trials(card, real=real, random=random):
        difference = _differences(candidate, reference, batch, nan=target.nodata == "nan") * step
        if counts:
            height, width = batch.shape[1:3] if card.source is not None else card.size
            judged.append((len(batch), height, width))
            differences.append(difference)
        else:
            flat = max(flat, float(difference.max()))
    every = np.concatenate([difference.ravel() for difference in differences])
    power = float(np.square(every).mean())
    labels = target.kind == "labels"
    check = Check(
        runtime=names[0],
        reference=names[1],
        sizes=tuple(judged),
        largest=float(every.max()),
        mean=float(every.mean()),
        psnr=10 * math.log10(255**2 / power) if power else None,
        flat=flat,
        changed=float(np.mean(np.concatenate([d.any(-1).ravel() for d in differences]))) if labels else None,
        real=sum(not is_flat(picture[None], card.taken) for picture in real),
        random=random,
    )
    if not _within(check, tolerance, level=0.0 if target.dtype == "float32" else float(np.max(step))):
        problem = "would not give the same pixels" if tolerance.psnr is None else "would be too far from the network"
        raise NotTheSame(f"nothing was written, since the file {problem}: {check.describe()}")
    return check


def _within(check: Check, tolerance: Tolerance, *, level: float) -> bool:
    """Whether the figures are within the tolerance; `level`: one level of the pictures, in levels of 255."""
    if check.changed is not None:
        return check.changed <= tolerance.changed
    if tolerance.psnr is not None:
        return check.psnr is None or check.psnr >= tolerance.psnr
    return check.largest <= max(tolerance.levels, level) * (1 + 1e-6)


def trials(card: Card, *, real: Sequence[np.ndarray] = (), random: bool = True) -> Iterator[tuple[np.ndarray, bool]]:
    """Batches `[N, H, W, Cs]`, each with whether it is judged: `random` ones, `real` ones and flat ones."""
    if card.source is None:  # numbers, from which noise is drawn
        yield from ((np.arange(count), True) for count in COUNTS)
        return
    rng = np.random.default_rng(0)
    for size in dict.fromkeys((*SIZES, (1, *card.source_size))):
        yield textured(rng, card.taken, size), random
    for batch in cropped(real):
        yield batch, not is_flat(batch, card.taken)
    for count, height, width in FLAT_SIZES:
        yield textured(rng, card.taken, (count, 1, 1)).repeat(height, 1).repeat(width, 2), False


def _differences(candidate: Run, reference: Run, pictures: np.ndarray, *, nan: bool) -> np.ndarray:
    """Differences, in the output's own units and shape; with `nan`, NaN in both is no data and equal."""
    made, expected = candidate(pictures), reference(pictures)
    if made.shape != expected.shape or made.dtype != expected.dtype:
        raise NotTheSame(
            f"nothing was written: for pictures {list(pictures.shape)} the file gives {made.dtype} {list(made.shape)} "
            f"in place of {expected.dtype} {list(expected.shape)}"
        )
    empty = np.isnan(made) & np.isnan(expected) if nan else np.zeros((), bool)
    for what, values in (("the network", expected), ("the file", made)):
        if not (np.isfinite(values) | empty).all():
            raise not_finite(what, f"for pictures {list(pictures.shape)}")
    differences = np.abs(made.astype(np.float64) - expected.astype(np.float64))
    return np.where(empty, 0, differences)
