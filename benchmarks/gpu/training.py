"""Trainings as users start them, of as many steps as the time has room for, so that the rate falls to 0 at the end."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.options import Flags
from benchmarks.gpu.pictures import made_up
from benchmarks.gpu.record import Clock, Record
from benchmarks.gpu.steps import WAYS, make_step, synchronise
from benchmarks.measure import peak_memory
from benchmarks.train import make_model, noise
from translate.devices import pick_device
from translate.models import MODELS
from translate.training.run import Run, train

STEPS_PUBLISHED = 72_000  # 180 epochs of 400 pairs: the published 200 epochs of 360
SHARE = 0.7  # of the time, for steps: the rest is for the start, validations, pages and files
START = 12.0  # seconds until the first step
VALIDATIONS = 6


def published(flags: Flags, record: Record, clock: Clock) -> None:
    """pix2pix as published."""
    carry_out("pix2pix", {}, flags, record, clock, pairs=True)


def best(flags: Flags, record: Record, clock: Clock) -> None:
    """What `--best` names.

    Raises:
        ValueError: it names no model, or a setting is not NAME=VALUE.
    """
    model, *changes = flags.best.split()
    if model not in MODELS or not all("=" in change for change in changes):
        raise ValueError(f"--best {flags.best}: give a model, then settings as NAME=VALUE")
    settings = dict(change.split("=", 1) for change in changes)
    carry_out(model, settings, flags, record, clock, pairs=MODELS[model].data == "pairs")


def carry_out(
    model: str, settings: Mapping[str, Any], flags: Flags, record: Record, clock: Clock, *, pairs: bool
) -> None:
    """Train with the step as one graph, and eagerly if that fails; note what came of it."""
    device = pick_device(flags.device)
    with tempfile.TemporaryDirectory() as folder:
        load = round(flags.size * 286 / 256)
        given = flags.pairs if pairs else flags.unpaired
        sizes = {"count": 6, "held": 2} if flags.quick else {"count": 64, "held": 8}
        data = given or made_up(Path(folder) / "data", size=load, paired=pairs, **sizes)
        one = {**settings, "data": data, "direction": flags.direction if pairs else "AtoB"}
        if device.type == "cuda" and Record.read(flags.out, "graphs").get("tables", {}).get("steps", True):
            try:
                timed_run(model, {**one, "step": "graph"}, flags, record, clock, Path(folder) / "graph")
                return
            except Exception as error:
                record.note(f"--step graph failed, so it is eager: {str(error)[:300]}")
            # in another process: a recording that failed spoils random numbers in this one
            again = (model, {**one, "step": "eager"}, flags, record, clock, Path(folder) / "eager")
            process = multiprocessing.get_context("spawn").Process(target=timed_run, args=again)
            process.start()
            process.join()
            record.tables = Record.read(flags.out, record.name)["tables"]
            if process.exitcode:
                raise RuntimeError(f"the eager training ended with {process.exitcode}")
        else:
            timed_run(model, {**one, "step": "eager"}, flags, record, clock, Path(folder) / "eager")


def timed_run(
    model: str,
    settings: Mapping[str, Any],
    flags: Flags,
    record: Record,
    clock: Clock,
    out: Path,
) -> None:
    """One training: its figures over time, speed, the share of care, and a page."""
    device = pick_device(flags.device)
    steps = 4 if flags.quick else steps_in(clock.left, model, settings, flags, device=device)
    record.note(f"{model}, {flags.size} px, {flags.precision}, --step {settings['step']}: {steps} steps")
    usual = {"size": flags.size, "workers": 0 if device.type == "cpu" else None, "cache": "memory", "samples": 6}
    every = max(1, steps // VALIDATIONS)
    usual |= {"validate_every": every, "checkpoint_every": steps, "log_every": min(50, every), "snapshot_budget": 0}
    usual |= {"precision": flags.precision, "device": flags.device, "tensorboard": False}
    if flags.quick:
        usual |= {"width": flags.width, "discriminator_width": flags.width, "metric_features": None}
    begin = time.monotonic()
    run = train(model, **{**usual, **settings, "steps": steps, "out": out})
    seconds = time.monotonic() - begin
    journal = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in journal:
        for weights, figures in line.get("validation", {}).items():
            shown = {name: value for name, value in figures.items() if isinstance(value, float)}
            record.row("validation", step=line["step"], weights=weights, **shown)
    rates = [line["examples_per_second"] for line in journal if "examples_per_second" in line]
    rate = statistics.median(rates) if rates else float("nan")
    row = {"steps": run.step, "seconds": seconds, "examples/s": rate, "memory": peak_memory()}
    care = 100 * (1 - steps / rate / seconds) if rates else None
    record.row("training", model=model, step=settings["step"], **row, **{"% start, validation and files": care})
    keep_page(run, flags.out / f"{record.name}.png", record)


def steps_in(seconds: float, model: str, settings: Mapping[str, Any], flags: Flags, *, device: torch.device) -> int:
    """How many steps the time has room for, by a short measurement of the step alone."""
    wanted = ("float32, TF32" if flags.precision == "float32" else flags.precision, settings["step"])
    way = next((way for way in WAYS if (way.name.removesuffix(", graph"), way.step) == wanted), WAYS[1])
    known = model if model in ("pix2pix", "cyclegan", "cut") else "cyclegan"
    original, science = make_model(known, size=flags.size, width=flags.width, batch=1, device=device)
    step = make_step(way, original, science, noise(original, size=flags.size, batch=1, device=device), device=device)
    for _ in range(8):
        step()
    synchronise(device)
    begin = time.monotonic()
    for _ in range(20):
        step()
    synchronise(device)
    each = (time.monotonic() - begin) / 20
    return max(50, min(STEPS_PUBLISHED, int(SHARE * (seconds - START) / each)))


def keep_page(run: Run, to: Path, record: Record) -> None:
    """Copy the newest page of validation pictures out of the run."""
    pages = sorted((run.path / "samples").glob("*.png"))
    if pages:
        shutil.copy(pages[-1], to)
        record.note(f"page of the first validation pictures: {to.name}")
