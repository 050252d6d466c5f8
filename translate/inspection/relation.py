"""How source and target of a set's pairs go together, learned from the pairs themselves, to find those that do not.

Each place of a picture is described by its colour and by how much it changes around it, in several widths. The
canonical correlations between these descriptions of sources and of targets (Hotelling 1936) say which of them go
together, as blue with water or an edge with an edge, at the same place of a pair. A pair is then scored by the sum over
places of what goes together. It needs no network, and knows nothing of what the pictures show. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Pictures = tuple[np.ndarray, np.ndarray]
"""A source and its target, each `[side, side, 3]` uint8."""

FIT_PAIRS = 100  # from which the relation is learned, spread over the set
COMPONENTS = 8
CELLS = 32  # a side of the grid on which pairs are scored
FITTED = 64  # a side of the grid on which the relation is learned
WIDTHS = (1.0, 2.0, 4.0)  # pixels of 128, of the edges that are looked for
SMALLEST = 1e-6


def describe(picture: np.ndarray) -> np.ndarray:
    """Descriptions `[side, side, 12]` float32 of a picture `[side, side, 3]` uint8: colour, edges, texture."""
    scale = picture.shape[0] / 128
    x = picture.astype(np.float32) / 255
    colour = cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb)
    light = colour[..., 0] - cv2.GaussianBlur(colour[..., 0], (0, 0), 8 * scale)
    layers = [*np.moveaxis(colour, -1, 0), light, np.abs(light)]
    for width in WIDTHS:
        blurred = cv2.GaussianBlur(x, (0, 0), width * scale)
        for axis in ((1, 0), (0, 1)):
            slope = cv2.Sobel(blurred, cv2.CV_32F, *axis, ksize=1, borderType=cv2.BORDER_REFLECT)
            layers.append(np.sqrt(np.abs(slope).max(-1)))
    mean = cv2.GaussianBlur(colour[..., 0], (0, 0), 3 * scale)
    square = cv2.GaussianBlur(colour[..., 0] ** 2, (0, 0), 3 * scale)
    layers.append(np.sqrt(np.maximum(square - mean * mean, 0)))
    return np.stack(layers, -1)


def pooled(maps: np.ndarray, cells: int) -> np.ndarray:
    """Means over squares: `[side, side, C]` -> `[cells, cells, C]`."""
    step = maps.shape[0] // cells
    return maps.reshape(cells, step, cells, step, -1).mean((1, 3))


@dataclass(frozen=True, eq=False)
class Half:
    """From the descriptions of one side to its canonical components."""

    mean: np.ndarray  # [side, side, C]: of all pictures at each place, which tells no pair from another
    weights: np.ndarray  # [C, COMPONENTS]

    def components(self, picture: np.ndarray) -> np.ndarray:
        """`[side, side, COMPONENTS]`, each with a mean of 0."""
        found = (describe(picture) - self.mean) @ self.weights
        return found - found.mean((0, 1))


@dataclass(frozen=True, eq=False)
class Relation:
    """The canonical components of both sides, weighted so that the product of a source's with a target's is a score.

    The score is the part of the log-likelihood ratio of "together" over "by chance" that depends on both.
    """

    source: Half
    target: Half
    correlations: np.ndarray  # [COMPONENTS]


def relation_of(pairs: Sequence[Pictures]) -> Relation:
    """The relation of the sides of `pairs`, of which a few may be wrong."""
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(len(pairs), FIT_PAIRS)).round().astype(int)]
    means, rows = [], []
    for side in (0, 1):
        maps = [describe(pair[side]) for pair in chosen]
        means.append(np.mean(maps, 0))
        cells = min(FITTED, len(means[side]))
        rows.append(np.concatenate([pooled(each - means[side], cells).reshape(-1, each.shape[-1]) for each in maps]))
    whiteners = [_whitener(np.cov(side.T)) for side in rows]
    shared = rows[0].T @ rows[1] / len(rows[0])
    left, correlations, right = np.linalg.svd(whiteners[0].T @ shared @ whiteners[1])
    kept = slice(0, COMPONENTS)
    rho = np.minimum(correlations[kept], 0.99)
    weight = np.sqrt(rho / (1 - rho**2))
    halves = [
        Half(mean, (whitener @ turn[:, kept] * weight).astype(np.float32))
        for mean, whitener, turn in zip(means, whiteners, (left, right.T), strict=True)
    ]
    return Relation(halves[0], halves[1], rho)


def _whitener(covariance: np.ndarray) -> np.ndarray:
    """The inverse square root; descriptions that a side does not have, such as colours of gray ones, stay small."""
    scale = np.sqrt(np.diag(covariance)) + SMALLEST
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale) + 1e-3 * np.eye(len(scale)))
    return np.diag(1 / scale) @ (vectors @ np.diag(values**-0.5) @ vectors.T)
