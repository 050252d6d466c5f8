"""Pictures of two sides as examples, without pairs: which two form an example is drawn anew in each epoch.

All randomness of an example is a pure function of (seed, epoch, index).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from translate.datasets.examples import NOTHING, Example, Key, generator
from translate.datasets.examples import cache as caches
from translate.datasets.examples.cache import CachedDataset
from translate.datasets.examples.conditions import ExampleConditions
from translate.datasets.examples.transforms import Augment, for_validation, to_load_size
from translate.datasets.packed import packed
from translate.datasets.pairs import ROLES, Pair, Role, View
from translate.datasets.regions import read_view
from translate.images import ImageSpec
from translate.settings import DataSettings

PARTNERS = 0xDA7E  # keeps the draw of the partners apart from the augmentation's
ORDERS_KEPT = 8  # two sides, and workers may be reading in two epochs at once


class UnpairedDataset(CachedDataset):
    """One picture of each side an example, resized, and each on its own augmented, or as validation takes it.

    An epoch has as many examples as the larger side has pictures. In training each of those appears once an
    epoch, and each of the smaller side as often as any other of it, or once more; both sides are shuffled anew
    in each epoch. Crops and flips are drawn for each side by itself. In validation example i has the i-th
    picture of each side, and the smaller side is gone through again.

    Args:
        pairs: pictures of either side, each a `Pair` that has one side only; some of both sides, or none at all.
        source, target: what the pictures are, as prepared from the data.
        train: augment, with load_size; else what validation takes.
        seed: of the partners and the augmentation. Validation is the same for any.
        example_conditions: codes of the examples.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        settings: DataSettings,
        source: ImageSpec,
        target: ImageSpec,
        train: bool,
        seed: int,
        example_conditions: ExampleConditions | None = None,
    ) -> None:
        assert all((pair.source is None) != (pair.target is None) for pair in pairs), "a pair among single pictures"
        self.settings = settings
        self.source, self.target = source, target
        self.train = train
        self._seed = seed
        self._conditions = example_conditions
        self._sides = tuple(
            OneSide(pairs, role=role, spec=spec, settings=settings, train=train)
            for role, spec in zip(ROLES, (source, target), strict=True)
        )
        assert len({len(side) > 0 for side in self._sides}) == 1, "pictures of one side only"

    def __len__(self) -> int:
        return max(len(side) for side in self._sides)

    def __getitem__(self, key: Key) -> Example:
        """Example `index` of pass `epoch`; validation examples are the same in each.

        Raises:
            ImageError: a file that cannot be read.
        """
        epoch, index = key
        places = [self._place(side, epoch, index) for side in self._sides]
        source, target = (
            side.take(place, rng=generator(self._seed, epoch, index, ROLES.index(side.role)))
            for side, place in zip(self._sides, places, strict=True)
        )
        name = " + ".join(side.names[place] for side, place in zip(self._sides, places, strict=True))
        condition = self._conditions.of_pair(epoch, index) if self._conditions else NOTHING
        return Example({"source": source, "target": target}, name, condition)

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        beside = (self._sides[1].bytes_needed, 0)
        self._sides = tuple(
            side.with_cache(folder=folder, fingerprint=fingerprint, beside=other, progress=progress)
            for side, other in zip(self._sides, beside, strict=True)
        )

    @property
    def growing(self) -> int:
        return sum(side.growing for side in self._sides)

    def _place(self, side: OneSide, epoch: int, index: int) -> int:
        """Which picture of `side` the example has."""
        place = index % len(side)
        return int(_order(self._seed, epoch, side.role, len(side))[place]) if self.train else place


class OneSide:
    """The pictures of one side, each read, resized and cropped on its own."""

    def __init__(
        self, pairs: Sequence[Pair], *, role: Role, spec: ImageSpec, settings: DataSettings, train: bool
    ) -> None:
        self.role: Role = role
        self._pairs = packed(pairs if all(map(self._view, pairs)) else [pair for pair in pairs if self._view(pair)])
        self._spec = spec
        self._settings = settings if role == "source" else settings.replace(photometric=0)  # of sources alone
        self._load_size = settings.resize_to if train else settings.size
        self._augment = Augment(self._settings, source=spec, target=spec) if train else None
        self._cache: caches.Cache | caches.GrowingCache | None = None

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def names(self) -> Sequence[str]:
        """Of the pictures, in order."""
        return self._pairs.names

    def _view(self, pair: Pair) -> View | None:
        return pair.source if self.role == "source" else pair.target

    def load(self, index: int) -> np.ndarray:
        """Picture `index` `[H, W, C]` at load size, read from its file.

        Raises:
            ImageError: the file cannot be read.
        """
        view, labels, nodata = self._view(self._pairs[index]), self._spec.kind == "labels", self._spec.nodata
        assert view is not None
        pixels = read_view(view, self._spec, max_pixels=self._settings.max_pixels)
        return to_load_size(
            None,
            pixels,
            fit=self._settings.fit,
            size=self._load_size,
            labels=(False, labels),
            nodata=(None, nodata),
            name=str(view.path),
        )[1]

    def take(self, index: int, *, rng: np.random.Generator) -> np.ndarray:
        """Picture `index` `[H, W, C]`: a crop augmented by draws from `rng`, or what validation takes of it."""
        pixels = self.load(index) if self._cache is None else self._cache[index][0]
        if self._augment is None:
            return for_validation(pixels, self._settings)
        pixels = self._augment.geometry(None, pixels, rng=rng)[1]
        return self._augment.photometric(pixels, self._spec, rng=rng)

    @property
    def bytes_needed(self) -> int:
        """Size of the cache of this side."""
        slot = caches.Slot((*self._load_size, self._spec.channels), self._spec.dtype)
        return caches.bytes_needed(len(self), [slot])

    @property
    def growing(self) -> int:
        """Bytes of its cache, if that is filled as pictures are read."""
        return caches.growing_bytes(self._cache)

    def with_cache(self, *, folder: Path | None, fingerprint: str, beside: int, progress: bool) -> OneSide:
        filled = copy.copy(self)
        filled._cache = caches.fill(
            lambda index: (self.load(index),),
            settings=self._settings,
            names=self.names,
            specs=[self._spec],
            size=self._load_size,
            folder=folder,
            fingerprint=fingerprint,
            what=f"{self.role}s",
            beside=beside,
            progress=progress,
        )
        return filled


@functools.lru_cache(maxsize=ORDERS_KEPT)
def _order(seed: int, epoch: int, role: Role, count: int) -> np.ndarray:
    """The pictures `[count]` of a side in the order in which an epoch goes through them; not to be written to."""
    return generator(seed, epoch, ROLES.index(role), PARTNERS).permutation(count)
