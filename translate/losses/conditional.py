"""Losses of conditions: GAN-CLS, AC-GAN, KL; and of a code that is read off a picture (InfoGAN)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def matching_aware(cost: Callable[[Tensor, Tensor], Tensor], *, right: Tensor, wrong: Tensor, fake: Tensor) -> Tensor:
    """D's cost of GAN-CLS (Reed 2016), as a scalar: a real picture with the text of another counts as a fake.

    With the objective's cost C and its published half, 0.5 [C(right -> real) + 0.5 (C(wrong -> fake) +
    C(fake -> fake))]. For "wasserstein", which halves nothing: the mean of both fakes less the real.

    Args:
        cost: D's cost of logits (real, fake): `Objective.discriminator`.
        right: logits `[B, ...]` of real pictures with what belongs to them.
        wrong: of real pictures with what belongs to others.
        fake: of fakes with what they were made by.
    """
    return 0.5 * (cost(right, wrong) + cost(right, fake))


def class_cost(logits: Tensor, label: Tensor, *, several: bool = False, kept: Tensor | None = None) -> Tensor:
    """Cross-entropy of an auxiliary classifier (AC-GAN, Odena 2017), as a scalar, in nats.

    Cross-entropy, the mean over the batch; pictures without a label count as 0. With `several` labels a picture binary
    cross-entropy instead, summed over the classes, as the labels are taken to be independent (StarGAN, Choi 2018).

    Args:
        logits: `[B, K]`.
        label: `[B, K]` float, 1 for each label of a picture.
        kept: `[B]` bool: pictures whose labels count; the others count as 0. None: all.
    """
    logits, label = logits.float(), label.float()
    if several:
        costs = F.binary_cross_entropy_with_logits(logits, label, reduction="none").sum(1)
    else:
        costs = F.cross_entropy(logits, label, reduction="none")
    return costs.mean() if kept is None else torch.where(kept, costs, 0.0).mean()


MIN_LOGVAR = -7.0  # a deviation of 0.03: a code that is found exactly would else have no smallest cost


def gaussian_cost(mean: Tensor, logvar: Tensor, value: Tensor) -> Tensor:
    """-log N(value; mean, exp(logvar)) in nats, as a scalar: summed over the numbers of a code, the batch's mean.

    For a continuous code that is read off a picture (InfoGAN, Chen 2016).

    Args:
        mean: `[B, D]`.
        logvar: `[B, D]`; below `MIN_LOGVAR` it counts as that.
        value: `[B, D]`, what should be read.
    """
    mean, logvar, value = mean.float(), logvar.float().clamp(min=MIN_LOGVAR), value.float()
    return 0.5 * ((value - mean).square() * (-logvar).exp() + logvar + math.log(2 * math.pi)).sum(1).mean()


def kl_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) in nats, as a scalar: summed over the numbers of a code, the batch's mean.

    Args:
        mu: `[B, D]`.
        logvar: `[B, D]`.
    """
    mu, logvar = mu.float(), logvar.float()
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
