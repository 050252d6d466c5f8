"""Costs of a discriminator that labels pixels (OASIS, Sushko 2021): N true classes, and one more for fakes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_balance(classes: Tensor, *, count: int) -> Tensor:
    """Weights `[N]` of the classes: pixels / (classes present x pixels of the class); 0 of those that are not there.

    Args:
        classes: `[B, H, W]` int64 below `count`; -1: the pixel does not count.
        count: how many there are, N.
    """
    counted = classes >= 0
    pixels = torch.zeros(count, device=classes.device, dtype=torch.float32)
    pixels.scatter_add_(0, classes.clamp(min=0).flatten(), counted.flatten().to(pixels.dtype))
    weights = pixels.sum() / ((pixels > 0).sum() * pixels).clamp(min=1)
    return torch.where(pixels > 0, weights, 0.0)


def true_classes(segments: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of each pixel with its own class, weighted by `class_balance`; the mean over pixels, a scalar.

    That is the mean over the classes which are present. Minimised by D on real pictures, and by G on fakes.

    Args:
        segments: logits `[B, N + 1, H, W]`.
        classes: `[B, H, W]` int64, -1: the pixel does not count.
    """
    weights = class_balance(classes, count=segments.shape[1] - 1)
    costs = F.cross_entropy(segments.float(), classes.clamp(min=0), reduction="none")
    return _mean(costs * weights[classes.clamp(min=0)], classes)


def all_fake(segments: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of each pixel with the class "fake", not weighted; the mean over pixels, a scalar.

    Args:
        segments: logits `[B, N + 1, H, W]` of fakes.
        classes: `[B, H, W]` int64, for the pixels that do not count: -1.
    """
    costs = segments.float().logsumexp(1) - segments[:, -1].float()
    return _mean(costs, classes)


def label_mask(classes: Tensor, numbers: Tensor) -> Tensor:
    """LabelMix's mask `[B, 1, H, W]` bool, which follows the borders of the label map: True has the real picture.

    Args:
        classes: `[B, H, W]` int64, -1: the pixel does not count.
        numbers: `[B, N]` uniform in [0, 1): each class of each picture is real where its number is below a half.
    """
    chosen = numbers.gather(1, classes.clamp(min=0).flatten(1)).view_as(classes)
    return (chosen < 0.5)[:, None]


def label_mix(mixed: Tensor, real: Tensor, fake: Tensor, *, mask: Tensor, classes: Tensor) -> Tensor:
    """How far D's logits of the mixed picture are from its mixed logits: mean squared difference, a scalar.

    Args:
        mixed: logits `[B, N + 1, H, W]` of the picture that is real where `mask` is, and fake elsewhere.
        real, fake: those of both pictures.
        mask: `[B, 1, H, W]` bool.
        classes: `[B, H, W]` int64, for the pixels that do not count: -1.
    """
    wanted = torch.where(mask, real.float(), fake.float())
    return _mean((mixed.float() - wanted).square().mean(1), classes)


def _mean(costs: Tensor, classes: Tensor) -> Tensor:
    """Over the pixels that count, `[B, H, W]`; 0 if none does."""
    counted = classes >= 0
    return torch.where(counted, costs, 0.0).sum() / counted.sum().clamp(min=1)
