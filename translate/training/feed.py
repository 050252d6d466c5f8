"""From prepared pairs to batches on the device, for training and for validation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from translate.batch import Batch
from translate.datasets.batches import Examples, make_dataset, ordered_batches, training_batches
from translate.datasets.prepare import Prepared
from translate.training.group import ALONE, Group
from translate.training.job import Job
from translate.training.validation import Figures, best_colour_map, constant, mean_target, validate

MEAN_OVER = 1000  # training targets that make the blind guess
VALIDATION_BATCH = 4  # pictures of 256 pixels; larger ones fewer at once, so that validation fits where training does


class Feed:
    """The pictures of one run, for one of its processes."""

    def __init__(self, job: Job, data: Prepared, *, device: torch.device, start: int, group: Group = ALONE) -> None:
        """`start` is the number of training examples already used, by all processes."""
        self.job, self.data, self.device = job, data, device
        self._batches = training_batches(
            self._cached(make_dataset(data, settings=job.data, part="train", seed=job.run.seed), group),
            batch=job.science.batch,
            seed=job.run.seed,
            start=start,
            rank=group.rank,
            processes=group.size,
            workers=_workers(job.run.workers, device=device),
            pin=device.type == "cuda",
        )

    def take(self, count: int) -> list[Batch]:
        """The next `count` training batches."""
        return [next(self._batches).to(self.device, self.data.specs) for _ in range(count)]

    def close(self) -> None:
        """End the processes that read for this one."""
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

    def baselines(self) -> dict[str, Figures]:
        """What simpler answers reach on the validation pairs."""
        data = self.data
        assert data.source is not None, "baselines are answers to sources"
        guesses = {"mean_target": constant(self._mean_target())}
        if data.kind != "pairs" and data.source.network_channels == data.target.network_channels:
            guesses["colour_map"] = best_colour_map(self.validation())
        return validate(guesses, self.validation(), source=data.source, target=data.target).figures

    def _mean_target(self) -> torch.Tensor:
        """The blind guess, from up to `MEAN_OVER` training targets."""
        targets = [pair for pair in self.data.train if pair.target is not None][:MEAN_OVER]
        sources = [] if self.data.kind == "pairs" else [pair for pair in self.data.train if pair.target is None][:1]
        unaugmented = replace(self.data, val=(*sources, *targets), val_paired=self.data.kind == "pairs")
        dataset = make_dataset(unaugmented, settings=self.job.data, part="val", seed=self.job.run.seed)
        return mean_target(ordered_batches(dataset, batch=1), self.data.target)

    def _cached(self, dataset: Examples, group: Group) -> Examples:
        """`dataset` with its cache; the first process makes it, since a file has one writer."""
        for writer in (True, False):
            if group.first == writer:
                dataset = dataset.with_cache(
                    folder=self.job.folder.cache, fingerprint=self.data.fingerprint, progress=group.first
                )
            group.wait()
        return dataset


def _workers(asked: int | None, *, device: torch.device) -> int:
    """On a CPU the networks are busy with every core and reading is a percent of a step; a GPU has to be fed."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
