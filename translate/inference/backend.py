"""What runs a network for the translator: raw pixels in, raw pixels out. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np

from translate.card import Card
from translate.conditions import Arrays

Condition = Mapping[str, np.ndarray]
"""What steers pictures, `[N, ...]`, or a single one, by the names of the network's inputs: `label`, `tokens`, `z`."""

NO_CONDITIONS: Condition = MappingProxyType({})
"""For a model that takes a picture and nothing else."""


class NotFinite(ValueError):
    """A network gave NaN or infinity, which no picture can hold. The message says what may help."""


Made = np.ndarray | MemoryError | NotFinite
"""What came of a picture: the result `[H*s, W*s, Ct]`, or why there is none."""


class Backend(Protocol):
    """A loaded model. A picture's result is independent of its neighbours; threads may call it at once."""

    @property
    def card(self) -> Card:
        """What the model's file says about itself."""

    @property
    def device(self) -> str:
        """Where the network runs: `cpu`, `cuda:0`, ..."""

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        """`[N, H, W, Cs]` of the source's dtype -> `[N, H*s, W*s, Ct]` of the target's, s being `card.scale`.

        `condition` has all inputs of the network that `card.conditions` name, `[N, ...]` each: a row a picture.

        Raises:
            MemoryError: the batch does not fit on the device.
            NotFinite: what the network gives for a picture of the batch is no number.
        """


@runtime_checkable
class NoiseBackend(Protocol):
    """A loaded model that makes pictures of noise."""

    def generate(self, condition: Condition) -> np.ndarray:
        """`[N, H, W, Ct]` of the target's dtype, of noise `z` and what else `card.conditions` name, `[N, ...]` each.

        Raises:
            MemoryError, NotFinite: as `Backend`.
        """


PASS_PIXELS = {"cpu": 2**18, "gpu": 2**20}
"""Pixels a pass by default: 4 and 16 pictures of 256x256. Small pictures gain from company, since a network's
deepest layers mostly wait for their weights; large ones only need more memory for it."""

MOST_TOGETHER = 16


def batch_for(height: int, width: int, *, device: str, asked: int | None) -> int:
    """How many pictures of this size go through the network together: as many as `asked`, or a default."""
    if asked is not None:
        return asked
    room = PASS_PIXELS["cpu" if device.startswith("cpu") else "gpu"]
    return min(max(room // (height * width), 1), MOST_TOGETHER)


def together(conditions: Sequence[Condition]) -> Arrays:
    """The conditions of single pictures as those of a batch: one more axis in front. Empty of none."""
    return {name: np.stack([condition[name] for condition in conditions]) for name in (conditions or ({},))[0]}


def run(backend: Backend, images: Sequence[np.ndarray], conditions: Sequence[Condition] = ()) -> list[Made]:
    """One pass over pictures of one size, `[H, W, Cs]` each; one by one where they do not come through together.

    Args:
        conditions: of each picture, as `Conditions.encode` makes them; none of a model that is not steered.

    Returns a result `[H*s, W*s, Ct]` for each, or the error for each that does not come through alone either.
    """
    card = backend.card
    height, width = images[0].shape[:2]
    try:
        results = backend(np.stack(images), together(conditions))
    except (MemoryError, NotFinite) as error:
        if len(images) > 1:
            return one_by_one(backend, images, conditions)
        if isinstance(error, NotFinite):
            return [error]
        advice = "use a smaller picture, a device with more memory, or precision bfloat16"
        return [MemoryError(f"{width}x{height} pixels do not fit in the memory of {backend.device}: {advice}")]
    expected = (len(images), height * card.scale, width * card.scale, card.target.channels)
    assert results.shape == expected, f"the backend returned {results.shape}, not {expected}"
    assert results.dtype == card.target.dtype, f"the backend returned {results.dtype}, not {card.target.dtype}"
    return list(results)


def one_by_one(backend: Backend, images: Sequence[np.ndarray], conditions: Sequence[Condition] = ()) -> list[Made]:
    """`run`, with a pass for each picture."""
    return [
        result for index, image in enumerate(images) for result in run(backend, [image], conditions[index : index + 1])
    ]
