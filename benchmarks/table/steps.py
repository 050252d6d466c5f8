"""Training steps: the published code by hand, ours in plain form, and ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain import steps as published
from benchmarks.table.options import Bench, Kind
from benchmarks.table.report import Contest
from benchmarks.train import make_model, noise, plain_step
from benchmarks.turns import Candidate, Work
from translate.models import Model
from translate.networks.resnet import blocks_for
from translate.networks.unet import depth_for
from translate.settings import ModelSettings
from translate.training import loop
from translate.tuning import WAITING, keep_freed_memory

CPU = torch.device("cpu")
THEIRS, PLAIN = "theirs, float32", "ours, plain float32"


@dataclass(frozen=True)
class Case:
    """What is trained."""

    model: str
    size: int
    width: int
    batch: int

    def made(self, *, device: torch.device = CPU, **settings: Any) -> tuple[Model, ModelSettings]:
        """The model and its settings, `settings` aside as published."""
        return make_model(self.model, size=self.size, width=self.width, batch=self.batch, device=device, **settings)


@dataclass(frozen=True)
class Way:
    """How `translate train` runs a step: what its flags come to."""

    name: str
    precision: Kind = "float32"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the model, by their names as flags
    step: Mapping[str, Any] = field(default_factory=dict)  # further arguments of `loop.Step`


EXACT = Way("ours, float32")
FAST = Way("ours, bfloat16", precision="bfloat16")
"""The fastest way to train on a CPU: this is the one place that says what it is."""

WAYS = (EXACT, FAST)


def theirs(case: Case) -> Work:
    """The published step, with our first weights."""
    model, _ = case.made()
    made: dict[str, Callable[[], published.Training]] = {
        "pix2pix": lambda: published.Pix2Pix(depth=depth_for(case.size), width=case.width),
        "cyclegan": lambda: published.CycleGAN(blocks=blocks_for(case.size), width=case.width),
        "cut": lambda: published.CUT(blocks=blocks_for(case.size), width=case.width),
    }
    training = made[case.model]()
    with torch.no_grad():
        for name, network in training.networks.items():
            own = model.get_submodule(name).parameters()
            for weight, mine in zip(network.parameters(), own, strict=True):
                weight.copy_(mine)
    example = noise(model, size=case.size, batch=case.batch, device=CPU)
    return partial(training, example.source, example.target)


def plain(case: Case) -> Work:
    """Ours without any of what makes it fast: see `benchmarks.train`."""
    model, settings = case.made()
    return plain_step(model, settings, noise(model, size=case.size, batch=case.batch, device=CPU))


def ours(case: Case, way: Way, **further: Any) -> Work:
    """The step of `translate train`, in a process like the command's, with `further` settings of the model."""
    keep_freed_memory()
    model, settings = case.made(**way.settings, **further)
    optimizers = loop.make_optimizers(model, settings, device=CPU)
    step = loop.Step(model, optimizers, device=CPU, precision=way.precision, pace=settings.pace, **way.step)
    example = noise(model, size=case.size, batch=case.batch, device=CPU)
    return _unread(partial(step, [example]))


def _unread(step: Work) -> Work:
    def run() -> None:
        step()  # its losses stay where they are, as in training

    return run


def flops(case: Case) -> float:
    """Floating-point operations of a step of ours: convolutions and products of matrices, forward and backward."""
    meta = torch.device("meta")
    model, settings = case.made(device=meta)
    optimizers: dict[str, torch.optim.Optimizer] = {
        player: torch.optim.SGD([p for name in names for p in model.get_submodule(name).parameters()], lr=0.0)
        for player, names in model.players.items()
    }
    step = loop.Step(model, optimizers, device=CPU, pace=settings.pace)
    example = noise(model, size=case.size, batch=case.batch, device=meta)
    with FlopCounterMode(display=False) as counter:
        step([example])
    return counter.get_total_flops()


def contest(bench: Bench, *, case: Case, rounds: int, target: float) -> Contest:
    """The published step beside ours; `target` is the ratio that the fastest should reach."""
    if bench.flags.quick:
        case = Case(case.model, size=32, width=4, batch=case.batch)
    candidates = [Candidate(THEIRS, theirs, {"case": case}), Candidate(PLAIN, plain, {"case": case})]
    candidates += [Candidate(way.name, ours, {"case": case, "way": way}, WAITING) for way in WAYS]
    width = "" if case.width == 64 else f", width {case.width}"
    return Contest(
        f"{case.model}, {case.size} px{width}, batch {case.batch}: a step",
        candidates,
        rounds,
        kinds={way.name: way.precision for way in WAYS},
        targets={FAST.name: target},
        flops=flops(case),
    )
