"""Distance between pictures in how features go together, wherever they are: a style loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def style(output: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Squared difference of Gram matrices, as a scalar (Gatys 2016; over C H W as Johnson 2016).

    Summed over a matrix, the mean over batch and layers. 0 for equal features, and for those that lie elsewhere in the
    picture. No gradient flows into `target`.

    Args:
        output: for each layer `[B, C, H, W]`.
        target: the same of the pictures that it should be like; H and W may be others.
    """
    assert len(output) == len(target) > 0, "the same layers on both sides"
    distances = [(gram(o) - gram(t.detach())).square().sum((1, 2)).mean() for o, t in zip(output, target, strict=True)]
    return torch.stack(distances).mean()


def gram(features: Tensor) -> Tensor:
    """F F^T / (C H W) of features `[B, C, H, W]`: `[B, C, C]` float32, or float64 if they are."""
    flat = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)  # [B, C, H * W]
    if flat.is_meta:  # which has no autocast
        return flat @ flat.mT / (flat.shape[1] * flat.shape[2])
    with torch.autocast(flat.device.type, enabled=False):  # sums of thousands of squares
        return flat @ flat.mT / (flat.shape[1] * flat.shape[2])
