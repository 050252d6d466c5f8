"""An exponential moving average of the weights (EMA), beside the raw ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from translate.models import Model
from translate.networks.reference import references_of


class Average:
    """Exponential moving average of a model's deployed submodules, with a warm-up.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that early averages follow quickly instead of
    remembering the random start. Buffers (running statistics) are copied, not averaged.
    """

    def __init__(self, model: Model, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        # a Model of the deployed submodules alone: called and saved like the raw one
        self.model = copy.copy(model)
        # both have one reference batch
        shared = {id(kept): kept for part in references_of(model).values() for kept in part.buffers()}
        self.model._modules = {name: copy.deepcopy(model.get_submodule(name), dict(shared)) for name in model.deployed}
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Average in the weights of `model`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name in model.deployed:
            average, raw = self.model.get_submodule(name), model.get_submodule(name)
            _lerp(average, raw, 1 - decay)
            for mine, theirs in zip(average.buffers(), raw.buffers(), strict=True):
                mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the number of updates."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any], *, raw: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`.

        Args:
            raw: the weights beside it, from which an encoder is taken that earlier versions did not average.
        """
        self.updates = state["updates"]
        encoders = tuple(f"{name}." for name in self.model.encoding)
        encoding = {name: value for name, value in raw.items() if name.startswith(encoders)}
        self.model.load_state_dict({**encoding, **state["model"]})


def _lerp(average: nn.Module, raw: nn.Module, weight: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in raw.parameters()], weight)
