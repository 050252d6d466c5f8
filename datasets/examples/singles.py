"""Pictures that have no other side, as examples: alone, for models that turn noise into pictures, or of many domains.

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


class SinglePictures(CachedDataset):
    """Pictures of one kind, each read, resized, and augmented or taken as validation does on its own.

    Args:
        pairs: the pictures, each a `Pair` that has a target only.
        spec: what the pictures are, as prepared from the data.
        train: augment, with load_size; else what validation takes.
        seed: of the augmentation. Validation is the same for any.
        example_conditions: of `pairs`: labels and texts; noise for the pictures alone, partners of those of domains.
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
        assert all(pair.target and pair.source is None for pair in pairs), "a pair among single pictures"
        self.settings = settings
        self.train = train
        self._seed = seed
        self._conditions = example_conditions
        self._pictures = OneSide(pairs, role="target", spec=spec, settings=settings, train=train)

    def __len__(self) -> int:
        return len(self._pictures)

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        self._pictures = self._pictures.with_cache(folder=folder, fingerprint=fingerprint, beside=0, progress=progress)

    @property
    def growing(self) -> int:
        return self._pictures.growing


class TargetDataset(SinglePictures):
    """A picture an example."""

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


class DomainsDataset(SinglePictures):
    """A picture and its partner an example, each augmented or taken as validation does on its own.

    An epoch has each picture once as the source. Its partner, the `target` of the example, is any other, drawn afresh
    in each epoch; in validation it is one of another label or text where there is one, the same each time.
    """

    def __getitem__(self, key: Key) -> Example:
        """Example `index` of pass `epoch`; validation examples are the same in each.

        Raises:
            ImageError: a file that cannot be read.
        """
        epoch, index = key
        places = index, self._conditions.partner(epoch, index)
        source, target = (
            self._pictures.take(place, rng=generator(self._seed, epoch, index, number))
            for number, place in enumerate(places)
        )
        return Example(
            {"source": source, "target": target},
            name=" + ".join(self._pictures.names[place] for place in places),
            condition=self._conditions.of_domains(epoch, index, partner=places[1]),
        )
