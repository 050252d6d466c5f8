"""An exponential moving average of the weights (EMA), beside the raw ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from translate.models import Model
from translate.networks.reference import references_of

Pairs = tuple[list[Tensor], list[Tensor]]
"""Tensors of the average, and those of the raw model."""


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
        self._of: Model | None = None  # the raw model whose tensors the lists hold: walking modules takes long
        self._weights: Pairs = ([], [])
        self._buffers: list[Pairs] = []  # one for each type, as a GPU copies them at once

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Average in the weights of `model`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        if self._of is not model:
            self._look_up(model)
        torch._foreach_lerp_(*self._weights, 1 - decay)
        for mine, theirs in self._buffers:
            torch._foreach_copy_(mine, theirs)

    def _look_up(self, model: Model) -> None:
        parts = [(self.model.get_submodule(name), model.get_submodule(name)) for name in model.deployed]
        weights = [pair for mine, raw in parts for pair in zip(mine.parameters(), raw.parameters(), strict=True)]
        buffers = [pair for mine, raw in parts for pair in zip(mine.buffers(), raw.buffers(), strict=True)]
        by_type: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
        for mine, theirs in buffers:
            if mine is not theirs:  # a reference batch is one for both
                by_type.setdefault(mine.dtype, []).append((mine, theirs))
        self._weights = [mine for mine, _ in weights], [raw.detach() for _, raw in weights]
        self._buffers = [([m for m, _ in pairs], [t for _, t in pairs]) for pairs in by_type.values()]
        self._of = model

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
