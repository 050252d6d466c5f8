"""Converting a file or a folder: decoding and encoding in threads beside the network. Imports no torch."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import numpy as np

from translate.card import Card
from translate.console import bar
from translate.inference.backend import Made, batch_for
from translate.inference.claims import claimed
from translate.inference.files import Decoded, Written, decode, encode, failed
from translate.inference.like import code_of
from translate.inference.listing import Failure, Half, Sources
from translate.inference.model import LoadedModel
from translate.inference.options import ConvertSettings
from translate.inference.pieces import PieceReport, run_in_pieces
from translate.inference.pipeline import Ahead, Behind, by_size
from translate.inference.plan import Job, Plan, make_plan
from translate.inference.process import Interrupted
from translate.inference.record import Maker
from translate.inference.report import Failures, Note, Report, failures_file
from translate.inference.shard_reports import report_file, write_report
from translate.inference.shards import Shard, shard_of
from translate.inference.variants import Variants

if TYPE_CHECKING:
    from tqdm import tqdm


MAX_WAITING_PICTURES = 32
"""Decoded pictures that may wait for others of the same size, to form a batch."""

WRITER_THREADS = 6
"""Threads beside those that compute: a thread that waits for the disk needs no core, and disks flush several files in
little more time than one."""

DEFAULTS = ConvertSettings()


class Counts:
    """Pictures converted and failed so far, and notes on them. Only the thread that calls `convert` changes it."""

    def __init__(self, plan: Plan, *, failures: Failures, bar: tqdm) -> None:
        self.plan = plan
        self.bar = bar
        self.converted = 0
        self.failures = failures
        self.notes: dict[str, tuple[int, str]] = dict(plan.kept)
        self.listed_notes: dict[str, tuple[int, str]] = {}  # on the list of all inputs, not on the pictures of a shard
        for failure in plan.failures:
            failures.add(failure)

    def outcome(self, outcome: Written | Failure) -> None:
        """Count a picture that was written or has failed."""
        self.bar.update()
        if isinstance(outcome, Failure):
            self.failures.add(outcome)
            return
        self.converted += 1
        for text in outcome.notes:
            count, first = self.notes.get(text, (0, outcome.name))
            self.notes[text] = count + 1, min(first, outcome.name)

    def report(
        self, remark: str | None, *, destination: Path, seconds: float, device: str, shard: Shard | None
    ) -> Report:
        notes = [Note(text, *found) for text, found in self.notes.items()]
        notes += [Note(text, *found, listed=True) for text, found in self.listed_notes.items()]
        return Report(
            destination=destination,
            converted=self.converted,
            existing=self.plan.existing,
            ignored=self.plan.ignored,
            remark=remark,
            failed=self.failures.count,
            failures=self.failures.first,
            failures_file=self.failures.file,
            notes=tuple(sorted(notes, key=lambda note: note.text)),
            seconds=seconds,
            device=device,
            shard=shard,
            listed=self.plan.listed,
            unlisted=len(self.plan.failures),
        )


def convert(
    model: LoadedModel,
    source: str | Path | Sequence[str | Path] | None,
    destination: str | Path,
    *,
    settings: ConvertSettings = DEFAULTS,
    progress: bool = False,
    say: Callable[[str], object] = str,
) -> Report:
    """Convert the pictures in `source`, a file, a folder or a list of these, to `destination` under the same names.

    With `settings.data` there is no `source`: the sources of that set are converted. `say` is called with warnings
    before the work. An output has the size of its input times the model's scale, and the channels and depth of the
    model's target. `settings.samples` makes several of a picture, each with a number after its name, and `label="all"`
    or `interpolate` one 8-bit picture in its place that shows several beside the source. Each is written whole or not
    at all, and what it was made of is added to the record in its folder, so that the same call continues an interrupted
    one. A picture that cannot be read, translated, written or held in memory is listed in the report, and the others
    are converted. Memory is bounded by the size of the pictures, not by their number: of those to come only packed
    names are kept.

    Raises:
        ValueError: wrong settings or paths, or another conversion that is writing the same files, before anything is
            written; or a disk that is full or read-only.
        Interrupted: Ctrl-C, or within `stoppable` SIGTERM; the message says how to go on.
    """
    started = time.perf_counter()
    card = model.card
    _ = card.taken  # a model of noise says to use `sample`
    if settings.derive and card.derive is None:
        raise ValueError(
            "--derive: this model was trained on pairs as they are, so there is nothing to make sources by"
        )
    if settings.data is not None and card.derive is not None:
        settings = settings.replace(derive=True)
    if settings.derive and card.derive is not None:
        _check_derivation(card, model.file)
    like = settings.like
    code = None if like is None else code_of(model, like, name="--like", max_pixels=settings.max_pixels)
    variants = Variants(card, settings, code=code)
    inputs, remark = _inputs(model, source, settings, say=say)
    seen = variants.rows.saw if variants.rows else str
    maker = Maker.of(model, settings, conditioned=variants.conditioned)
    shard = None if settings.shard is None else shard_of(settings.shard)
    with bar(progress, desc="listing", unit="picture", leave=False) as listed:
        plan = make_plan(
            inputs, destination, card=variants.planned, settings=settings, maker=maker, listed=listed.update, seen=seen
        )
    with (
        _reserved(plan, shard),
        Failures(plan.jobs.target, name=failures_file(shard)) as failures,
        bar(progress, total=len(plan.jobs), unit="picture") as converted,
    ):
        counts = Counts(plan, failures=failures, bar=converted)
        half = inputs.half if isinstance(inputs, Sources) else None
        if variants.rows and (unseen := variants.rows.unseen):
            counts.listed_notes[f"named in {variants.rows.table}, and not there"] = len(unseen), min(unseen)
        try:
            _work(model, counts, variants, settings=settings, maker=maker, half=half)
        except KeyboardInterrupt as stop:
            number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
            raise Interrupted(_stop_message(counts, settings), number=number) from None
        seconds = time.perf_counter() - started
        report = counts.report(remark, destination=Path(destination), seconds=seconds, device=model.device, shard=shard)
        if shard is not None:
            write_report(report, plan, maker, source=source if settings.data is None else settings.data)
    return report


def _inputs(
    model: LoadedModel,
    source: str | Path | Sequence[str | Path] | None,
    settings: ConvertSettings,
    *,
    say: Callable[[str], object],
) -> tuple[str | Path | Sequence[str | Path] | Sources, str | None]:
    """What is converted, and a remark on it.

    Raises:
        ValueError: there is nothing to convert, or both a source and a set.
    """
    if (source is None) == (settings.data is None):
        raise ValueError("give either a picture or folder to convert, or a set by --data")
    if source is None:
        from translate.inference.dataset import sources_of

        assert settings.data is not None
        return sources_of(settings.data, settings.split or "val", model.card, say=say), None
    if settings.derive or not isinstance(source, str | Path) or not Path(source).is_dir():
        return source, None
    from translate.inference.dataset import looks_like_pairs  # with all that reads sets

    remark = looks_like_pairs(Path(source), str(model.file or "MODEL"))
    if remark:
        say(remark)
    return source, remark


@contextmanager
def _reserved(plan: Plan, shard: Shard | None) -> Iterator[None]:
    """Within the block no other conversion writes these outputs. Removes what earlier conversions left of partial files
    and reports, of a shard its own.

    Raises:
        ValueError: another conversion writes some of them, or the folder cannot be written to.
    """
    folder = plan.jobs.target
    with ExitStack() as stack:
        if plan.jobs:
            _check_writable(folder)
            try:
                stack.enter_context(claimed(plan.jobs))
            except OSError as error:
                raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None
            for name in (failures_file(shard), *([] if shard is None else [report_file(shard)])):
                (folder / name).unlink(missing_ok=True)  # from an earlier conversion, which this one continues
        for path in plan.partial_files:
            path.unlink(missing_ok=True)
        yield


def _work(
    model: LoadedModel,
    counts: Counts,
    variants: Variants,
    *,
    settings: ConvertSettings,
    maker: Maker,
    half: Half,
) -> None:
    """Decode ahead of the network and encode after it; the pictures and bytes that wait in each queue are limited.

    During one pass of the network the pool encodes the previous batch and decodes the whole next one: with shorter
    queues the last pictures would be decoded after the encoding only, and the network would wait.
    """
    batch_size = settings.batch or model.batch
    batch = partial(batch_for, device=model.device, requested=batch_size)
    threads = settings.threads or default_threads(model.device)
    core = BoundedSemaphore(threads)
    carrying = settings.replace(keep_alpha=False, keep_metadata=False) if variants.titles else settings

    def take(job: Job) -> Decoded | Failure:
        try:
            problem = variants.problem(job)
        except Exception as error:
            return failed(job, error)
        if problem:
            return Failure(job.source, f"{job.source}: {problem}")
        return decode(job, card=model.card, settings=carrying, core=core, half=half)

    def room(latest: Decoded | Failure | None) -> int:
        together = batch(*_size(latest)) if isinstance(latest, Decoded) else batch_size or 1
        return threads + together + 1

    def decoded(outcomes: Iterable[Decoded | Failure]) -> Iterator[Decoded]:
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                counts.outcome(outcome)
            else:
                yield outcome

    look_ahead = max(MAX_WAITING_PICTURES, 2 * (batch_size or 0))
    pool = ThreadPoolExecutor(threads + WRITER_THREADS, thread_name_prefix="translate-convert")
    behind = Behind(pool, counts.outcome)
    try:
        ahead = Ahead(pool, take, counts.plan.jobs, threads=threads, room=room, weight=_weight)
        with ahead as outcomes:
            for group in by_size(decoded(outcomes), size=_size, weight=_weight, batch=batch, look_ahead=look_ahead):
                results, reports = _translated(model, group, variants, together=batch(*_size(group[0])))
                unwritten = threads + WRITER_THREADS + batch(*_size(group[0]))
                for index, (item, result) in enumerate(zip(group, results, strict=True)):
                    if not isinstance(result, np.ndarray):
                        counts.outcome(failed(item.carried.job, result))
                    else:
                        notes = [reports[index].text] if index in reports else []
                        notes += variants.notes(item.carried.job)
                        carried = replace(item.carried, notes=(*item.carried.notes, *notes))
                        work = partial(encode, carried, result, settings=settings, core=core, maker=maker)
                        behind.put(work, room=unwritten, weight=result.nbytes + carried.weight)
            behind.finish()
    except KeyboardInterrupt:
        pool.shutdown(wait=True, cancel_futures=True)
        behind.settle()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _translated(
    model: LoadedModel, group: Sequence[Decoded], variants: Variants, *, together: int
) -> tuple[list[np.ndarray | Exception], dict[int, PieceReport]]:
    """An output or an error for each picture of a group, and the reports of those translated in pieces, by index.

    After an unexpected error the pictures are translated one by one, which shows where it belongs.
    """
    try:
        return _at_once(model, group, variants, together=together)
    except Exception as error:
        if len(group) == 1:
            return [error], {}
    results: list[np.ndarray | Exception] = []
    reports: dict[int, PieceReport] = {}
    for index, item in enumerate(group):
        (result,), found = _translated(model, [item], variants, together=together)
        results.append(result)
        if found:
            reports[index] = found[0]
    return results, reports


def _at_once(
    model: LoadedModel, group: Sequence[Decoded], variants: Variants, *, together: int
) -> tuple[list[np.ndarray | Exception], dict[int, PieceReport]]:
    reports: dict[int, PieceReport] = {}
    translate = partial(run_in_pieces, model.backend, tile=model.tile)
    conditions = [variants.of(item.carried.job) for item in group]
    if not variants.titles:
        each = [condition for (condition,) in conditions]
        return list(translate([item.pixels for item in group], each, on_piece=reports.__setitem__)), reports
    pages: list[np.ndarray | Exception] = []
    for index, (item, cells) in enumerate(zip(group, conditions, strict=True)):
        made: list[Made] = []
        found: dict[int, PieceReport] = {}
        for start in range(0, len(cells), together):
            part = cells[start : start + together]
            made += translate([item.pixels] * len(part), part, on_piece=found.__setitem__)
        if found:
            reports[index] = found[0]
        error = next((one for one in made if not isinstance(one, np.ndarray)), None)
        pages.append(error or variants.page(item.pixels, [one for one in made if isinstance(one, np.ndarray)]))
    return pages, reports


def _weight(item: Decoded | Failure) -> int:
    return item.pixels.nbytes + item.carried.weight if isinstance(item, Decoded) else 0


def _size(item: Decoded) -> tuple[int, int]:
    height, width = item.pixels.shape[:2]
    return height, width


def default_threads(device: str) -> int:
    """Few on a CPU, which is busy with the network; more for a GPU, which would wait for pictures."""
    return min(2 if device.startswith("cpu") else 8, os.cpu_count() or 1)


def _check_derivation(card: Card, file: Path | None) -> None:
    """
    Raises:
        ValueError: the sources that the description derives have other channels or another dtype than the model takes.
    """
    from translate.datasets.derive import amount_for, derived_spec

    assert card.derive is not None
    try:
        amount_for(card.derive, card.derive_amount)
        made = derived_spec(card.derive, card.target)
        if (made.channels, made.dtype) != (card.taken.channels, card.taken.dtype):
            raise ValueError(f"derive {card.derive} makes sources of {made.channels} channels, {made.dtype}")
    except ValueError as error:
        raise ValueError(f"{file or 'this model'}: damaged description: {error}") from None


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None


def _stop_message(counts: Counts, settings: ConvertSettings) -> str:
    done = f"stopped after {counts.converted} of {len(counts.plan.jobs)} pictures"
    if settings.in_place:
        return f"{done}; the finished ones have replaced their inputs"
    if settings.overwrite:
        return f"{done}; with --overwrite the same command begins again"
    return f"{done}; the same command continues"
