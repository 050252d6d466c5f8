"""Distances between an output and its target, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def l1(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of `[B, C, H, W]`; weighted by `weight`, `[B, 1, H, W]` bool or not negative."""
    return _mean((output.float() - target.float()).abs(), weight)


def mse(output: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference of `[B, C, H, W]`; weighted as in `l1`."""
    return _mean((output.float() - target.float()).square(), weight)


def class_weights(classes: Tensor, *, count: int, power: float) -> Tensor:
    """Weights `[B, 1, H, W]` of pixels by how many of their picture share their class: that number to the -power.

    0 weighs all pixels alike, 1 all classes of a picture (balancing by frequency: Eigen and Fergus 2015). Without it a
    door of a hundredth of the front has a hundredth of the gradient, less than the noise of the rest.

    Args:
        classes: `[B, H, W]` int64, below `count`.
    """
    flat = classes.flatten(1)
    counts = torch.zeros(len(flat), count, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    return counts.gather(1, flat).pow(-power).view_as(classes).unsqueeze(1)


def _mean(difference: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return difference.mean()
    weight = weight.to(difference.dtype)
    total = weight.sum() * difference.shape[1]
    return (difference * weight).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)  # no pixel counts: 0
