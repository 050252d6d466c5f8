"""Whether pictures come as fast as steps take them, and what it costs to write what a run writes."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import torch

from benchmarks.gpu.options import Flags
from benchmarks.gpu.pictures import COLOUR, Pairs, made_up
from benchmarks.gpu.record import Clock, Record
from benchmarks.gpu.steps import synchronise, timed
from benchmarks.train import make_model, noise
from translate.card import Card
from translate.datasets.batches import training_batches
from translate.devices import pick_device
from translate.settings import DataSettings
from translate.sizes import Size
from translate.training import loop
from translate.training.ema import Average
from translate.training.folder import RunFolder, save_model

SECONDS = 1.5  # of each measurement
USUAL_STEPS = 500  # between validations and checkpoints


def run(flags: Flags, record: Record, clock: Clock) -> None:
    """Pairs a second, and seconds of what is written."""
    device = pick_device(flags.device)
    both = (Record.read(flags.out, part) for part in ("steps", "graphs"))
    steps = [row for part in both for row in part.get("tables", {}).get("steps", [])]
    ours = [row for row in steps if row["model"] == "pix2pix" and row["batch"] == 1 and "plain" not in row["way"]]
    fastest = min((row["ms"] for row in ours), default=None)
    with tempfile.TemporaryDirectory() as folder:
        reading(flags, record, clock, Path(folder), fastest=fastest, device=device)
        writing(flags, record, Path(folder), fastest=fastest, device=device)


def reading(
    flags: Flags, record: Record, clock: Clock, folder: Path, *, fastest: float | None, device: torch.device
) -> None:
    """Pairs a second that the loader delivers on the device, normalised; beside what the fastest step takes."""
    load = round(flags.size * 286 / 256)
    pairs = flags.pairs or made_up(folder / "pairs", size=load, count=8 if flags.quick else 64, held=1, paired=True)
    files = sorted((pairs / "train").iterdir())[: 8 if flags.quick else 400]
    settings = DataSettings(data=pairs, size=Size.of(flags.size), load_size=Size.of(load))
    wanted = None if fastest is None else 1000 / fastest
    for cached in (False, True):
        dataset = Pairs(files, settings, cached=cached)
        for workers in (0,) if flags.quick else (0, min(8, os.cpu_count() or 1)):
            if clock.left < SECONDS and not flags.quick:
                record.note("left out for want of time: further ways to read")
                return
            cuda = device.type == "cuda"
            with closing(training_batches(dataset, batch=1, seed=0, workers=workers, pin=cuda)) as batches:
                for raw in islice(batches, 16):  # the start of the workers
                    raw.to(device, {"source": COLOUR, "target": COLOUR})
                synchronise(device)
                count, begin = 0, time.perf_counter()
                while count < 16 or (time.perf_counter() - begin < SECONDS and not flags.quick):
                    for raw in islice(batches, 16):
                        raw.to(device, {"source": COLOUR, "target": COLOUR})
                    count += 16
                synchronise(device)
                rate = count / (time.perf_counter() - begin)
            row = {"pictures": "in memory" if cached else "JPEG files, by Pillow", "workers": workers, "pairs/s": rate}
            record.row("reading", **row, **({} if wanted is None else {"fastest step takes": wanted}))


def writing(flags: Flags, record: Record, folder: Path, *, fastest: float | None, device: torch.device) -> None:
    """Seconds that a checkpoint and a model file take of the training, and their share at the usual intervals."""
    model, settings = make_model("pix2pix", size=flags.size, width=flags.width, batch=1, device=device)
    optimizers = loop.make_optimizers(model, settings, device=device)
    step = loop.Step(model, optimizers, device=device)
    step([noise(model, size=flags.size, batch=1, device=device)])
    average, run = Average(model, decay=0.999), RunFolder(folder / "run")
    times: dict[str, float] = {}
    card = Card(model="pix2pix", settings=settings.as_json(), source=COLOUR, target=COLOUR, size=Size.of(flags.size))
    with timed(times, "checkpoint", device):
        state = {
            "step": 1,
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizers": {player: optimizer.state_dict() for player, optimizer in optimizers.items()},
        }
        run.save_checkpoint(1, state, keep=1)
    with timed(times, "model file", device):
        save_model(run.model, average.model, card)
    sizes = {"checkpoint": sum(p.stat().st_size for p in run.checkpoints.rglob("*") if p.is_file())}
    sizes["model file"] = run.model.stat().st_size
    for name, seconds in times.items():
        share = None if fastest is None else 100 * seconds / (seconds + USUAL_STEPS * fastest / 1000)
        each = {} if share is None else {f"% of the time, one every {USUAL_STEPS} steps": share}
        record.row("writing", what=name, MB=sizes[name] / 1e6, seconds=seconds, **each)
