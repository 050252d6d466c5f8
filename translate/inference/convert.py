"""Converting a file or a folder: decoding and encoding in threads beside the network. Imports no torch."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from translate.inference.backend import batch_for
from translate.inference.files import Decoded, Written, decode, encode
from translate.inference.options import ConvertSettings
from translate.inference.pieces import Told, run_in_pieces
from translate.inference.pipeline import Behind, ahead, by_size
from translate.inference.plan import Failure, Plan, make_plan
from translate.inference.report import Note, Report

if TYPE_CHECKING:
    from translate.inference.translator import Translator

LOOK_AHEAD = 32
"""Decoded pictures that may wait for others of their size."""

DEFAULTS = ConvertSettings()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a conversion. The message says what was done and how to go on."""


class Tally:
    """Counts of a conversion under way. Only the thread that calls `convert` changes it."""

    def __init__(self, plan: Plan, *, bar: tqdm) -> None:
        self.plan = plan
        self.bar = bar
        self.converted = 0
        self.failures = list(plan.failures)
        self.notes: dict[str, list[str]] = {}

    def outcome(self, outcome: Written | Failure) -> None:
        """A picture is finished, well or not."""
        self.bar.update()
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            return
        self.converted += 1
        for text in outcome.notes:
            self.notes.setdefault(text, []).append(outcome.name)

    def report(self, *, destination: Path, seconds: float, device: str) -> Report:
        order = {job.source: place for place, job in enumerate(self.plan.jobs)}
        return Report(
            destination=destination,
            converted=self.converted,
            existing=self.plan.existing,
            strays=self.plan.strays,
            failures=tuple(sorted(self.failures, key=lambda failure: order.get(failure.path, -1))),
            notes=tuple(Note(text, len(names), min(names)) for text, names in sorted(self.notes.items())),
            seconds=seconds,
            device=device,
        )


def convert(
    translator: Translator,
    source: str | Path,
    destination: str | Path,
    *,
    settings: ConvertSettings = DEFAULTS,
    progress: bool = False,
) -> Report:
    """Convert the pictures in `source`, a file or a folder, to `destination` under the same names.

    An output has the size of its input times the model's scale, and the channels and depth of the model's
    target. Each is written whole or not at all, so that the same call continues an interrupted one. A picture
    that cannot be read, written or held in memory is put into the report, and the others are converted.

    Raises:
        ValueError: wrong settings or paths, before anything is written; or a disk that is full or read-only.
        Interrupted: Ctrl-C; the message says how to go on.
    """
    started = time.perf_counter()
    card = translator.card
    if settings.derive and card.derive is None:
        raise ValueError(
            "--derive: this model was trained on pairs as they are, so there is nothing to make sources by"
        )
    plan = make_plan(source, destination, card=card, settings=settings)
    target = Path(destination)
    if plan.jobs:
        _check_writable(target if Path(source).is_dir() else plan.jobs[0].target.parent)
    threads = settings.threads or default_threads(translator.device)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="translate-convert")
    with tqdm(total=len(plan.jobs), unit="picture", disable=None if progress else True) as bar:
        tally = Tally(plan, bar=bar)
        try:
            _work(translator, tally, pool=pool, threads=threads, settings=settings)
        except KeyboardInterrupt:
            raise Interrupted(_how_to_go_on(tally, settings)) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return tally.report(destination=target, seconds=time.perf_counter() - started, device=translator.device)


def _work(
    translator: Translator, tally: Tally, *, pool: ThreadPoolExecutor, threads: int, settings: ConvertSettings
) -> None:
    """Decode ahead of the network and encode behind it, with a bounded number of pictures in each place.

    While the network works on one pass, the pool encodes the one before and decodes all of the one after: with less
    room it would come to the last of those behind the encoding only, and leave the network waiting.
    """
    asked = settings.batch or translator.batch
    batch = partial(batch_for, device=translator.device, asked=asked)
    take = partial(decode, card=translator.card, settings=settings)
    behind = Behind(pool, tally.outcome)

    def room(latest: Decoded | Failure | None) -> int:
        together = batch(*_size(latest)) if isinstance(latest, Decoded) else asked or 1
        return threads + together + 1

    def decoded() -> Iterator[Decoded]:
        for outcome in ahead(pool, take, tally.plan.jobs, room=room):
            if isinstance(outcome, Failure):
                tally.outcome(outcome)
            else:
                yield outcome

    for group in by_size(decoded(), size=_size, batch=batch, look_ahead=max(LOOK_AHEAD, 2 * (asked or 0))):
        told: list[Told] = []
        pixels = [item.pixels for item in group]
        results = run_in_pieces(translator.backend, pixels, tile=translator.tile, note=told.append)
        notes = tuple(dict.fromkeys(piece.text for piece in told))
        unwritten = threads + batch(*_size(group[0]))
        for item, result in zip(group, results, strict=True):
            if isinstance(result, MemoryError):
                tally.outcome(Failure(item.carried.job.source, f"{item.carried.job.source}: {result}"))
            else:
                carried = replace(item.carried, notes=(*item.carried.notes, *notes)) if notes else item.carried
                behind.put(partial(encode, carried, result, settings=settings), room=unwritten)
    behind.finish()


def _size(item: Decoded) -> tuple[int, int]:
    height, width = item.pixels.shape[:2]
    return height, width


def default_threads(device: str) -> int:
    """A CPU is busy with the network, and pictures that wait for it only take memory; a GPU has to be fed."""
    return min(2 if device.startswith("cpu") else 8, os.cpu_count() or 1)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None


def _how_to_go_on(tally: Tally, settings: ConvertSettings) -> str:
    done = f"stopped after {tally.converted} of {len(tally.plan.jobs)} pictures"
    if settings.in_place:
        return f"{done}; the finished ones have replaced their inputs"
    if settings.overwrite:
        return f"{done}; with --overwrite the same command begins again"
    return f"{done}; the same command continues"
