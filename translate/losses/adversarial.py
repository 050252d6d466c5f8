"""The game between the two players, on logits. Every cost is the mean over the patch map and the batch, in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.tables import Table


@dataclass(frozen=True)
class Objective:
    """Both sides of one game, each a function of logits `[B, ...]` that returns a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake)
    generator: Callable[[Tensor], Tensor]  # (fake)


def _towards(logits: Tensor, label: float, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    logits = logits.float()
    return cost(logits, torch.full_like(logits, label))


def _published(cost: Callable[[Tensor, Tensor], Tensor]) -> Objective:
    """pix2pix's and CycleGAN's scale: D halved, G whole (non-saturating: fakes are scored against 1)."""
    return Objective(
        discriminator=lambda real, fake: 0.5 * (_towards(real, 1.0, cost) + _towards(fake, 0.0, cost)),
        generator=lambda fake: _towards(fake, 1.0, cost),
    )


OBJECTIVES: Table[Objective] = Table(
    "objective",
    {
        "vanilla": _published(F.binary_cross_entropy_with_logits),  # Goodfellow 2014, non-saturating
        "lsgan": _published(F.mse_loss),  # Mao 2017
        "wasserstein": Objective(  # Arjovsky 2017: neither side halved; clip the critic's weights, or penalise
            discriminator=lambda real, fake: fake.float().mean() - real.float().mean(),
            generator=lambda fake: -fake.float().mean(),
        ),
    },
)
