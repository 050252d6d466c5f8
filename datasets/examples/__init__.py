"""The examples that every dataset gives, and their random generators. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

Key = tuple[int, int]
"""(epoch, index): which pass over the data, and which of its examples."""

NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


class Example(NamedTuple):
    """Pictures as they go into a batch. The arrays may be views of a cache: do not write to them."""

    # [H, W, C] each, as its spec says: a crop, or in validation a whole picture, without pairs each of another H and W
    pictures: Mapping[str, np.ndarray]
    name: str
    condition: Mapping[str, np.ndarray] = NOTHING  # by name; see `examples.conditions`

    @property
    def source(self) -> np.ndarray:
        """`[H, W, Cs]`; only where there is one."""
        return self.pictures["source"]

    @property
    def target(self) -> np.ndarray:
        """`[H * scale, W * scale, Ct]`."""
        return self.pictures["target"]


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that are a pure function of `seed` and `key`; another key gives independent ones."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
