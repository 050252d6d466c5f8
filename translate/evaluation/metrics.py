"""Figures of merit between pictures, one for each picture of a batch."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

BETTER = {"l1": -1, "psnr": 1, "ssim": 1}
"""Sign that makes a larger figure a better one."""

SSIM_PIXELS = 2**22  # of a picture at once: fifteen maps of their size are in memory together


def compare(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> dict[str, Tensor]:
    """L1 (share of the value range), PSNR (dB) and SSIM (Wang 2004) of each picture: three tensors `[B]`.

    Args:
        output, target: `[B, C, H, W]` in [-1, 1].
        valid: `[B, 1, H, W]` bool; other pixels are left out (SSIM: taken as equal).
    """
    output, target, count = _shares(output, target, valid)
    difference = (output - target).flatten(1)
    mse = difference.square().sum(1) / count
    return {
        "l1": difference.abs().sum(1) / count,
        "psnr": -10 * torch.log10(mse.clamp(min=1e-10)),  # 100 dB for equal pictures
        "ssim": _ssim(output, target),
    }


def _ssim(output: Tensor, target: Tensor) -> Tensor:
    """`[B]`; of large pictures by strips, whose rows count once, and which see what is beside them."""
    height, width = output.shape[-2:]
    shortest = min(height, width)
    window = min(11, shortest - (shortest + 1) % 2)  # odd, and no larger than the picture
    measure = partial(
        structural_similarity_index_measure,
        data_range=1.0,
        gaussian_kernel=window == 11,
        kernel_size=window,
        reduction="none",
    )
    if height * width <= SSIM_PIXELS:
        return torch.as_tensor(measure(output, target)).reshape(-1)
    rows, beside = max(SSIM_PIXELS // width, 1), window // 2
    total = torch.zeros(len(output), device=output.device)
    for start in range(0, height, rows):
        first, stop = max(start - beside, 0), min(start + rows, height)
        strip = slice(first, stop + beside)
        _, each = measure(output[..., strip, :], target[..., strip, :], return_full_image=True)
        total += each[..., start - first : stop - first, :].mean((1, 2, 3)) * ((stop - start) / height)
    return total


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
