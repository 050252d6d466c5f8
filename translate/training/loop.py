"""The optimisation step of every method, and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from translate.batch import Batch, Images, Losses, Stats
from translate.models import Model
from translate.settings import ModelSettings
from translate.tables import Table
from translate.training.group import ALONE, Group


def rate_factor(step: int, *, steps: int, schedule: str, decay_start: float) -> float:
    """Share of the full learning rate in step `step` (from 0) of `steps`: constant, then falling to 0 if asked.

    Both may be counted in examples instead.

    `linear` is the published course (100 epochs constant, 100 to 0), step by step instead of epoch by epoch.
    """
    start = round(steps * decay_start)
    if schedule == "constant" or step < start:
        return 1.0
    done = (step - start) / max(steps - start, 1)  # in [0, 1)
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


OPTIMIZERS: Table[Callable[..., torch.optim.Optimizer]] = Table(
    "optimizer",
    {
        # the fused kernel where there is one: a third of the time on CPU and CUDA, the same maths
        "adam": lambda weights, settings, device: torch.optim.Adam(
            weights,
            lr=_rate_tensor(settings.lr, device),
            betas=(settings.beta1, settings.beta2),
            fused=device.type in ("cpu", "cuda"),
        ),
        "rmsprop": lambda weights, settings, device: torch.optim.RMSprop(
            weights, lr=_rate_tensor(settings.lr, device), alpha=0.9, capturable=device.type == "cuda"
        ),
    },
)


def _rate_tensor(rate: float, device: torch.device) -> Tensor | float:
    """A learning rate that changes in place, so that a step which is one graph reads it; a number on other devices."""
    if device.type == "cpu":
        return torch.tensor(rate, dtype=torch.float64, device=device)  # to the last digit what the number would be
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
    return {
        player: make([p for name in submodules for p in model.get_submodule(name).parameters()], settings, device)
        for player, submodules in model.players.items()
    }


class Turn(nn.Module):
    """One player's objective as a module that holds this player's weights and no others.

    That is what DistributedDataParallel wants to wrap: it averages gradients only of a backward pass that began in its
    own `forward`, and waits for every weight that it holds.
    """

    def __init__(self, model: Model, player: str) -> None:
        super().__init__()
        self.player = player
        self.model = lambda: model  # not a submodule: the other player's weights would be held too
        for name in model.players[player]:
            self.add_module(name, model.get_submodule(name))

    def forward(self, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """The terms of the objective, and figures."""
        return self.model().objective(self.player, batch, images)


class Step:
    """One training iteration: every player makes its steps, in the model's order."""

    def __init__(
        self,
        model: Model,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        device: torch.device,
        precision: str = "float32",
        group: Group = ALONE,
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.device = device
        self.dtype = getattr(torch, precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.generate = model.generate
        self.turns = {player: group.wrap(Turn(model, player)) for player in optimizers}
        self.discriminators = {
            game.player for game in model.games
        }  # they need the fakes alone, and no gradient to them
        self.rounds = max(model.steps_per_iteration.get(player, 1) for player in optimizers)
        for game in model.games:
            game.across = group.mean

    def __call__(self, batches: Sequence[Batch], *, number: int = 0) -> dict[str, Tensor]:
        """Make iteration `number`, from 0. Returns detached scalars, unread.

        `batches` are dealt out to the rounds. In the last round all players make a step; in those before, the ones that
        make more of them. Several batches a round: their gradients are averaged.
        """
        each = len(batches) // self.rounds
        assert each * self.rounds == len(batches) > 0, "as many batches for every round"
        for game in self.model.games:
            game.penalty_due = number % game.interval == 0
        seen: dict[str, list[Tensor]] = {}
        for i in range(self.rounds):
            players = [p for p in self.optimizers if self.model.steps_per_iteration.get(p, 1) >= self.rounds - i]
            self._round(players, batches[i * each : (i + 1) * each], seen)
        return {name: torch.stack(values).mean() for name, values in seen.items()}

    def _round(self, players: Sequence[str], batches: Sequence[Batch], seen: dict[str, list[Tensor]]) -> None:
        """Each of `players` makes one step, on the same batches.

        A batch costs one generator pass, shared by the players. Where there are several, keeping all their graphs would
        cost the memory that accumulation is there to save: a discriminator whose step comes first has a pass of its
        own, without a graph, and one whose step comes later is shown the same fakes again.
        """
        made: dict[int, Images] = {}
        shared = len(batches) == 1
        for player in players:
            turn, optimizer = self.turns[player], self.optimizers[player]
            for i, batch in enumerate(batches):
                images = made.get(i) if shared or player in self.discriminators else None
                with _unsynchronised(turn) if i < len(batches) - 1 else nullcontext():
                    if images is None:
                        images = self._pass(batch, players if shared else [player])
                        made[i] = images if shared else {name: image.detach() for name, image in images.items()}
                    with only(self.model, self.model.players[player]):
                        with self.autocast():
                            losses, stats = turn(batch, images)
                        self.scaler.scale(total(losses) / len(batches)).backward()
                for name, value in {**losses, **stats}.items():
                    seen.setdefault(name, []).append(value.detach().float())
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            for game in self.model.games:
                game.after_step(player)
        self.scaler.update()

    def _pass(self, batch: Batch, players: Sequence[str]) -> Images:
        """What the generators make for `players`; without a graph where these are discriminators only."""
        with only(self.model, [name for player in players for name in self.model.players[player]]), self.autocast():
            return self.generate(batch, players)

    def compile(self) -> None:
        """Compile the generators' pass and each player's objective, whole; names and weights stay as they are."""
        self.generate = torch.compile(self.model.generate)
        for turn in self.turns.values():
            (turn.module if isinstance(turn, DistributedDataParallel) else turn).compile()

    def autocast(self) -> torch.autocast:
        """The precision of the networks' arithmetic; weights and Adam stay float32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


def _unsynchronised(turn: nn.Module) -> AbstractContextManager[None]:
    """Within, gradients pile up in each process by itself."""
    return turn.no_sync() if isinstance(turn, DistributedDataParallel) else nullcontext()


def total(losses: Losses) -> Tensor:
    """The objective: the sum of its named terms."""
    return torch.stack(list(losses.values())).sum()


@contextmanager
def only(model: nn.Module, submodules: Sequence[str]) -> Iterator[None]:
    """Within, only these submodules ask for weight gradients: a frozen D saves a third of its work in G's step."""
    frozen = [p for name, child in model.named_children() if name not in submodules for p in child.parameters()]
    frozen = [p for p in frozen if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
