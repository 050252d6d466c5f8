"""The contract of an exported file: ONNX Runtime gives the pixels that PyTorch gives. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from translate.card import Card
from translate.images import ImageSpec

Run = Callable[[np.ndarray], np.ndarray]
"""`[N, H, W, Cs]` of the source's dtype -> `[N, H*s, W*s, Ct]` of the target's."""

SIZES = ((1, 8, 8), (3, 33, 47), (1, 130, 90))
"""Batch, height and width of what is tried, beside one picture of the training's size."""

FLAT_SIZES = ((1, 16, 24), (2, 1, 1), (1, 1, 9))
"""Without texture instance norm amplifies rounding without bound, in PyTorch too: these only have to come through."""

TOLERANCE = 1.0  # levels of 255
CLASSES_TOLERANCE = 0.001  # share of a label map's pixels: a class may change where two were as good as equal


class NotTheSame(RuntimeError):
    """The exported graph does not do what the network does. The message says by how much."""


@dataclass(frozen=True)
class Check:
    """How far the file is from the network, over all textured pictures, in levels of 255 of the target's range."""

    runtime: str  # that gave the pixels, and where
    reference: str  # that they are compared with
    sizes: tuple[tuple[int, int, int], ...]  # batch, height and width
    largest: float  # difference of a value, levels
    mean: float  # difference, levels
    psnr: float | None  # dB; None if all are equal
    flat: float  # largest difference of pictures that are flat or one pixel wide, levels; not judged
    changed: float | None = None  # label maps: share of the pixels with another class

    def describe(self) -> str:
        """The figures in a line."""
        likeness = "equal" if self.psnr is None else f"PSNR {self.psnr:.1f} dB"
        figures = f"at most {self.largest:.3g} of 255 levels apart, mean {self.mean:.2g}, {likeness}"
        if self.changed is not None:
            figures = f"{self.changed:.3%} of the pixels of another class"
        sizes = ", ".join(f"{count}x {width}x{height}" for count, height, width in self.sizes)
        return f"{self.runtime} against {self.reference}: {figures} ({sizes}); flat pictures at most {self.flat:.3g}"

    def to_json(self) -> dict[str, Any]:
        """The same for the file's metadata."""
        return asdict(self)


def verify(candidate: Run, reference: Run, card: Card, *, names: tuple[str, str]) -> Check:
    """Compare the file with the network on random textured pictures of several sizes, and on flat ones.

    Args:
        names: what runs the candidate, and what runs the reference.

    Raises:
        NotTheSame: a result has the wrong shape or type, or differs by more than one level of 255 (or, where a level
            of the pictures is more than that, by more than one of those); of a label map, one pixel of a thousand.
    """
    rng = np.random.default_rng(0)
    sizes = tuple(dict.fromkeys((*SIZES, (1, card.size, card.size))))
    target = card.target
    apart = []
    for size in sizes:
        pictures = textured(rng, card.source, size)
        apart.append(_apart(candidate, reference, pictures, card))
    flat = 0.0
    for count, height, width in FLAT_SIZES:
        pixel = textured(rng, card.source, (count, 1, 1))
        flat = max(flat, _apart(candidate, reference, pixel.repeat(height, 1).repeat(width, 2), card).max())
    every = np.concatenate([difference.ravel() for difference in apart])
    power = float(np.square(every).mean())
    labels = target.kind == "labels"
    check = Check(
        runtime=names[0],
        reference=names[1],
        sizes=sizes,
        largest=float(every.max()),
        mean=float(every.mean()),
        psnr=10 * math.log10(255**2 / power) if power else None,
        flat=float(flat),
        changed=float(np.mean(np.concatenate([d.any(-1).ravel() for d in apart]))) if labels else None,
    )
    step = 0.0 if target.dtype == "float32" else 255 / (target.high - target.low)  # a level of the pictures' own
    if check.changed is not None:
        within = check.changed <= CLASSES_TOLERANCE
    else:
        within = check.largest <= max(TOLERANCE, step) * (1 + 1e-6)
    if not within:
        raise NotTheSame(f"nothing was written, since the file would not give the same pixels: {check.describe()}")
    return check


def _apart(candidate: Run, reference: Run, pictures: np.ndarray, card: Card) -> np.ndarray:
    """Differences `[N, H*s, W*s, Ct]`, in levels of 255."""
    made, expected = candidate(pictures), reference(pictures)
    if made.shape != expected.shape or made.dtype != expected.dtype:
        raise NotTheSame(
            f"nothing was written: for pictures {list(pictures.shape)} the file gives {made.dtype} {list(made.shape)} "
            f"in place of {expected.dtype} {list(expected.shape)}"
        )
    return np.abs(made.astype(np.float64) - expected.astype(np.float64)) * (255 / (card.target.high - card.target.low))


def textured(rng: np.random.Generator, spec: ImageSpec, size: tuple[int, int, int]) -> np.ndarray:
    """Random pictures `[N, H, W, C]` of this kind, with detail at every scale and nothing flat."""
    count, height, width = size
    bands = 1 if spec.palette else spec.channels
    share = np.zeros((count, height, width, bands))
    for cell in (1, 4, 16, 64):
        coarse = rng.random((count, -(-height // cell), -(-width // cell), bands))
        share += coarse.repeat(cell, 1).repeat(cell, 2)[:, :height, :width] / 4
    share = np.clip((share - 0.5) * 1.8 + 0.5, 0, 1)
    if spec.palette:
        classes = len(spec.palette)
        index = np.minimum((share[..., 0] * classes).astype(int), classes - 1)
        return np.array(spec.palette, spec.dtype)[index]
    values = spec.low + share * (spec.high - spec.low)
    return (values if spec.dtype == "float32" else values.round()).astype(spec.dtype)
