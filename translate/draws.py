"""Small random numbers of a training step, drawn for each example by itself. Imports no torch.

A model declares what it needs (`Model.draws`). The loader draws it with the batch, so that the step has no random
state. A number depends on (seed, epoch, index, name) alone: not on the rest of the batch, nor on how many processes
share it. Dropout, and noise as large as a picture, come from the device's own generator instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

STREAM = 0xD4A5  # keeps these draws apart from those of the augmentation


@dataclass(frozen=True)
class Draw:
    """A random number of each example: kind, shape and range. A plain value, which pickles."""

    kind: Literal["uniform", "normal", "integers", "permutation"]
    shape: tuple[int, ...] = ()
    high: int = 0  # integers: below it; permutation: of so many numbers, of which `shape[0]` are taken at most

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """`[*shape]`: float32 in [0, 1), float32 of N(0, 1), int64 in [0, high), or int64 all different."""
        if self.kind == "uniform":
            return rng.random(self.shape, dtype=np.float32)
        if self.kind == "normal":
            return rng.standard_normal(self.shape, dtype=np.float32)
        if self.kind == "integers":
            return rng.integers(self.high, size=self.shape)
        return rng.choice(self.high, min(self.shape[0], self.high), replace=False)


def draw_all(draws: Mapping[str, Draw], *, seed: int, epoch: int, index: int) -> dict[str, np.ndarray]:
    """The numbers of example `index` in pass `epoch`, each name from a stream of its own."""
    streams = {name: (epoch, index, STREAM, zlib.crc32(name.encode())) for name in draws}
    return {
        name: draw(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=streams[name])))
        for name, draw in draws.items()
    }
