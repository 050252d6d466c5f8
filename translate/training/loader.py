"""Batches on the device, for training and validation, from prepared examples."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import TypeVar

import torch

from translate.batch import Batch
from translate.datasets.batches import NO_DRAWS, make_dataset, ordered_batches, training_batches
from translate.datasets.examples.cache import CachedDataset
from translate.datasets.prepare import Prepared
from translate.draws import Draw
from translate.training.group import ALONE, Group
from translate.training.job import Job

VALIDATION_BATCH = 4  # pictures of 256 pixels; larger ones fewer at once, so that validation fits where training does

_Dataset = TypeVar("_Dataset", bound=CachedDataset)


class Loader:
    """The batches of one process of a run."""

    def __init__(
        self,
        job: Job,
        data: Prepared,
        *,
        device: torch.device,
        start: int,
        group: Group = ALONE,
        draws: Mapping[str, Draw] = NO_DRAWS,
    ) -> None:
        """
        Args:
            start: the number of training examples already used, by all processes.
            draws: random numbers that the model needs of each example.
        """
        self.job, self.data, self.device = job, data, device
        self._draws = draws
        self.waited = 0.0  # seconds in which the device had nothing to do but to wait for pictures
        self.workers = _workers(job.run.workers, device=device)
        self._started = False
        dataset = self._cached(make_dataset(data, settings=job.data, part="train", seed=job.run.seed), group)
        self.growing = dataset.growing  # bytes of decoded pictures that are kept once they were read
        self._batches = training_batches(
            dataset,
            batch=job.science.batch,
            seed=job.run.seed,
            start=start,
            rank=group.rank,
            processes=group.size,
            workers=self.workers,
            pin=device.type == "cuda",
            draws=draws,
        )

    def take(self, count: int) -> list[Batch]:
        """The next `count` training batches."""
        begin = time.perf_counter()
        raws = [next(self._batches) for _ in range(count)]
        # a GPU may still be busy with the step before, which a query does not wait for
        busy = self.device.type == "cuda" and not torch.cuda.current_stream(self.device).query()
        if self._started and not busy:  # the first ones take the start of the workers
            self.waited += time.perf_counter() - begin
        self._started = True
        return [raw.to(self.device, self.data.specs) for raw in raws]

    def reference(self, count: int) -> Batch:
        """The first `count` training examples of the run, the same in every process and at every start."""
        dataset = make_dataset(self.data, settings=self.job.data, part="train", seed=self.job.run.seed)
        batches = training_batches(dataset, batch=count, seed=self.job.run.seed, draws=self._draws)
        with closing(batches):
            return next(batches).to(self.device, self.data.specs)

    def close(self) -> None:
        """End the worker processes."""
        self._batches.close()

    def validation(self) -> Iterator[Batch]:
        """The validation examples, once and in order; whole ones, which differ in size, one by one."""
        room = VALIDATION_BATCH * 256**2 // self.job.data.size.pixels
        batch = 1 if self.job.data.val_whole else max(self.job.science.batch, min(room, VALIDATION_BATCH))
        dataset = make_dataset(self.data, settings=self.job.data, part="val", seed=self.job.run.seed)
        for raw in ordered_batches(dataset, batch=batch):
            yield raw.to(self.device, self.data.specs)

    def first(self, count: int) -> Iterator[Batch]:
        """The first `count` validation examples, or as many as there are."""
        for batch in islice(self.validation(), count):  # of one example at least each
            yield batch
            count -= len(batch)
            if count <= 0:
                return

    def _cached(self, dataset: _Dataset, group: Group) -> _Dataset:
        """`dataset` with its cache; the first process makes it, since a file has one writer."""
        if self.job.data.cache == "auto" and self.workers and multiprocessing.get_start_method() != "fork":
            return dataset  # workers would not share it
        for writer in (True, False):
            if group.first == writer:
                dataset = dataset.with_cache(
                    folder=self.job.folder.cache, fingerprint=self.data.fingerprint, progress=group.first
                )
            group.wait()
        return dataset


def _workers(asked: int | None, *, device: torch.device) -> int:
    """On a CPU reading takes a percent of a step, and the networks need all cores; a GPU needs workers."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
