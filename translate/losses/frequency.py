"""Distance between pictures in their frequencies, those that are still wrong most of all."""

from __future__ import annotations

import torch
from torch import Tensor


def focal_frequency(output: Tensor, target: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Focal frequency loss (Jiang 2021), as a scalar: squared difference of 2-D Fourier coefficients, weighted.

    A coefficient's weight is the size of its difference to the power `alpha`, over the largest of its channel: at most
    1, and without a gradient. The transform is orthonormal; the mean is over coefficients, channels and batch. No
    gradient flows into `target`.

    Args:
        output: `[B, C, H, W]`, of any H and W.
        target: `[B, C, H, W]`.
        alpha: 0 weighs all alike: then it is the mean squared difference of the pixels (Parseval).
    """
    difference = _float(output) - _float(target.detach())
    squared = torch.view_as_real(torch.fft.fft2(difference, norm="ortho")).square().sum(-1)  # [B, C, H, W]
    size = squared.detach()
    weight = (size / size.amax((2, 3), keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)).pow(alpha / 2)
    return (weight * squared).mean()


def _float(picture: Tensor) -> Tensor:
    return picture.to(torch.promote_types(picture.dtype, torch.float32))
