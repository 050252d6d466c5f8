"""Objectives: the adversarial losses of both players, on logits; means over patches and batch, in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.tables import Table


@dataclass(frozen=True)
class Objective:
    """Both sides of one game, each a function of the logits `[B, ...]` of real and fake that returns a scalar.

    Functions of a module, or partial ones: they are pickled with the model that plays it.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real, fake)
    generator: Callable[[Tensor | None, Tensor], Tensor]  # (real, fake)
    pairs: bool = False  # the generator's cost needs the real ones, too (relativistic); else they may be None


def _towards(logits: Tensor, label: float, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    logits = logits.float()
    return cost(logits, torch.full_like(logits, label))


def _published(cost: Callable[[Tensor, Tensor], Tensor]) -> Objective:
    """pix2pix's and CycleGAN's scale: D halved, G whole (non-saturating: fakes are scored against 1)."""
    return Objective(discriminator=partial(_halved, cost=cost), generator=partial(_as_real, cost=cost))


def _halved(real: Tensor, fake: Tensor, *, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return 0.5 * (_towards(real, 1.0, cost) + _towards(fake, 0.0, cost))


def _as_real(real: Tensor | None, fake: Tensor, *, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return _towards(fake, 1.0, cost)


def _gap(real: Tensor, fake: Tensor) -> Tensor:
    return fake.float().mean() - real.float().mean()


def _raised(real: Tensor | None, fake: Tensor) -> Tensor:
    return -fake.float().mean()


OBJECTIVES: Table[Objective] = Table(
    "objective",
    {
        "vanilla": _published(F.binary_cross_entropy_with_logits),  # Goodfellow 2014, non-saturating
        "lsgan": _published(F.mse_loss),  # Mao 2017
        "wasserstein": Objective(_gap, _raised),  # Arjovsky 2017: neither side halved; clip the critic, or penalise
    },
)
