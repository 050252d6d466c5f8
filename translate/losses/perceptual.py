"""Distance between pictures in the features of a network: a perceptual loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-10  # added to a squared length: features of a flat patch may all be 0


def perceptual(output: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Squared distance of features brought to unit length over the channels at each position, as a scalar.

    The mean over positions, batch and layers: LPIPS (Zhang 2018) without learned weights, so that each layer counts
    alike. 0 for equal features, 2 for features at right angles, 4 for opposite ones. No gradient flows into `target`.

    Args:
        output: for each layer `[B, C, H, W]`.
        target: the same of the pictures that it should be like.
    """
    assert len(output) == len(target) > 0, "the same layers on both sides"
    distances = [(_unit(o) - _unit(t.detach())).square().sum(1).mean() for o, t in zip(output, target, strict=True)]
    return torch.stack(distances).mean()


def _unit(features: Tensor) -> Tensor:
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features * (features.square().sum(1, keepdim=True) + EPSILON).rsqrt()
