"""One optimisation step of any method: `Step`; with the optimisers and the learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from translate.batch import Batch, Images, Losses, Stats
from translate.models import Model
from translate.networks.passes import passes_counted_together
from translate.pace import Pace
from translate.settings import ModelSettings
from translate.tables import Table
from translate.training.group import ALONE, Group
from translate.training.unrolled import Unrolled


def rate_factor(step: int, *, steps: int, schedule: str, decay_start: float) -> float:
    """Factor of the learning rate in step `step` (from 0) of `steps`, in (0, 1]. Both may be counted in examples.

    It is 1 up to `decay_start`, a share of `steps`. Then "linear" and "cosine" fall to 0; "constant" stays. The
    published schedule (100 epochs constant, 100 to 0) is "linear", here by step, there by epoch.
    """
    start = round(steps * decay_start)
    if schedule == "constant" or step < start:
        return 1.0
    done = (step - start) / max(steps - start, 1)  # in [0, 1)
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


OPTIMIZERS: Table[Callable[..., torch.optim.Optimizer]] = Table(
    "optimizer",
    {
        # fused: a third of the time on CPU and CUDA, the same maths
        "adam": lambda weights, settings, device: torch.optim.Adam(
            weights,
            lr=_rate_tensor(settings.lr, device),
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        ),
        "rmsprop": lambda weights, settings, device: torch.optim.RMSprop(
            weights,
            lr=_rate_tensor(settings.lr, device),
            alpha=0.9,
            weight_decay=settings.weight_decay,
            capturable=device.type == "cuda",
        ),
        "sgd": lambda weights, settings, device: torch.optim.SGD(
            weights,
            lr=_rate_tensor(settings.lr, device),
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        ),
    },
)


def _rate_tensor(rate: float, device: torch.device) -> Tensor | float:
    """On CPU and CUDA a scalar tensor, which `set_rate` fills in place: a compiled step reads it. Elsewhere a float."""
    if device.type == "cpu":
        return torch.tensor(rate, dtype=torch.float64, device=device)  # float64: the same digits as a Python float
    return torch.tensor(rate, dtype=torch.float32, device=device) if device.type == "cuda" else rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all weights of `optimizer` this learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def make_optimizers(model: Model, settings: ModelSettings, *, device: torch.device) -> dict[str, torch.optim.Optimizer]:
    """An optimiser for each player."""
    make = OPTIMIZERS[settings.optimizer]
    optimizers = {
        player: make([p for name in submodules for p in model.get_submodule(name).parameters()], settings, device)
        for player, submodules in model.players.items()
    }
    for player, rate in settings.rates.items():
        set_rate(optimizers[player], rate)
    return optimizers


class PlayerObjective(nn.Module):
    """One player's objective, as a module with the weights of this player alone.

    DistributedDataParallel wraps it: that averages the gradients of a backward pass that started in its own `forward`,
    and waits for every weight that it holds.
    """

    def __init__(self, model: Model, player: str, *, unrolled: Unrolled | None = None) -> None:
        """`unrolled`: in place of the model's objective of this player."""
        super().__init__()
        self.player, self.unrolled = player, unrolled
        self.model = lambda: model  # hidden from nn.Module, which would add the weights of all players
        for name in model.players[player]:
            self.add_module(name, model.get_submodule(name))

    def forward(self, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """Named weighted terms of the objective, and figures; scalars."""
        if self.unrolled is not None:
            return self.unrolled(batch, images)
        return self.model().objective(self.player, batch, images)


class Step:
    """One training iteration: each player, in the model's order, makes its optimiser steps."""

    def __init__(
        self,
        model: Model,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        device: torch.device,
        precision: str = "float32",
        group: Group = ALONE,
        pace: Pace | None = None,
        clip_gradients: float | None = None,
    ) -> None:
        """
        Args:
            pace: how often the players step; by default each once. A model's own `steps_per_iteration` goes first.
            clip_gradients: the longest gradient of a player.
        """
        self.model = model
        self.optimizers = optimizers
        self.device = device
        self.dtype = getattr(torch, precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.generate = model.generate
        self.discriminators = {game.player for game in model.games}  # players that need fakes without gradients
        self.pace, self.clip_gradients, self.processes = pace or Pace(), clip_gradients, group.size
        self.objectives = {
            player: group.wrap(PlayerObjective(model, player, unrolled=self._unrolled(player, across=group.mean)))
            for player in optimizers
        }
        self.measuring = False  # note the norms of gradients in this step; set by the session
        self.gradients: dict[str, Tensor] = {}  # by player, discriminators aside: scalars on the device
        steps = {player: {**self.pace.steps, **model.steps_per_iteration}.get(player, 1) for player in optimizers}
        self.schedule = _rounds(steps, fresh=self.pace.fresh)  # the players of each round of an iteration
        self.rounds = len(self.schedule)
        self._others: dict[tuple[str, ...], list[nn.Parameter]] = {}  # submodules -> the weights outside them
        for game in model.games:
            game.across = group.mean

    def __call__(self, batches: Sequence[Batch], *, number: int = 0, progress: float = 0.0) -> dict[str, Tensor]:
        """Make iteration `number`, from 0. Returns the losses and figures: detached scalars on the device.

        Each round has its own share of `batches`; the gradients of several batches in a round are averaged.

        Args:
            progress: share of the training that is done, in [0, 1].
        """
        self.begin(number, progress)
        return self.iterate(batches)

    def begin(self, number: int, progress: float) -> None:
        """What an iteration takes from its number: the only part that is no function of tensors."""
        for game in self.model.games:
            game.before_step(number, progress)

    def iterate(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """All rounds of an iteration, as a pure function of tensors: what a graph is made of."""
        each = len(batches) // self.rounds
        assert each * self.rounds == len(batches) > 0, "as many batches for every round"
        seen: dict[str, list[Tensor]] = {}
        with passes_counted_together():
            for i, players in enumerate(self.schedule):
                self._round(players, batches[i * each : (i + 1) * each], seen)
        return {name: _mean(values) for name, values in seen.items()}

    def _round(self, players: Sequence[str], batches: Sequence[Batch], seen: dict[str, list[Tensor]]) -> None:
        """Each of `players` makes one step, on the same batches: one after the other, or all at once.

        A single batch takes one generator pass, shared by the players. With several (gradient accumulation) memory
        holds one graph at a time: a discriminator before the generator has a pass of its own without a graph, and one
        after it gets the generator's fakes again, detached.
        """
        made: dict[int, Images] = {}
        figures: dict[str, Stats] = {}
        shared = len(batches) == 1
        pictures = self.processes * sum(len(batch) for batch in batches)
        for player in players:
            objective = self.objectives[player]
            found: dict[str, list[Tensor]] = {}
            for i, batch in enumerate(batches):
                images = made.get(i) if shared or player in self.discriminators else None
                with _unsynchronised(objective) if i < len(batches) - 1 else nullcontext():
                    if images is None:
                        images = self._pass(batch, players if shared else [player])
                        made[i] = images if shared else {name: image.detach() for name, image in images.items()}
                    with self._only(self.model.players[player]):
                        with self.autocast():
                            losses, stats = objective(batch, images)
                        objective_value = total(losses) if shared else total(losses) / len(batches)
                        self.scaler.scale(objective_value).backward()
                for name, value in {**losses, **stats}.items():
                    found.setdefault(name, []).append(value.detach().float())
            figures[player] = {name: _mean(values) for name, values in found.items()}
            for name, value in figures[player].items():
                seen.setdefault(name, []).append(value)
            if not self.pace.simultaneous:
                self._move(player, figures[player], pictures=pictures)
        if self.pace.simultaneous:
            for player in players:
                self._move(player, figures[player], pictures=pictures)
        self.scaler.update()

    def _move(self, player: str, figures: Stats, *, pictures: int) -> None:
        """One optimiser step along the gradients that there are, which are of so many pictures."""
        optimizer = self.optimizers[player]
        measured = self.measuring and player not in self.discriminators
        if measured or self.clip_gradients is not None:
            self.scaler.unscale_(optimizer)
        if measured:
            self.gradients[player] = _norm(optimizer)
        if self.clip_gradients is not None:
            torch.nn.utils.clip_grad_norm_(_weights(optimizer), self.clip_gradients)
        self.scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        for game in self.model.games:
            game.after_step(player, figures, pictures=pictures)

    def _pass(self, batch: Batch, players: Sequence[str]) -> Images:
        """The generators' outputs for `players`; without a graph if these are all discriminators."""
        with self._only([name for player in players for name in self.model.players[player]]), self.autocast():
            return self.generate(batch, players)

    def _only(self, submodules: Sequence[str]) -> AbstractContextManager[None]:
        """As `only`; the weights of the others are looked up once, since walking modules takes longer than freezing."""
        key = tuple(submodules)
        if key not in self._others:
            self._others[key] = _outside(self.model, key)
        return _frozen(self._others[key])

    def _unrolled(self, player: str, *, across: Callable[[Tensor], Tensor]) -> Unrolled | None:
        """The objective of a generator that looks ahead of the discriminators."""
        if not self.pace.unroll or player in self.discriminators:
            return None
        model, optimizers, clip = self.model, self.optimizers, self.clip_gradients
        return Unrolled(model, player, optimizers, steps=self.pace.unroll, across=across, clip_gradients=clip)

    def compile(self) -> None:
        """Compile the generators' pass and each player's objective, whole; names and weights stay as they are."""
        self.generate = torch.compile(self.model.generate)
        for objective in self.objectives.values():
            (objective.module if isinstance(objective, DistributedDataParallel) else objective).compile()

    def autocast(self) -> torch.autocast:
        """The precision of the networks' arithmetic; weights and Adam stay float32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


def _unsynchronised(objective: nn.Module) -> AbstractContextManager[None]:
    """Within the block, gradients are summed in each process, and not averaged over processes."""
    return objective.no_sync() if isinstance(objective, DistributedDataParallel) else nullcontext()


def _norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Euclidean norm of all gradients together, left on the device."""
    return torch.stack(torch._foreach_norm([w.grad for w in _weights(optimizer) if w.grad is not None])).norm().float()


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _rounds(steps: Mapping[str, int], *, fresh: bool) -> list[list[str]]:
    """The players of each round of an iteration; a round has batches of its own.

    A player of k steps takes part in the last k rounds, so all of them in the last. With `fresh` each round is one
    player's.
    """
    if fresh:
        return [[player] for player, count in steps.items() for _ in range(count)]
    most = max(steps.values())
    return [[player for player, count in steps.items() if count >= most - i] for i in range(most)]


def _mean(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(list(values)).mean()


def total(losses: Losses) -> Tensor:
    """The objective: the sum of its named terms."""
    return torch.stack(list(losses.values())).sum()


def only(model: nn.Module, submodules: Sequence[str]) -> AbstractContextManager[None]:
    """Within the block, only these submodules need weight gradients: this saves a third of D's work in G's step."""
    return _frozen(_outside(model, submodules))


def _outside(model: nn.Module, submodules: Sequence[str]) -> list[nn.Parameter]:
    return [p for name, child in model.named_children() if name not in submodules for p in child.parameters()]


@contextmanager
def _frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    frozen = [p for p in parameters if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
