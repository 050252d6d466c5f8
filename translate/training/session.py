"""Training state: model, average, optimisers and counters; saved and restored together."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from translate.batch import Batch
from translate.borrowed import Borrowed, environment
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.inference.torch_backend import check_fork
from translate.models import Model, build
from translate.models.game import CONDITIONS
from translate.networks.reference import measure, references_of
from translate.outside import visible
from translate.training.choice import Choice
from translate.training.ema import Average
from translate.training.graph import GraphStep
from translate.training.group import ALONE, Group
from translate.training.initial import initialise
from translate.training.job import Job
from translate.training.loop import Step, make_optimizers, rate_factor, set_rate
from translate.training.meter import Meter
from translate.training.state import check

NO_CONDITIONS = Conditions()
POOLED = {"image": "fake", **{name: f"fake.{name}" for name in CONDITIONS}}
"""What a pool keeps of a fake -> its name in a checkpoint, before the game's suffix."""


def step_seed(seed: int, step: int, *, rank: int = 0) -> int:
    """Seed of a process in one step. A pure function, so that there is no random state to save."""
    return (seed * 1_000_003 + step + (rank << 48)) % 2**63


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of the device that is trained on: what `torch.manual_seed` does to all."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class Session:
    """The training state of one run, on one device."""

    def __init__(
        self,
        job: Job,
        *,
        source: ImageSpec | None,
        target: ImageSpec,
        examples: int,
        conditions: Conditions = NO_CONDITIONS,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        """`examples`: in an epoch."""
        run, science = job.run, job.science
        self.seed, self.science, self.device, self.group = run.seed, science, device, group
        self.size = job.data.size
        self.format = torch.channels_last if run.channels_last else torch.contiguous_format

        torch.manual_seed(run.seed)
        self.model: Model = build(
            job.cls, science, source=source, target=target, size=job.data.size, conditions=conditions
        )
        self.model.to(device).to(memory_format=self.format)
        self.average = Average(self.model, decay=run.ema) if run.ema else None
        self.optimizers = make_optimizers(self.model, science, device=device)
        self.step = Step(
            self.model,
            self.optimizers,
            device=device,
            precision=run.precision,
            group=group,
            pace=science.pace,
            clip_gradients=science.clip_gradients,
        )
        self.stepping: Step | GraphStep = self.step  # what makes the steps: `graph.step_as_asked`
        self._rates: dict[str, float] = {}  # by player, as the optimisers have them
        self.meter = Meter()
        self.batches_a_step = run.accumulate * self.step.rounds  # of each process
        self.per_step = science.batch * self.batches_a_step * group.size  # examples, of all processes
        self.steps_per_epoch = examples / self.per_step
        self.done = 0  # steps
        self.seen = 0  # examples, of all processes
        self.best: dict[str, float] | None = None  # validation figures of model.safetensors
        self.choice = Choice()  # of the weights that are kept
        self._examples = examples
        self._log_every = run.log_every
        self._measured: int | None = None  # the step of whose weights the norms' constants are
        self._budget = run.steps, math.ceil(round(science.epochs * examples, 6))  # 1.1 times 100 are 110

    @property
    def steps(self) -> int:
        """Steps of the whole run: the setting, or the epochs' examples divided by those of a step."""
        steps, examples = self._budget
        return steps or self.done + max(0, math.ceil((examples - self.seen) / self.per_step))

    def advance(self, batches: Sequence[Batch]) -> None:
        """Make one optimisation step: seed and learning rate, `Step`, then the average."""
        seed_device(step_seed(self.seed, self.done, rank=self.group.rank), self.device)
        for player, optimizer in self.optimizers.items():
            if (rate := self.rate(player)) != self._rates.get(player):
                set_rate(optimizer, rate)
                self._rates[player] = rate
        self.step.measuring = (self.done + 1) % self._log_every == 0
        laid_out = [self._laid_out(batch) for batch in batches]
        self.meter.add(self.done + 1, self.stepping(laid_out, number=self.done, progress=self._progress()))
        if self.average:
            self.average.update(self.model)
        self.done += 1
        self.seen += self.per_step

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.seen / self._examples

    def rate(self, player: str | None = None) -> float:
        """Learning rate of the coming step; of a player, where its own differs."""
        at, end = self._place()
        schedule, decay_start = self.science.schedule, self.science.decay_start
        base = self.science.rates.get(player or "", self.science.lr)
        return base * rate_factor(at, steps=end, schedule=schedule, decay_start=decay_start)

    def own_rates(self) -> dict[str, float]:
        """Learning rates of the coming step of players whose own differs, as `lr_discriminator`."""
        own = self.science.rates
        return {f"lr_{player}": self.rate(player) for player in own if own[player] != self.science.lr}

    def _progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        at, end = self._place()
        return min(at / end, 1.0)

    def _place(self) -> tuple[int, int]:
        """What is done, and what there is: steps, or, so that schedules go on if processes change, examples."""
        steps, examples = self._budget
        return (self.done, steps) if steps else (self.seen, examples)

    @property
    def references(self) -> int:
        """Examples of the reference batch; 0: no norm needs one."""
        return max((part.count for part in references_of(self.model).values()), default=0)

    def refer(self, batch: Batch) -> None:
        """Choose the reference batch of a new run, before its first step: at least `references` examples."""
        for part in references_of(self.model).values():
            part.keep({**batch.pictures, **batch.draws})
        self._measured = None

    def _measure(self) -> None:
        """Give reference and virtual norms the constants of the weights as they are now, raw and averaged."""
        if self._measured == self.done:
            return
        self._measured = self.done
        for model in [self.model, *([self.average.model] if self.average else [])]:
            measure(model)

    def candidates(self) -> dict[str, Model]:
        """The models that can be saved: raw, and averaged where there is an average."""
        self._measure()
        return {"raw": self.model} | ({"averaged": self.average.model} if self.average else {})

    def start_from(self, path: Any, *, step: int | None = None) -> str:
        """Fine-tune: load what fits from an earlier model. Returns a report for the user."""
        message = initialise(self.model, path, step=step)
        self._measured = None
        if self.average:
            self.average.model.load_state_dict(self.model.state_dict(), strict=False)
        return message

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only. Every process has to call it; only the first gets the pools of all."""
        self._measure()
        return {
            "step": self.done,
            "seen": self.seen,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
            "scaler": self.step.scaler.state_dict(),
            "meter": self.meter.state_dict(),
            "pools": self.group.gather(self.pools()),
            "best": self.best,
            **({"choice": self.choice.state_dict()} if self.choice.records else {}),
        }

    def pools(self) -> dict[str, dict[str, Tensor]]:
        """The past fakes of this process, by player and name; empty before the first step."""
        kept: dict[str, dict[str, Tensor]] = {game.player: {} for game in self.model.games if game.pool is not None}
        for game in self.model.games:
            if game.pool is not None:
                kept[game.player] |= {f"{POOLED[name]}{game.suffix}": each for name, each in game.pool.kept.items()}
        return kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict()` was taken.

        Raises:
            ValueError: it is not the state of such a run.
        """
        check(state, self)
        try:
            self._load(state)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
            message = visible((str(error).strip() or type(error).__name__).splitlines()[0])[:200]
            raise ValueError(f"it does not fit this run: {message}") from error

    def _load(self, state: dict[str, Any]) -> None:
        self.done, self.seen, self._measured = state["step"], state["seen"], None
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"], raw=state["model"])
        for player, optimizer in self.optimizers.items():
            own = optimizer.state_dict()["param_groups"]  # from the settings, not from the file
            optimizer.load_state_dict({"state": state["optimizers"][player]["state"], "param_groups": own})
            _lay_out_as_weights(optimizer)
        if state["scaler"]:
            self.step.scaler.load_state_dict(state["scaler"])
        self.meter.load_state_dict(state["meter"], device=self.device)
        pools = state["pools"]  # of each process; additional processes take those of the first ones
        past = pools[self.group.rank % len(pools)]
        for game in self.model.games:
            if game.pool is not None:
                found = past.get(game.player, {})
                kept = {name: found[key] for name in POOLED if (key := f"{POOLED[name]}{game.suffix}") in found}
                game.pool.restore(kept, device=self.device)
        self._rates = {}
        if isinstance(self.stepping, GraphStep):
            self.stepping.forget()
        self.best = state["best"]
        if "choice" in state:
            self.choice.records, self.choice.files = state["choice"]["records"], state["choice"]["files"]

    def _laid_out(self, batch: Batch) -> Batch:
        if self.format is torch.contiguous_format:
            return batch
        laid_out = {name: picture.contiguous(memory_format=self.format) for name, picture in batch.pictures.items()}
        return replace(batch, pictures=laid_out)


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their weights: fused Adam reads both in memory order."""
    for weight, kept in optimizer.state.items():
        for name, moment in kept.items():
            if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
                kept[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)


Deterministic = tuple[bool, bool, bool]  # deterministic algorithms, warn only, cuDNN benchmark


def _deterministic() -> Deterministic:
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warned, torch.backends.cudnn.benchmark


def _be_deterministic(mode: Deterministic) -> None:
    if mode[:2] != _deterministic()[:2]:  # the call imports PyTorch's compiler, which takes more than a second
        torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])
    torch.backends.cudnn.benchmark = mode[2]


_threads = Borrowed(torch.get_num_threads, torch.set_num_threads)
_mode = Borrowed(_deterministic, _be_deterministic)
_workspace = environment("CUBLAS_WORKSPACE_CONFIG")


@contextmanager
def arithmetic(*, threads: int | None, deterministic: bool, device: torch.device) -> Iterator[None]:
    """Process-wide settings and random state for the block alone: `train` may be called from a larger program.

    Raises:
        ValueError: as `check_fork`.
    """
    with ExitStack() as stack:
        if deterministic:
            stack.enter_context(_workspace(os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")))
        if threads:
            stack.enter_context(_threads(threads))
        check_fork(device)
        stack.enter_context(_mode((deterministic, False, not deterministic)))
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        yield
