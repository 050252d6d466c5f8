"""Distances between a picture and the one it should be."""

from __future__ import annotations

from torch import Tensor


def l1(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of `[B, C, H, W]`; with `valid` (`[B, 1, H, W]` bool) over those pixels only."""
    return _mean((output.float() - target.float()).abs(), valid)


def mse(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Mean squared difference of `[B, C, H, W]`; with `valid` (`[B, 1, H, W]` bool) over those pixels only."""
    return _mean((output.float() - target.float()).square(), valid)


def _mean(difference: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return difference.mean()
    return (difference * valid).sum() / (valid.sum() * difference.shape[1]).clamp(min=1)
