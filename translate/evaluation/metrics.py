"""Figures of merit between pictures, one for each picture of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

BETTER = {"l1": -1, "psnr": 1, "ssim": 1}
"""Sign that makes a larger figure a better one."""


def compare(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> dict[str, Tensor]:
    """L1 (share of the value range), PSNR (dB) and SSIM (Wang 2004) of each picture: three tensors `[B]`.

    Args:
        output, target: `[B, C, H, W]` in [-1, 1].
        valid: `[B, 1, H, W]` bool; other pixels are left out (SSIM: taken as equal).
    """
    output, target, count = _shares(output, target, valid)
    difference = (output - target).flatten(1)
    mse = difference.square().sum(1) / count
    shortest = min(output.shape[-2:])
    window = min(11, shortest - (shortest + 1) % 2)  # odd, and no larger than the picture
    ssim = structural_similarity_index_measure(
        output, target, data_range=1.0, gaussian_kernel=window == 11, kernel_size=window, reduction="none"
    )
    return {
        "l1": difference.abs().sum(1) / count,
        "psnr": -10 * torch.log10(mse.clamp(min=1e-10)),  # 100 dB for equal pictures
        "ssim": torch.as_tensor(ssim).reshape(-1),
    }


def l1(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """The first figure of `compare` alone, `[B]`, without the work of the others."""
    output, target, count = _shares(output, target, valid)
    return (output - target).abs().flatten(1).sum(1) / count


def _shares(output: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both in [0, 1], alike where they do not count, and how many numbers of each picture do, `[B]`."""
    output, target = (output.float() + 1) / 2, (target.float() + 1) / 2
    if valid is None:
        return output, target, torch.full((len(output),), output[0].numel(), device=output.device, dtype=torch.float32)
    return torch.where(valid, output, target), target, valid.flatten(1).sum(1).clamp(min=1) * output.shape[1]
