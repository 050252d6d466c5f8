"""Pairs as examples: a source, and the target that it should become.

All randomness of an example is a pure function of (seed, epoch, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from translate.datasets.derive import amount_for, derive, derived_spec
from translate.datasets.examples import NOTHING, Example, Key, generator
from translate.datasets.examples import cache as caches
from translate.datasets.examples.cache import CachedDataset, growing_bytes
from translate.datasets.examples.conditions import ExampleConditions
from translate.datasets.examples.transforms import Augment, Pixels, pair_for_validation, to_load_size
from translate.datasets.packed import packed
from translate.datasets.pairs import Pair
from translate.datasets.regions import read_pair
from translate.images import ImageSpec
from translate.settings import DataSettings


class PairDataset(CachedDataset):
    """Pairs read, resized, and either augmented (training) or as validation takes them.

    Validation pictures are resized to `size` (fit stretch), or to the smallest that covers it (cover), and their middle
    is taken; with none they are whole, or, with `val_crop`, their middle, of which a smaller one is mirrored outwards.

    Args:
        pairs: what to read; all with a source, or none where the settings say how to derive it.
        source, target: what the pictures are, as prepared from the data.
        train: augment, with load_size; else what validation takes.
        seed: of the augmentation. Validation has its own: runs of any seed are compared on the same pictures.
        cache: the decoded pairs at load size, in the order of `pairs`; see `with_cache`.
        example_conditions: labels, texts and codes of `pairs`, in their order.
        scale: times that the target is as large as the source. Validation pictures that are whole lose what is left
            over where the source is made of them.

    Raises:
        ValueError: a setting that does not go with these pictures.
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
        cache: caches.Cache | None = None,
        example_conditions: ExampleConditions | None = None,
        scale: int = 1,
    ) -> None:
        derived = settings.derive is not None
        assert all(pair.target is not None for pair in pairs), "one side alone is for UnpairedDataset"
        assert all((pair.source is None) == derived for pair in pairs), "pairs and --derive disagree"
        if settings.derive is not None:
            amount_for(settings.derive, settings.derive_amount)
            assert derived_spec(settings.derive, target) == source, "the source's spec is not --derive's"
        assert cache is None or len(cache) == len(pairs), "this cache is of other pairs"
        self.pairs = packed(pairs)
        self.settings = settings
        self.source, self.target = source, target
        self.train = train
        self.load_size = settings.resize_to if train else settings.size
        self._seed = seed
        self._cache: caches.Cache | caches.GrowingCache | None = cache
        self._conditions = example_conditions
        self._scale = scale
        shown = 1 if derived else scale  # of what is cropped together
        self._augment = Augment(settings, source=source, target=target, scale=shown) if train else None

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> Pixels:
        """The pair at load size, read from its files: the part that does not change from epoch to epoch.

        Raises:
            ImageError: a file that cannot be read, or source and target whose sizes do not belong together.
        """
        pair = self.pairs[index]
        source, target = read_pair(pair, source=self.source, target=self.target, max_pixels=self.settings.max_pixels)
        labels = (self.source.kind == "labels", self.target.kind == "labels")
        nodata = (self.source.nodata, self.target.nodata)
        assert pair.target is not None
        name = str(pair.target.path)
        return to_load_size(
            *(source, target),
            fit=self.settings.fit,
            size=self.load_size,
            labels=labels,
            nodata=nodata,
            scale=self._scale,
            name=name,
        )

    def __getitem__(self, key: Key) -> Example:
        """The example of pair `index` in pass `epoch`; validation examples are the same in each.

        Raises:
            ImageError: as `load`.
        """
        epoch, index = key
        source, target = self.load(index) if self._cache is None else self._cached(index)
        if self._augment is not None:
            rng = generator(self._seed, epoch, index)
            source, target = self._augment.geometry(source, target, rng=rng)
            if source is not None:
                source = self._augment.photometric(source, self.source, rng=rng)
            else:  # relit before, not after: outlines and masks stay what they are
                source = self._derived(self._augment.photometric(target, self.target, rng=rng), rng)
        else:
            rng = generator(0, index)
            source, target = pair_for_validation(source, target, self.settings, scale=self._scale)
            source = self._derived(target, rng) if source is None else source
        condition = self._conditions.of_pair(epoch, index) if self._conditions else NOTHING
        return Example({"source": source, "target": target}, self.pairs[index].name, condition)

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        self._cache = caches.fill(
            lambda index: tuple(pixels for pixels in self.load(index) if pixels is not None),
            settings=self.settings,
            names=[pair.name for pair in self.pairs],
            specs=[self.target] if self.settings.derive else [self.source, self.target],
            size=self.load_size,
            folder=folder,
            fingerprint=fingerprint,
            progress=progress,
        )

    @property
    def growing(self) -> int:
        return growing_bytes(self._cache)

    def _cached(self, index: int) -> Pixels:
        assert self._cache is not None
        item = self._cache[index]
        return (None, item[0]) if len(item) == 1 else (item[0], item[1])

    def _derived(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        assert self.settings.derive is not None
        amount = self.settings.derive_amount
        return derive(self.settings.derive, target, spec=self.target, amount=amount, rng=rng, scale=self._scale)
