"""From pairs of files to batches of pixels: the same whatever the number of workers, and after a restart.

All randomness of a sample is a pure function of (seed, epoch, index), the order of an epoch of (seed, epoch).
"""

from __future__ import annotations

import copy
import itertools
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from translate.batch import RawBatch
from translate.datasets import cache as caches
from translate.datasets.derive import amount_for, derive, derived_spec
from translate.datasets.pairs import Pair
from translate.datasets.transforms import Augment, Pixels, centre, to_load_size
from translate.datasets.views import read_pair
from translate.images import ImageError, ImageSpec
from translate.settings import DataSettings

Key = tuple[int, int]
"""(epoch, index): which pass over the data, and which pair."""

PAIRS_A_MESSAGE = 8  # from a worker, where batches are smaller; measured: 2.5 times the rate of one by one


class Example(NamedTuple):
    """One pair as it goes into a batch. The arrays may be views of a cache: do not write to them."""

    source: np.ndarray  # [size, size, Cs] as the source's spec says
    target: np.ndarray  # [size, size, Ct]
    name: str


class PairDataset(Dataset[Example]):
    """Pairs read, resized, and either augmented (training) or cropped in the middle (validation).

    Validation pictures are resized to `size` x `size` (fit stretch), or their shorter side to `size` (cover),
    or not at all (none), and the middle `size` x `size` is taken; a smaller one is mirrored outwards.

    Args:
        pairs: what to read; all with a source, or none where the settings say how to derive it.
        source, target: what the pictures are, as prepared from the data.
        train: augment, with load_size; else the fixed crop.
        seed: of the augmentation. Validation has its own: runs of any seed are judged on the same pictures.
        cache: the decoded pairs at load size, in the order of `pairs`; see `with_cache`.

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
    ) -> None:
        derived = settings.derive is not None
        assert all((pair.source is None) == derived for pair in pairs), "pairs and --derive disagree"
        if settings.derive is not None:
            amount_for(settings.derive, settings.derive_amount)
            assert derived_spec(settings.derive, target) == source, "the source's spec is not --derive's"
        assert cache is None or len(cache) == len(pairs), "this cache is of other pairs"
        self.pairs = tuple(pairs)
        self.settings = settings
        self.source, self.target = source, target
        self.train = train
        self.side = settings.resize_to if train else settings.size  # pixels, of the load size
        self._seed = seed
        self._cache = cache
        self._augment = Augment(settings, source=source, target=target) if train else None

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
        name = str(pair.target.path)
        return to_load_size(source, target, fit=self.settings.fit, side=self.side, labels=labels, name=name)

    def __getitem__(self, key: Key) -> Example:
        """The example of pair `index` in pass `epoch`; validation examples are the same in each.

        Raises:
            ImageError: as `load`.
        """
        epoch, index = key
        source, target = self.load(index) if self._cache is None else self._cached(index)
        if self._augment is not None:
            rng = _generator(self._seed, epoch, index)
            source, target = self._augment.geometry(source, target, rng=rng)
            if source is not None:
                source = self._augment.photometric(source, self.source, rng=rng)
            else:  # relit before, not after: outlines and masks stay what they are
                source = self._derived(self._augment.photometric(target, self.target, rng=rng), rng)
        else:
            target = centre(target, self.settings.size)
            rng = _generator(0, index)
            source = self._derived(target, rng) if source is None else centre(source, self.settings.size)
        return Example(source, target, self.pairs[index].name)

    def with_cache(self, *, folder: Path | None = None, fingerprint: str = "", progress: bool = False) -> PairDataset:
        """The dataset as `settings.cache` wants it: itself, or a copy with all pairs decoded here.

        Args:
            folder: where a disk cache is kept.
            fingerprint: of the files' contents; a disk cache made for another one is not used.
            progress: show a progress bar.

        Raises:
            ValueError: there is no room for the cache.
            ImageError: as `load`.
        """
        if self.settings.cache == "none":
            return self
        assert self.settings.fit == "stretch", "pictures of different sizes in a cache"
        specs = [self.target] if self.settings.derive else [self.source, self.target]
        slots = tuple(caches.Slot((self.side, self.side, spec.channels), spec.dtype) for spec in specs)
        count = len(self)

        def load(index: int) -> caches.Item:
            return tuple(pixels for pixels in self.load(index) if pixels is not None)

        filled = copy.copy(self)
        if self.settings.cache == "memory":
            filled._cache = caches.memory_cache(load, count=count, slots=slots, progress=progress)
        else:
            assert folder is not None, "a disk cache needs a folder"
            key = caches.cache_key(
                fingerprint=fingerprint,
                pairs=[pair.name for pair in self.pairs],
                specs=[spec.model_dump(mode="json") for spec in specs],
                side=self.side,
            )
            filled._cache = caches.disk_cache(load, count=count, slots=slots, folder=folder, key=key, progress=progress)
        return filled

    def _cached(self, index: int) -> Pixels:
        assert self._cache is not None
        item = self._cache[index]
        return (None, item[0]) if len(item) == 1 else (item[0], item[1])

    def _derived(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        assert self.settings.derive is not None
        amount = self.settings.derive_amount
        return derive(self.settings.derive, target, spec=self.target, amount=amount, rng=rng)


def training_order(count: int, *, seed: int, start: int = 0) -> Iterator[Key]:
    """Keys of `count` pairs for ever, from global position `start` on: each epoch in an order of its own."""
    for epoch in itertools.count(start // count):
        order = _generator(seed, epoch).permutation(count)
        skipped = start % count if epoch == start // count else 0
        for index in order[skipped:]:
            yield epoch, int(index)


def training_batches(
    dataset: PairDataset, *, batch: int, seed: int, start: int = 0, workers: int = 0, pin: bool = False
) -> Iterator[RawBatch]:
    """Batches number `start`, `start + 1`, ... without end; batch k is a pure function of (seed, k).

    Batch k covers positions `k * batch` to `k * batch + batch - 1` of the epochs laid end to end. So every
    batch is full and no pair is dropped: one that reaches the end of an epoch goes on in the next, also where
    the dataset is smaller than the batch. (Published loaders shorten or drop an epoch's last batch.)

    Args:
        workers: processes that read; 0 reads in this one. They end when the iterator is dropped.
        pin: put batches in page-locked memory, for a GPU.

    Raises:
        ValueError: there are no pairs. From the iterator, ImageError: a file became unreadable; it is named.
    """
    if not len(dataset):
        raise ValueError("there are no training pairs")
    order = training_order(len(dataset), seed=seed, start=start * batch)
    return _batches(dataset, order, batch=batch, workers=workers, pin=pin)


def ordered_batches(dataset: PairDataset, *, batch: int, workers: int = 0, pin: bool = False) -> Iterator[RawBatch]:
    """All examples once, in order, for validation; the last batch may be shorter.

    Raises:
        ImageError: from the iterator, as `training_batches`.
    """
    order = ((0, index) for index in range(len(dataset)))
    return _batches(dataset, order, batch=batch, workers=workers, pin=pin)


@dataclass(frozen=True)
class _Unreadable:
    """What a worker sends in place of a batch: raised there, it would arrive inside a traceback."""

    message: str


class _Collated(Dataset[RawBatch | _Unreadable]):
    """Whole batches as items, so that they are stacked where they are read."""

    def __init__(self, dataset: PairDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, keys: list[Key]) -> RawBatch | _Unreadable:
        try:
            examples = [self._dataset[key] for key in keys]
        except ImageError as error:
            return _Unreadable(str(error))
        return RawBatch(
            source=torch.from_numpy(np.stack([example.source for example in examples])),
            target=torch.from_numpy(np.stack([example.target for example in examples])),
            names=tuple(example.name for example in examples),
        )


def _batches(dataset: PairDataset, order: Iterator[Key], *, batch: int, workers: int, pin: bool) -> Iterator[RawBatch]:
    # Moving tensors between processes costs more than decoding small pictures: small batches travel together.
    together = batch * max(1, PAIRS_A_MESSAGE // batch) if workers else batch
    loader = DataLoader(
        _Collated(dataset),
        batch_size=None,
        sampler=iter(lambda: list(itertools.islice(order, together)), []),
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        # Its own generator: the loader draws a seed for its workers, by default from the one of dropout, and
        # then a restart or a validation would change the training.
        generator=torch.Generator(),
    )
    for made in loader:
        if isinstance(made, _Unreadable):
            raise ImageError(made.message)
        for start in range(0, len(made), batch):
            part = slice(start, start + batch)
            yield RawBatch(made.source[part], made.target[part], made.names[part])


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # one thread a worker: together they fill the machine
    # Ctrl-C, and what stops a service, reach the whole group; the process that trains saves, then ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
