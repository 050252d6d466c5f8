"""Everything that changes while a model is trained, saved and restored as one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import Model, build
from translate.training.ema import Average
from translate.training.initial import initialise
from translate.training.job import Job
from translate.training.loop import Step, make_optimizers, rate_factor
from translate.training.meter import Meter
from translate.training.validation import as_translator


def step_seed(seed: int, step: int) -> int:
    """Seed of every random draw in one step: a pure function, so there is no random state to save and restore."""
    return (seed * 1_000_003 + step) % 2**63


class Session:
    """Model, average, optimisers and counters of one run, on one device."""

    def __init__(self, job: Job, *, source: ImageSpec, target: ImageSpec, pairs: int, device: torch.device) -> None:
        run, science = job.run, job.science
        self.seed, self.science, self.device = run.seed, science, device
        self.per_step = science.batch * run.accumulate  # pairs
        self.steps = run.steps or math.ceil(science.epochs * pairs / self.per_step)
        self.steps_per_epoch = pairs / self.per_step
        self.format = torch.channels_last if run.channels_last else torch.contiguous_format

        torch.manual_seed(run.seed)
        self.model: Model = build(job.model, science, source=source, target=target, size=job.data.size)
        self.model.to(device).to(memory_format=self.format)
        self.average = Average(self.model, decay=run.ema) if run.ema else None
        self.optimizers = make_optimizers(self.model, science, device=device)
        self.step = Step(self.model, self.optimizers, device=device, precision=run.precision)
        self.meter = Meter()
        self.done = 0  # steps
        self.best: dict[str, float] | None = None  # validation figures of model.safetensors

    def advance(self, batches: Sequence[Batch]) -> None:
        """Make one optimisation step."""
        torch.manual_seed(step_seed(self.seed, self.done))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
        self.meter.add(self.done + 1, self.step([self._laid_out(batch) for batch in batches]))
        if self.average:
            self.average.update(self.model)
        self.done += 1

    def rate(self) -> float:
        """Learning rate of the coming step."""
        science = self.science
        return science.lr * rate_factor(
            self.done, steps=self.steps, schedule=science.schedule, decay_start=science.decay_start
        )

    def translators(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The raw and the averaged weights, as they would be used at inference."""
        return {name: as_translator(model) for name, model in self.candidates().items()}

    def candidates(self) -> dict[str, Model]:
        """The models that can be saved: raw, and averaged where there is an average."""
        return {"raw": self.model} | ({"averaged": self.average.model} if self.average else {})

    def start_from(self, path: Any) -> str:
        """Fine-tune: take over what fits from an earlier model; returns what to tell the user."""
        message = initialise(self.model, path)
        if self.average:
            self.average.model.load_state_dict(self.model.state_dict(), strict=False)
        return message

    def compile(self) -> None:
        """Compile the trained networks in place; names and weights stay as they are."""
        for name, _ in self.model.named_children():
            self.model.get_submodule(name).compile()

    def state_dict(self) -> dict[str, Any]:
        """All of it. Tensors and plain values only."""
        return {
            "step": self.done,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
            "scaler": self.step.scaler.state_dict(),
            "meter": self.meter.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict()` was taken."""
        self.done = state["step"]
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        if state["scaler"]:
            self.step.scaler.load_state_dict(state["scaler"])
        self.meter.load_state_dict(state["meter"], device=self.device)
        self.best = state["best"]

    def _laid_out(self, batch: Batch) -> Batch:
        if self.format is torch.contiguous_format:
            return batch
        return replace(
            batch,
            source=batch.source.contiguous(memory_format=self.format),
            target=batch.target.contiguous(memory_format=self.format),
        )


@contextmanager
def arithmetic(*, threads: int | None, deterministic: bool, device: torch.device) -> Iterator[None]:
    """Process-wide settings and random state for the block alone: `train` may be called from a larger program."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        if threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        if threads:
            torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.backends.cudnn.benchmark = before[2]
