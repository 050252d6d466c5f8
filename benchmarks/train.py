"""Training steps of a model: the plain recipe in eager float32 beside what the flags make of it.

    python -m benchmarks.train [--model pix2pix] [--size 256] [--width 64] [--batch 1] [--rounds 10] [--compile]

"plain" is the published recipe written straight down: float32, per-tensor Adam without the fused kernel, every weight
of D given a gradient in G's step, a pass of its own for each kind of picture (source and identity, real and fake). All
candidates compute the same maths and take turns in one process.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from benchmarks import command
from benchmarks.measure import alternate, machine, peak_memory, ratio, table
from translate.batch import Batch
from translate.devices import pick_device
from translate.draws import draw_all
from translate.fields import Settings
from translate.images import ImageSpec
from translate.models import Model, build, model_class
from translate.models.cut import CUT
from translate.models.two_domains import TwoDomains
from translate.settings import ModelSettings
from translate.training import loop
from translate.training.ema import Average

COLOUR = ImageSpec(channels=3)


class Flags(Settings):
    """Training steps of a model, the plain recipe beside ours, and the stages of a step."""

    model: Literal["pix2pix", "cyclegan", "cut"] = Field("pix2pix", description="pix2pix, cyclegan or cut")
    size: int = Field(256, ge=4, description="side of the pictures, in pixels")
    width: int = Field(64, ge=1, description="channels of the first layer of both networks")
    batch: int = Field(1, ge=1, description="pairs a step")
    rounds: int = Field(10, ge=1, description="measured rounds")
    warmup: int = Field(2, ge=0, description="rounds before those, which do not count")
    stages: bool = Field(True, description="measure the stages of a step too")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads of the networks (default: torch's own choice)")
    compile: bool = Field(False, description="measure compiled networks too; compiling takes a minute or more")


def make_model(
    name: str, *, size: int, width: int, batch: int, device: torch.device, **changed: Any
) -> tuple[Model, ModelSettings]:
    """A freshly initialised model as published, but for its width and batch size, and the settings `changed`."""
    cls = model_class(name, allow=name)
    settings = cls.settings_class.make({"width": width, "discriminator_width": width, "batch": batch, **changed})
    torch.manual_seed(0)
    with device:
        return build(cls, settings, source=COLOUR, target=COLOUR, size=size), settings


def noise(model: Model, *, size: int, batch: int, device: torch.device) -> Batch:
    """Source and target of independent noise, which costs what pictures do."""
    pictures = torch.rand(2, batch, 3, size, size, device=device) * 2 - 1
    draws = [draw_all(model.draws(), seed=0, epoch=0, index=index) for index in range(batch)]
    numbers = {name: torch.from_numpy(np.stack([one[name] for one in draws])).to(device) for name in model.draws()}
    return Batch({"source": pictures[0], "target": pictures[1]}, draws=numbers)


def plain_step(model: Model, settings: ModelSettings, batch: Batch) -> Callable[[], None]:
    """The published recipe by hand."""
    if isinstance(model, TwoDomains | CUT):
        model.together = False
    for game in model.games:
        game.together = False
    optimizers = {
        player: torch.optim.Adam(
            [p for name in submodules for p in model.get_submodule(name).parameters()],
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            foreach=False,
            fused=False,
        )
        for player, submodules in model.players.items()
    }

    def step() -> None:
        images = model.generate(batch, tuple(model.players))
        losses_read: list[torch.Tensor] = []
        for player, optimizer in optimizers.items():
            losses, _ = model.objective(player, batch, images)
            optimizer.zero_grad()
            loop.total(losses).backward()
            optimizer.step()
            losses_read += losses.values()
        for value in losses_read:
            value.item()  # the reference reads its losses as it goes

    return step


def stages(
    model: Model, settings: ModelSettings, batch: Batch, *, precision: str, rounds: int, warmup: int
) -> list[list[str]]:
    """Milliseconds of each stage of our step."""
    device = batch.source.device
    optimizers = loop.make_optimizers(model, settings, device=device)
    step = loop.Step(model, optimizers, device=device, precision=precision, pace=settings.pace)
    average = Average(model, decay=0.999)
    times: dict[str, list[float]] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        if device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.setdefault(name, []).append(time.perf_counter() - begin)

    for _ in range(warmup + rounds):
        with stage("generator forward"), step.autocast():
            images = model.generate(batch, tuple(model.players))
        for player, optimizer in optimizers.items():
            with loop.only(model, model.players[player]):
                with stage(f"{player}: losses forward"), step.autocast():
                    losses, _ = model.objective(player, batch, images)
                with stage(f"{player}: backward"):
                    loop.total(losses).backward()
            with stage(f"{player}: Adam"):
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        with stage("average"):
            average.update(model)
    medians = {name: statistics.median(values[warmup:]) for name, values in times.items()}
    whole = sum(medians.values())
    return [[name, f"{1000 * value:.1f}", f"{100 * value / whole:.0f} %"] for name, value in medians.items()]


def benchmark(flags: Flags) -> None:
    """Print the tables."""
    if flags.threads:
        torch.set_num_threads(flags.threads)
    where = pick_device(flags.device)
    size, batch = flags.size, flags.batch
    original, settings = make_model(flags.model, size=size, width=flags.width, batch=batch, device=where)
    example = noise(original, size=size, batch=batch, device=where)

    work: dict[str, Callable[[], object]] = {"plain float32": plain_step(copy.deepcopy(original), settings, example)}
    variants = [("float32", False, False), ("bfloat16", False, False), ("bfloat16", True, False)]
    variants += [("bfloat16", True, True)] if flags.compile else []
    for precision, channels_last, compiled in variants:
        model = copy.deepcopy(original)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model.to(memory_format=layout)
        pictures = {name: x.contiguous(memory_format=layout) for name, x in example.pictures.items()}
        step = loop.Step(
            model,
            loop.make_optimizers(model, settings, device=where),
            device=where,
            precision=precision,
            pace=settings.pace,
        )
        if compiled:
            for name, _ in model.named_children():
                model.get_submodule(name).compile()
        title = precision + (", channels-last" if channels_last else "") + (", compiled" if compiled else "")
        work[title] = partial(step, [replace(example, pictures=pictures)])

    times = alternate(work, rounds=flags.rounds, warmup=flags.warmup)
    plain = times["plain float32"]
    rows = [
        [
            name,
            f"{1000 * statistics.median(t):.1f}",
            f"{batch / statistics.median(t):.1f}",
            f"{ratio(plain, t):.2f}",
        ]
        for name, t in times.items()
    ]
    print(f"{flags.model}, {size} px, width {flags.width}, batch {batch}; {machine(where)}\n")
    print(table(rows, titles=["step", "ms", "pairs/s", "plain / this"]))
    for precision in ("float32", "bfloat16") if flags.stages else ():
        print(f"\nstages, {precision}:\n")
        model = copy.deepcopy(original)
        rows = stages(model, settings, example, precision=precision, rounds=flags.rounds, warmup=flags.warmup)
        print(table(rows, titles=["stage", "ms", "share"]))
    print(f"\npeak memory {peak_memory()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.train", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
