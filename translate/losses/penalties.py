"""Penalties on the gradient of a discriminator's score by what it sees: WGAN-GP, R1 and R2.

Each needs a norm that keeps pictures apart (not batch norm), and a second derivative: about another step of D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Score = Callable[[Sequence[Tensor]], Tensor]
"""What D sees, such as a source and a picture, `[B, C, H, W]` each -> the score `[B]` of each example."""


def gradient_penalty(
    score: Score,
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    *,
    eps: Tensor,
    weight: float = 10.0,
    through: bool = False,
) -> Tensor:
    """WGAN-GP (Gulrajani 2017): weight * E (||gradient of the score|| - 1)^2 between real and fake, as a scalar.

    It keeps a critic about 1-Lipschitz, in place of clipped weights.

    Args:
        real: all that D sees of real examples, `[B, C, H, W]` each.
        fake: the same of fakes.
        eps: `[B, 1, 1, 1]` in [0, 1): the share of the real ones.
        weight: 10 as published.
        through: the fakes get gradients, as an unrolled discriminator needs.
    """
    fake = fake if through else [f.detach() for f in fake]
    between = [eps * r.detach() + (1 - eps) * f.to(r.dtype) for r, f in zip(real, fake, strict=True)]
    return weight * (_gradients(score, between).norm(dim=1) - 1).square().mean()


def zero_centred(score: Score, seen: Sequence[Tensor], *, gamma: float, through: bool = False) -> Tensor:
    """gamma / 2 * E ||gradient of the score||^2, as a scalar: R1 at real examples, R2 at fakes (Mescheder 2018).

    Args:
        seen: all that D sees of the examples, `[B, C, H, W]` each.
        through: what needs gradients of `seen` gets them, as an unrolled discriminator needs.
    """
    # a view: were `score` to depend on `one` by other ways, too, as unrolled weights do, these would not count
    seen = [one.view_as(one) if through and one.requires_grad else one.detach() for one in seen]
    return gamma / 2 * _gradients(score, seen).square().sum(1).mean()


def _gradients(score: Score, seen: Sequence[Tensor]) -> Tensor:
    """The gradient `[B, N]` float32 of each example's score by all that D sees of it."""
    seen = [one.requires_grad_() for one in seen]
    gradients = torch.autograd.grad(score(seen).sum(), seen, create_graph=True)
    return torch.cat([gradient.float().flatten(1) for gradient in gradients], 1)
