"""L1, PSNR and SSIM between outputs and their targets: of each picture of a batch, and their means."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from translate.batch import Batch, quantize
from translate.evaluation.base import Examples, Figures, Measure
from translate.figures import PAIRED
from translate.images import ImageSpec

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
    # here, as it takes seconds to import: with it come packages that nothing here uses
    from torchmetrics.functional.image import structural_similarity_index_measure

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


class PairedFigures(Measure):
    """Means of `compare` over all examples, between outputs and their own targets."""

    needs = "pairs"
    better = PAIRED
    shown: ClassVar[Mapping[str, str]] = {"l1": "L1 {:.4f}", "psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.3f}"}

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        spec = self.examples.target
        compared = compare(_as_written(outputs["output"], spec), _as_written(batch.target, spec), valid=batch.valid)
        for figure, values in compared.items():
            self._sums[figure] = self._sums.get(figure, 0.0) + float(values.sum())
        self._count += len(batch)

    def figures(self) -> Figures:
        return {name: total / self._count for name, total in self._sums.items()}


def _as_written(values: Tensor, spec: ImageSpec) -> Tensor:
    """Label maps as the colours they will be written in, images as they are: `[B, C, H, W]` in [-1, 1]."""
    if spec.kind == "image":
        return values
    return quantize(values, spec).permute(0, 3, 1, 2) / 127.5 - 1
