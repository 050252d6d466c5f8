"""The optimisation step of every method, and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from translate.batch import Batch, Losses
from translate.models import Model
from translate.settings import ModelSettings


def rate_factor(step: int, *, steps: int, schedule: str, decay_start: float) -> float:
    """Share of the full learning rate in step `step` (from 0) of `steps`: constant, then falling to 0 if asked.

    `linear` is the published course (100 epochs constant, 100 to 0), step by step instead of epoch by epoch.
    """
    start = round(steps * decay_start)
    if schedule == "constant" or step < start:
        return 1.0
    done = (step - start) / max(steps - start, 1)  # in [0, 1)
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def make_optimizers(model: Model, settings: ModelSettings, *, device: torch.device) -> dict[str, torch.optim.Adam]:
    """Adam for each player; the fused kernel where there is one (a third of the time on CPU and CUDA, same maths)."""
    return {
        player: torch.optim.Adam(
            [p for name in submodules for p in model.get_submodule(name).parameters()],
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            fused=device.type in ("cpu", "cuda"),
        )
        for player, submodules in model.players.items()
    }


class Step:
    """One optimisation step: every player moves once, in the model's order, on the same batches."""

    def __init__(
        self,
        model: Model,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.device = device
        self.dtype = getattr(torch, precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Move every player once; with several batches their gradients are averaged. Returns detached scalars, unread.

        One batch costs one generator pass, shared by the players. Several cost one a player each, since keeping all
        their graphs would cost the memory that accumulation is there to save.
        """
        seen: dict[str, Tensor] = {}
        with self.autocast():
            shared = self.model.translate(batches[0]) if len(batches) == 1 else None
        for player, optimizer in self.optimizers.items():
            with only(self.model, self.model.players[player]):
                for batch in batches:
                    with self.autocast():
                        images = shared or self.model.translate(batch)
                        losses, stats = self.model.losses(player, batch, images)
                    self.scaler.scale(total(losses) / len(batches)).backward()
                    for name, value in {**losses, **stats}.items():
                        seen[name] = seen.get(name, 0) + value.detach().float() / len(batches)
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            self.model.after_step(player, stats)
        self.scaler.update()
        return seen

    def autocast(self) -> torch.autocast:
        """The precision of the networks' arithmetic; weights and Adam stay float32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


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
