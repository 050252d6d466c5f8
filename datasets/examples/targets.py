"""Pictures alone as examples, for models that turn noise into pictures.

All randomness of an example is a pure function of (seed, epoch, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from translate.datasets.examples import Example, Key, generator
from translate.datasets.examples.cache import CachedDataset
from translate.datasets.examples.conditions import ExampleConditions
from translate.datasets.examples.unpaired import OneSide
from translate.datasets.pairs import Pair
from translate.images import ImageSpec
from translate.settings import DataSettings


class TargetDataset(CachedDataset):
    """A picture an example, resized, and augmented or taken as validation does.

    Args:
        pairs: the pictures, each a `Pair` that has a target only.
        spec: what the pictures are, as prepared from the data.
        train: augment, with load_size; else what validation takes.
        seed: of the augmentation. Validation is the same for any.
        example_conditions: labels and texts of `pairs`, and noise.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        settings: DataSettings,
        spec: ImageSpec,
        train: bool,
        seed: int,
        example_conditions: ExampleConditions,
    ) -> None:
        assert all(pair.target and pair.source is None for pair in pairs), "a source among targets"
        self.settings = settings
        self.train = train
        self._seed = seed
        self._conditions = example_conditions
        self._pictures = OneSide(pairs, role="target", spec=spec, settings=settings, train=train)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, key: Key) -> Example:
        """Example `index` of pass `epoch`; validation examples are the same in each.

        Raises:
            ImageError: a file that cannot be read.
        """
        epoch, index = key
        return Example(
            {"target": self._pictures.take(index, rng=generator(self._seed, epoch, index))},
            name=self._pictures.names[index],
            condition=self._conditions.of_pair(epoch, index),
        )

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        self._pictures = self._pictures.with_cache(folder=folder, fingerprint=fingerprint, beside=0, progress=progress)
