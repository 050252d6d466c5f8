"""From datasets to batches of pixels: the same whatever the number of workers, and after a restart.

The order of an epoch is a pure function of (seed, epoch); several processes share one order.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from translate.batch import RawBatch
from translate.datasets.examples import Example, Key, generator
from translate.datasets.examples.conditions import ExampleConditions
from translate.datasets.examples.paired import PairDataset
from translate.datasets.examples.singles import DomainsDataset, TargetDataset
from translate.datasets.examples.unpaired import UnpairedDataset
from translate.datasets.prepare import Prepared
from translate.draws import Draw, draw_all
from translate.images import ImageError
from translate.settings import DataSettings

NO_DRAWS: Mapping[str, Draw] = MappingProxyType({})
RETRIES = (
    0.5,
    2.0,
    8.0,
)  # seconds before a file that could not be read is tried again: network disks fail for a moment
EXAMPLES_A_MESSAGE = 8  # from a worker, where batches are smaller; measured: 2.5 times the rate of one by one


class Examples(Protocol):
    """The part of a dataset that batches need: a number of examples, each a pure function of its key."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Key, /) -> Example: ...

    def with_cache(self, *, folder: Path | None = None, fingerprint: str = "", progress: bool = False) -> Self:
        """The dataset as `settings.cache` wants it: itself, or a copy with all pictures decoded here."""
        ...


def make_dataset(
    data: Prepared, *, settings: DataSettings, part: Literal["train", "val"], seed: int
) -> PairDataset | UnpairedDataset | DomainsDataset | TargetDataset:
    """The training or validation examples of prepared pictures: pairs, two sides, domains or targets.

    Args:
        seed: of the augmentation, and of which pictures are combined where there are no pairs.

    Raises:
        ValueError: a setting that does not go with these pictures.
    """
    train = part == "train"
    pairs = data.train if train else data.val
    beside = () if train else data.train
    example_conditions = ExampleConditions(pairs, conditions=data.conditions, train=train, seed=seed, beside=beside)
    if data.kind == "domains":
        return DomainsDataset(
            pairs, settings=settings, spec=data.target, train=train, seed=seed, example_conditions=example_conditions
        )
    if data.source is None:
        return TargetDataset(
            pairs, settings=settings, spec=data.target, train=train, seed=seed, example_conditions=example_conditions
        )
    in_pairs = data.kind == "pairs" if train else data.val_paired
    return (partial(PairDataset, scale=data.scale) if in_pairs else UnpairedDataset)(
        pairs,
        settings=settings,
        source=data.source,
        target=data.target,
        train=train,
        seed=seed,
        example_conditions=example_conditions if data.conditions else None,
    )


def training_order(count: int, *, seed: int, start: int = 0) -> Iterator[Key]:
    """Keys of `count` examples for ever, from global position `start` on: each epoch in an order of its own."""
    for epoch in itertools.count(start // count):
        order = generator(seed, epoch).permutation(count)
        skipped = start % count if epoch == start // count else 0
        for index in order[skipped:]:
            yield epoch, int(index)


def training_batches(
    dataset: Examples,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    pin: bool = False,
    draws: Mapping[str, Draw] = NO_DRAWS,
) -> Generator[RawBatch, None, None]:
    """Batches of process `rank` of `processes`, without end; each is a pure function of the arguments.

    The epochs are laid end to end. Batch k of all processes together covers the `batch * processes` positions
    from `start + k * batch * processes` on, and each process has the next `batch` of them; so two processes see
    together what one with twice the batch sees. Every batch is full and no example is dropped: a batch that
    reaches the end of an epoch goes on in the next, also where the dataset is smaller than it. (Published loaders
    shorten or drop an epoch's last batch.)

    Args:
        batch: examples a batch and process.
        start: examples that were used before, by all processes together.
        workers: processes that read for this one; 0 reads in it. They end when the iterator is closed or dropped, or an
            error comes out of it, and at the latest when this process ends.
        pin: put batches in page-locked memory, for a GPU.
        draws: random numbers that the model needs of each example.

    Raises:
        ValueError: there are no examples. From the iterator, ImageError: a file became unreadable; it is named.
    """
    assert 0 <= rank < processes, f"process {rank} of {processes}"
    if not len(dataset):
        raise ValueError("there are no training pictures")
    order = training_order(len(dataset), seed=seed, start=start)
    own = itertools.islice(order, rank * batch, None) if rank else order
    shares = _shares(own, batch=batch, skip=batch * (processes - 1))
    return _batches(_Collated(dataset, draws, seed=seed), shares, batch=batch, workers=workers, pin=pin)


def ordered_batches(
    dataset: Examples, *, batch: int, workers: int = 0, pin: bool = False
) -> Generator[RawBatch, None, None]:
    """All examples once, in order, for validation; the last batch may be shorter.

    Raises:
        ImageError: from the iterator, as `training_batches`.
    """
    order = ((0, index) for index in range(len(dataset)))
    return _batches(_Collated(dataset), order, batch=batch, workers=workers, pin=pin)


def _shares(order: Iterator[Key], *, batch: int, skip: int) -> Iterator[Key]:
    """`batch` keys of the order, then those of the other processes skipped, and so on."""
    while True:
        yield from itertools.islice(order, batch)
        for _ in itertools.islice(order, skip):
            pass


@dataclass(frozen=True)
class _Unreadable:
    """Sent by a worker in place of a batch: an error raised there would arrive as a traceback in a text."""

    message: str


class _Collated(Dataset[RawBatch | _Unreadable]):
    """Whole batches as items, so that they are stacked where they are read."""

    def __init__(self, dataset: Examples, draws: Mapping[str, Draw] = NO_DRAWS, *, seed: int = 0) -> None:
        self._dataset = dataset
        self._draws = draws
        self._seed = seed

    def __getitem__(self, keys: list[Key]) -> RawBatch | _Unreadable:
        try:
            examples = [self._example(key) for key in keys]
            drawn = [draw_all(self._draws, seed=self._seed, epoch=epoch, index=index) for epoch, index in keys]
        except ImageError as error:
            return _Unreadable(str(error))
        return RawBatch(
            {
                name: torch.from_numpy(np.stack([example.pictures[name] for example in examples]))
                for name in examples[0].pictures
            },
            names=tuple(example.name for example in examples),
            condition={
                name: torch.from_numpy(np.stack([example.condition[name] for example in examples]))
                for name in examples[0].condition
            },
            draws={name: torch.from_numpy(np.stack([numbers[name] for numbers in drawn])) for name in self._draws},
        )

    def _example(self, key: Key) -> Example:
        """
        Raises:
            ImageError: its files could not be read, however often that was tried.
        """
        for wait in RETRIES:
            try:
                return self._dataset[key]
            except ImageError:  # every picture could be read when the run began
                time.sleep(wait)
        try:
            return self._dataset[key]
        except ImageError as error:
            raise ImageError(f"{error} (tried {len(RETRIES) + 1} times)") from error


def _batches(
    collated: _Collated, order: Iterator[Key], *, batch: int, workers: int, pin: bool
) -> Generator[RawBatch, None, None]:
    # Moving tensors between processes costs more than decoding small pictures: small batches travel together.
    together = batch * max(1, EXAMPLES_A_MESSAGE // batch) if workers else batch
    ending = multiprocessing.RawValue(ctypes.c_bool, False) if workers else None
    loader = DataLoader(
        collated,
        batch_size=None,
        sampler=iter(lambda: list(itertools.islice(order, together)), []),
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=partial(_start_worker, ending),
        # Its own generator: the loader draws a seed for its workers, by default from the one of dropout, and
        # then a restart or a validation would change the training.
        generator=torch.Generator(),
    )
    opened: list[Any] = []
    end = partial(_end_workers, ending, opened)
    atexit.register(end)  # for an iterator that is never closed, since the traceback of an error still holds it
    try:
        opened.append(iter(loader))
        for made in opened[0]:
            if isinstance(made, _Unreadable):
                raise ImageError(made.message)
            for start in range(0, len(made), batch):
                yield made[start : start + batch]
    finally:
        end()
        atexit.unregister(end)


def _start_worker(ending: Any, worker: int) -> None:
    with contextlib.suppress(ImportError):  # what reads arrays needs no OpenCV
        import cv2

        cv2.setNumThreads(0)  # one thread a worker: together they fill the machine

    # Ctrl-C, the end of a terminal, and what stops a service reach the whole group; the process that trains saves, then
    # ends its workers. So SIGTERM ends a worker only once that process has set `ending`: Python sends it to all
    # daemons at its exit and waits for them, and workers that ignored it would keep a crashed process alive.
    def end(number: int, frame: FrameType | None) -> None:
        if ending.value:
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_workers(ending: Any, opened: list[Any]) -> None:
    """End the workers of the loader's iterator in `opened`, if it was opened and has any."""
    if ending is None:
        return
    ending.value = True
    if opened:
        opened[0]._shutdown_workers()  # what dropping the last reference does, and others may be held
