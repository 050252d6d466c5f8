"""Losses of conditions (GAN-CLS, AC-GAN, KL), and the gradient penalty of a Wasserstein critic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.losses.adversarial import Objective


def matching_aware(objective: Objective, *, right: Tensor, wrong: Tensor, fake: Tensor) -> Tensor:
    """D's cost of GAN-CLS (Reed 2016), as a scalar: a real picture with the text of another counts as a fake.

    With the objective's cost C and its published half, 0.5 [C(right -> real) + 0.5 (C(wrong -> fake) +
    C(fake -> fake))]. For "wasserstein", which halves nothing: the mean of both fakes less the real.

    Args:
        right: logits `[B, ...]` of real pictures with what belongs to them.
        wrong: of real pictures with what belongs to others.
        fake: of fakes with what they were made by.
    """
    return 0.5 * (objective.discriminator(right, wrong) + objective.discriminator(right, fake))


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


def kl_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) in nats, as a scalar: summed over the numbers of a code, the batch's mean.

    Args:
        mu: `[B, D]`.
        logvar: `[B, D]`.
    """
    mu, logvar = mu.float(), logvar.float()
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()


def gradient_penalty(
    score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, eps: Tensor, weight: float = 10.0
) -> Tensor:
    """WGAN-GP (Gulrajani 2017): weight * E (||gradient of the score by the picture|| - 1)^2, between real and fake.

    It keeps the critic of the objective "wasserstein" about 1-Lipschitz, in place of clipped weights. It needs a norm
    that keeps pictures apart (not batch norm), and a second derivative: it costs about another step of D.

    Args:
        score: pictures -> logits `[B, ...]`, of which each picture's mean is its score, as in the objective.
        real: `[B, C, H, W]`.
        fake: `[B, C, H, W]`; gets no gradient.
        eps: `[B, 1, 1, 1]` in [0, 1): the share of the real picture.
        weight: 10 as published.
    """
    between = (eps * real.detach() + (1 - eps) * fake.detach().to(real.dtype)).requires_grad_()
    scores = score(between).float().flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return weight * (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()
