"""One wrapper around every discriminator, so that what is done to its input is written once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Scores(NamedTuple):
    """What a discriminator says of a batch."""

    logits: Tensor  # [B, 1, H', W'], one for each patch


class Critic(nn.Module):
    """Joins a spatial condition to the picture as channels (Mirza 2014) and runs the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *, condition: Tensor | None = None) -> Scores:
        """`image` and `condition` are `[B, C, H, W]` in [-1, 1], of one size; the condition's channels come first."""
        joined = image if condition is None else torch.cat([condition, image], 1)
        return Scores(self.network(joined))
