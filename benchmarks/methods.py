"""Training steps of the models beside each other: time, memory, parameters and floating-point work.

    python -m benchmarks.methods [--models cyclegan,cut,fastcut,discogan,dualgan] [--size 256] [--rounds 3]

Each model lives in a process of its own, since the peak memory of a process never falls; they still take turns, one
step at a time. All are as published but for size, width and batch.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command
from benchmarks.measure import alternate, machine, peak_bytes, ratio, table
from benchmarks.train import make_model, noise
from translate.devices import pick_device
from translate.fields import Settings
from translate.models import MODELS
from translate.training import loop


class Flags(Settings):
    """Training steps of several models: time, memory, parameters and work beside those of the first."""

    models: str = Field("cyclegan,cut,fastcut,discogan,dualgan", description="models of the table, with commas between")
    size: int = Field(256, ge=4, description="side of the pictures, in pixels")
    width: int = Field(64, ge=1, description="channels of the first layer of all networks")
    batch: int = Field(1, ge=1, description="examples of a batch; a step takes as many batches as its model asks for")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="autocast type of the networks")
    rounds: int = Field(3, ge=1, description="measured rounds")
    warmup: int = Field(1, ge=0, description="rounds before those, which do not count")
    device: str = Field("auto", description="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1 or mps")
    threads: int | None = Field(None, ge=1, description="CPU threads of the networks (default: torch's own choice)")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.names:
            MODELS[name]
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"--models {self.models} names a model twice")
        return self

    @property
    def names(self) -> list[str]:
        """The models, the first one being what the others are compared with."""
        return self.models.split(",")


def work(connection: Connection, name: str, flags: Flags) -> None:
    """What the process of a model does: a step for every True it is sent, its memory and GFLOP at the False."""
    if flags.threads:
        torch.set_num_threads(flags.threads)
    device = pick_device(flags.device)
    before = peak_bytes()
    model, settings = make_model(name, size=flags.size, width=flags.width, batch=flags.batch, device=device)
    optimizers = loop.make_optimizers(model, settings, device=device)
    step = loop.Step(model, optimizers, device=device, precision=flags.precision, pace=settings.pace)
    batches = [noise(step.model, size=flags.size, batch=flags.batch, device=device) for _ in range(step.rounds)]
    connection.send(None)
    while connection.recv():
        step(batches)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        connection.send(None)
    grown = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes() - before
    with FlopCounterMode(display=False) as counter:
        step(batches)
    connection.send((grown, counter.get_total_flops()))


class Worker:
    """A model in a process of its own."""

    def __init__(self, name: str, flags: Flags) -> None:
        self.name = name
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, name, flags), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._answer()

    def step(self) -> None:
        """Run a step, and wait for its end."""
        self.connection.send(True)
        self._answer()

    def close(self) -> tuple[int, int]:
        """Bytes that the process has grown by, or that the GPU held, at most; and floating-point operations a step."""
        self.connection.send(False)
        memory, flops = self._answer()
        self.process.join()
        return memory, flops

    def _answer(self) -> tuple[int, int]:
        try:
            return self.connection.recv()
        except EOFError:
            raise ValueError(f"the process of {self.name} has ended early: is there memory for all models?") from None


def benchmark(flags: Flags) -> None:
    """Print the table."""
    where = pick_device(flags.device)
    empty = {
        name: make_model(name, size=flags.size, width=flags.width, batch=flags.batch, device=torch.device("meta"))
        for name in flags.names
    }  # refuses what cannot be built before any process starts
    workers = [Worker(name, flags) for name in flags.names]
    try:
        times = alternate({w.name: w.step for w in workers}, rounds=flags.rounds, warmup=flags.warmup)
        measured = {worker.name: worker.close() for worker in workers}
    finally:
        for worker in workers:
            worker.process.kill()
    if flags.threads:
        torch.set_num_threads(flags.threads)  # for the line about the machine
    first = flags.names[0]
    rows = [
        [
            name,
            flags.batch * max(settings.pace.steps.values(), default=1),
            f"{1000 * statistics.median(times[name]):.1f}",
            f"{ratio(times[name], times[first]):.2f}",
            f"{measured[name][0] / 2**30:.2f}",
            f"{measured[name][0] / measured[first][0]:.2f}",
            f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}",
            f"{measured[name][1] / 1e9:.2f}",
            f"{measured[name][1] / measured[first][1]:.2f}",
        ]
        for name, (model, settings) in empty.items()
    ]
    each = f"{flags.size} px, width {flags.width}, batch {flags.batch}, {flags.precision}"
    print(f"{each}; {machine(where)}\n")
    beside = [f"{what} / {first}'s" for what in ("time", "memory", "work")]
    titles = ["model", "examples", "ms", beside[0], "GiB", beside[1], "million weights", "GFLOP", beside[2]]
    print(table(rows, titles=titles))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.methods", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
