"""From prepared pairs to batches on the device, for training and for validation."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from translate.batch import Batch
from translate.datasets.dataset import PairDataset, ordered_batches, training_batches
from translate.datasets.pairs import Pair
from translate.datasets.prepare import Prepared
from translate.training.job import Job
from translate.training.validation import mean_target

MEAN_OVER = 1000  # training targets that make the blind guess
VALIDATION_BATCH = 4  # pictures of 256 pixels; larger ones fewer at once, so that validation fits where training does


class Feed:
    """The pictures of one run."""

    def __init__(self, job: Job, data: Prepared, *, device: torch.device, start: int) -> None:
        """`start` is the number of training batches already used."""
        self.job, self.data, self.device = job, data, device
        pairs = self._pairs(data.train, train=True)
        self._batches = training_batches(
            pairs.with_cache(folder=job.folder.cache, fingerprint=data.fingerprint, progress=True),
            batch=job.science.batch,
            seed=job.run.seed,
            start=start,
            workers=_workers(job.run.workers, device=device),
            pin=device.type == "cuda",
        )

    def take(self, count: int) -> list[Batch]:
        """The next `count` training batches."""
        return [
            next(self._batches).to(self.device, source=self.data.source, target=self.data.target) for _ in range(count)
        ]

    def validation(self) -> Iterator[Batch]:
        """The validation pairs, once and in order."""
        room = VALIDATION_BATCH * 256**2 // self.job.data.size**2
        batch = max(self.job.science.batch, min(room, VALIDATION_BATCH))
        for raw in ordered_batches(self._pairs(self.data.val, train=False), batch=batch):
            yield raw.to(self.device, source=self.data.source, target=self.data.target)

    def mean_target(self) -> torch.Tensor:
        """The blind guess, from up to `MEAN_OVER` training pairs."""
        dataset = self._pairs(self.data.train[:MEAN_OVER], train=False)
        return mean_target(ordered_batches(dataset, batch=1), self.data.target)

    def _pairs(self, pairs: tuple[Pair, ...], *, train: bool) -> PairDataset:
        settings, data = self.job.data, self.data
        return PairDataset(
            pairs,
            settings=settings,
            source=data.source,
            target=data.target,
            train=train,
            seed=self.job.run.seed,
        )


def _workers(asked: int | None, *, device: torch.device) -> int:
    """On a CPU the networks are busy with every core and reading is a percent of a step; a GPU has to be fed."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
