"""A backend in a few lines of numpy, so that everything around the network is tested without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from translate.card import Card
from translate.images import ImageSpec
from translate.inference.backend import NO_CONDITIONS, Condition


class Inverter:
    """Black becomes white; colours become gray if the target is, and the other way round."""

    def __init__(self, card: Card, *, fits: int = 10**9, after: Callable[[int], None] | None = None) -> None:
        self.card = card
        self.device = "cpu"
        self.fits = fits  # pixels that may go through together
        self.after = after  # called with the number of passes at the end of each
        self.batches: list[tuple[int, ...]] = []  # what came in

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        source, target = self.card.source, self.card.target
        assert images.dtype == source.dtype
        assert images.shape[3] == source.channels
        self.batches.append(images.shape)
        if images[..., 0].size > self.fits:
            raise MemoryError("too large")
        share = 1 - (images.astype(np.float64) - source.low) / (source.high - source.low)
        if source.channels != target.channels:
            share = share.mean(-1, keepdims=True).repeat(target.channels, -1)
        made = share * (target.high - target.low) + target.low
        made = made if target.dtype == "float32" else made.round()
        if self.after is not None:
            self.after(len(self.batches))
        return made.astype(target.dtype).repeat(self.card.scale, 1).repeat(self.card.scale, 2)


FULL = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def spec(channels: int = 3, dtype: str = "uint8", **changes: Any) -> ImageSpec:
    return ImageSpec(**{"channels": channels, "dtype": dtype, "high": FULL[dtype], **changes})


def make_card(source: ImageSpec | None = None, target: ImageSpec | None = None, **changes: Any) -> Card:
    return Card(**{"model": "pix2pix", "source": source or spec(), "target": target or spec(), "size": 64, **changes})


@pytest.fixture(scope="session")
def inverter() -> Callable[..., Inverter]:
    """Makes a backend: `inverter((channels, dtype), (channels, dtype), fits=..., after=..., scale=1)`."""

    def make(
        source: tuple[int, str] = (3, "uint8"),
        target: tuple[int, str] = (3, "uint8"),
        *,
        card: Card | None = None,
        fits: int = 10**9,
        after: Callable[[int], None] | None = None,
        **changes: Any,
    ) -> Inverter:
        card = card or make_card(spec(*source), spec(*target), **changes)
        return Inverter(card, fits=fits, after=after)

    return make


@pytest.fixture(scope="session")
def card() -> Callable[..., Card]:
    """Makes a card: `card(source=ImageSpec, target=ImageSpec, ...)`."""
    return make_card


@pytest.fixture(scope="session")
def texture() -> np.ndarray:
    """`[13, 17, 3]` uint8, the same every time."""
    return np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
