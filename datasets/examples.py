"""What every dataset gives, and where its randomness comes from. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

Key = tuple[int, int]
"""(epoch, index): which pass over the data, and which of its examples."""

NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})

SEEDS = 0x5EED  # keeps the streams of `example_seed` apart from those of the augmentation


class Example(NamedTuple):
    """Pictures as they go into a batch. The arrays may be views of a cache: do not write to them."""

    # [H, W, C] each, as its spec says: a crop, or in validation a whole picture, without pairs each of another H and W
    pictures: Mapping[str, np.ndarray]
    name: str
    seed: int = 0  # of the model's own draws for this example; 63 bits
    condition: Mapping[str, np.ndarray] = NOTHING  # what steers it, by name, as `datasets.steering` tells

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


def example_seed(seed: int, *key: int) -> int:
    """63 bits that are a pure function of `seed` and `key`, independent of what `generator` draws."""
    words = np.random.SeedSequence(seed, spawn_key=(*key, SEEDS)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
