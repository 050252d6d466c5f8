"""Reading pairs to train on: the published way with Pillow, and ours with and without decoded pictures in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Literal

import cv2
import torch

from benchmarks.plain.pictures import loader
from benchmarks.table.options import LOAD, Bench
from benchmarks.table.report import Contest
from benchmarks.turns import Candidate, Work
from translate.datasets.batches import make_dataset, training_batches
from translate.datasets.prepare import prepare
from translate.settings import DataSettings
from translate.tuning import WAITING, keep_freed_memory

PAIRS = 100  # in a turn


def theirs(files: Sequence[Path], size: int, count: int) -> Work:
    """Decode, resize, crop, mirror and normalise, one pair after another."""
    batches = chain.from_iterable(repeat(loader(files, load=round(size * LOAD), crop=size)))
    return _taking(batches, count)


def ours(folder: Path, size: int, count: int, cache: Literal["none", "memory"]) -> Work:
    """What training takes from its loader, normalised; without further processes."""
    keep_freed_memory()
    cv2.setNumThreads(1)
    settings = DataSettings.make({"data": folder, "size": size, "cache": cache})
    data = prepare(settings, say=lambda line: None)
    dataset = make_dataset(data, settings=settings, part="train", seed=0).with_cache()
    device = torch.device("cpu")
    batches = (raw.to(device, data.specs) for raw in training_batches(dataset, batch=1, seed=0))
    return _taking(batches, count)


def _taking(batches: Iterator[Any], count: int) -> Work:
    def run() -> None:
        for _ in islice(batches, count):
            pass

    return run


def contest(bench: Bench) -> Contest:
    """Pairs, each in a batch of its own."""
    size, count = bench.sized(256, 32), bench.sized(PAIRS, 3)
    given = {"folder": bench.pairs(size=size), "size": size, "count": count}
    none, cached = "ours", "ours, --cache memory"
    return Contest(
        f"reading a pair, {size} px, from {bench.train_files(size=size)[0].suffix[1:].upper()}",
        [
            Candidate("theirs, Pillow", theirs, {"files": bench.train_files(size=size), "size": size, "count": count}),
            Candidate(none, ours, {**given, "cache": "none"}, WAITING),
            Candidate(cached, ours, {**given, "cache": "memory"}, WAITING),
        ],
        rounds=7,
        each=count,
        threads=1,
        targets={none: 4, cached: 12},
    )
