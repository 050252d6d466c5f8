"""Runs a network for the translator: raw pixels in, raw pixels out. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np

from translate.card import Card
from translate.conditions import Arrays

Condition = Mapping[str, np.ndarray]
"""Conditions of pictures, `[N, ...]`, or of one, by the names of the network's inputs: `label`, `tokens`, `z`."""

NO_CONDITIONS: Condition = MappingProxyType({})
"""Of a model that takes only a picture."""


class NotFinite(ValueError):
    """A network's output holds NaN or infinity. The message says what may help."""


Made = np.ndarray | MemoryError | NotFinite
"""Result of a picture, `[H*s, W*s, Ct]`, or the error in its place."""


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
            NotFinite: the output for a picture of the batch holds NaN or infinity.
        """


@runtime_checkable
class NoiseBackend(Protocol):
    """A loaded model that generates pictures from noise."""

    def generate(self, condition: Condition) -> np.ndarray:
        """`[N, H, W, Ct]` of the target's dtype, from noise `z` and the other `card.conditions`, `[N, ...]` each.

        Raises:
            MemoryError, NotFinite: as `Backend`.
        """


@runtime_checkable
class EncodingBackend(Protocol):
    """A loaded model that may read the code off a picture: `encodes` says whether its file holds what that takes."""

    @property
    def encodes(self) -> bool: ...

    def code_of(self, images: np.ndarray) -> np.ndarray:
        """`[N, H, W, Ct]` of the target's dtype -> codes `[N, Z]` float32."""


PASS_PIXELS = {"cpu": 2**18, "gpu": 2**20}
"""Pixels a pass by default: 4 and 16 pictures of 256x256. Small pictures are faster in a batch, since a network's
deepest layers mostly wait for their weights; for large ones a batch only takes more memory."""

MAX_BATCH_PICTURES = 16


def batch_for(height: int, width: int, *, device: str, requested: int | None) -> int:
    """Pictures of this size in one pass: `requested`, or a default."""
    if requested is not None:
        return requested
    most = PASS_PIXELS["cpu" if device.startswith("cpu") else "gpu"]
    return min(max(most // (height * width), 1), MAX_BATCH_PICTURES)


def together(conditions: Sequence[Condition]) -> Arrays:
    """Conditions of single pictures stacked to those of a batch: one more axis in front. Empty if there are none."""
    return {name: np.stack([condition[name] for condition in conditions]) for name in (conditions or ({},))[0]}


def run(backend: Backend, images: Sequence[np.ndarray], conditions: Sequence[Condition] = ()) -> list[Made]:
    """One pass over pictures of one size, `[H, W, Cs]` each; one by one where the batch fails.

    Args:
        conditions: of each picture, as `Conditions.encode` returns them; empty for an unconditional model.

    Returns a result `[H*s, W*s, Ct]` for each, or the error of each that fails alone, too.
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
    """As `run`, one pass for each picture."""
    return [
        result for index, image in enumerate(images) for result in run(backend, [image], conditions[index : index + 1])
    ]
