"""Outputs beside their own targets, of each picture and in the mean: L1, PSNR, SSIM, MS-SSIM, perceptual, LPIPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.batch import Batch, quantize, with_known
from translate.evaluation.base import Examples, Figures, Measure
from translate.figures import LPIPS, MULTI_SCALE, PAIRED, PERCEPTUAL
from translate.images import ImageSpec
from translate.losses import perceptual

SSIM_WINDOW = 11  # pixels of a side, Gaussian
SSIM_PIXELS = 2**22  # of a picture at once: fifteen maps of their size are in memory together
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, from fine to coarse (Wang 2003)
MS_SSIM_SIDE = 161  # pixels of the shorter side, at least: 10 are left at the coarsest scale


def compare(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> dict[str, Tensor]:
    """L1 (share of the value range), PSNR (dB), SSIM (Wang 2004) and MS-SSIM (Wang 2003) of each picture, `[B]` each.

    Args:
        output, target: `[B, C, H, W]` in [-1, 1]. Without MS-SSIM where `without_scales` says why.
        valid: `[B, 1, H, W]` bool; other pixels are left out (SSIM and MS-SSIM: taken as equal).
    """
    output, target, count = _shares(output, target, valid)
    difference = (output - target).flatten(1)
    mse = difference.square().sum(1) / count
    figures = {
        "l1": difference.abs().sum(1) / count,
        "psnr": -10 * torch.log10(mse.clamp(min=1e-10)),  # 100 dB for equal pictures
        "ssim": _ssim(output, target),
    }
    return figures if without_scales(*output.shape[-2:]) else figures | {"ms_ssim": _ms_ssim(output, target)}


def _ssim(output: Tensor, target: Tensor) -> Tensor:
    """`[B]`: over the pixels whose window lies within the picture, as Wang's own code and scikit-image have it.

    Pictures that are no larger than a window are mirrored at their border. Large ones are measured by strips, whose
    rows count once, and which see what is beside them.
    """
    # here, as it takes seconds to import: with it come packages that nothing here uses
    from torchmetrics.functional.image import structural_similarity_index_measure

    height, width = output.shape[-2:]
    shortest = min(height, width)
    window = min(SSIM_WINDOW, shortest - (shortest + 1) % 2)  # odd, and no larger than the picture
    beside = window // 2
    border = beside if shortest > window else 0
    rows, counted = max(SSIM_PIXELS // width, 1), height - 2 * border
    total = torch.zeros(len(output), device=output.device)
    for start in range(border, height - border, rows):
        stop = min(start + rows, height - border)
        first = max(start - beside, 0)
        strip = slice(first, stop + beside)
        _, each = structural_similarity_index_measure(
            output[..., strip, :],
            target[..., strip, :],
            data_range=1.0,
            gaussian_kernel=window == SSIM_WINDOW,
            kernel_size=window,
            reduction="none",
            return_full_image=True,
        )
        inside = each[..., start - first : stop - first, border : width - border]
        total += inside.mean((1, 2, 3)) * ((stop - start) / counted)
    return total


def without_scales(height: int, width: int) -> str | None:
    """Why pictures of this size have no MS-SSIM, in words; None if they have."""
    if min(height, width) < MS_SSIM_SIDE:
        return f"it takes pictures of {MS_SSIM_SIDE} pixels at least, and there are {width}x{height}"
    if height * width > SSIM_PIXELS:
        return f"pictures of {width}x{height} pixels are too large for it (more than {SSIM_PIXELS})"
    return None


def _ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """`[B]`: contrast and structure at five scales, and brightness at the coarsest; mirrored at the border."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    value = torch.ones(len(output), device=output.device)
    for scale, weight in enumerate(SCALE_WEIGHTS, 1):
        ssim, contrast = structural_similarity_index_measure(
            output, target, data_range=1.0, reduction="none", return_contrast_sensitivity=True
        )
        found = torch.as_tensor(ssim if scale == len(SCALE_WEIGHTS) else contrast).reshape(-1)
        value = value * found.clamp(min=0) ** weight  # negative ones have no such power
        output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
    return value


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
    """`compare` of all examples, between outputs and their own targets."""

    needs = ("pairs",)
    better: ClassVar = {**PAIRED, **MULTI_SCALE}
    shown: ClassVar[Mapping[str, str]] = {
        "psnr": "{:.2f} dB",
        "ssim": "{:.3f}",
        "ms_ssim": "{:.3f}",
    }

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._each: dict[str, list[float]] = {}
        self._without_scales = ""  # why, of the first such picture

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        spec = self.examples.target
        compared = compare(as_written(outputs["output"], spec), as_written(batch.target, spec), valid=batch.valid)
        for figure, values in compared.items():
            self._each.setdefault(figure, []).extend(values.tolist())
        self._without_scales = self._without_scales or without_scales(*batch.target.shape[-2:]) or ""

    def each(self) -> dict[str, list[float]]:
        left_out = self.left_out()
        return {figure: values for figure, values in self._each.items() if figure not in left_out}

    def figures(self) -> Figures:
        return means(self.each())

    def left_out(self) -> dict[str, str]:
        return {"ms_ssim": self._without_scales} if self._without_scales else {}


class PerceptualDistance(Measure):
    """Distance of outputs from their targets in the features of a pretrained network: `translate.losses.perceptual`.

    Pixels that are not valid are taken from the target.
    """

    needs = ("pairs", "features")
    better = PERCEPTUAL

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        self._each: list[float] = []

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        spec, features = self.examples.target, self.examples.features
        assert features is not None
        made = with_known(outputs["output"].float(), batch)
        output, target = (as_written(side, spec).clamp(-1, 1) for side in (made, batch.target))
        of_output, of_target = features.maps(output), features.maps(target, real=len(self._each))
        for i in range(len(batch)):
            one = (slice(i, i + 1),)
            self._each.append(float(perceptual([x[one] for x in of_output], [x[one] for x in of_target])))

    def each(self) -> dict[str, list[float]]:
        assert self.examples.features is not None
        return {f"perceptual_{self.examples.features.name}": self._each}

    def figures(self) -> Figures:
        return means(self.each())


class LearnedDistance(Measure):
    """LPIPS (Zhang 2018) of all examples. Pixels that are not valid are taken from the target."""

    needs = ("pairs", "lpips")
    better = LPIPS

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples)
        assert examples.lpips is not None
        self._distance = examples.lpips
        self._each: list[float] = []

    def add(self, batch: Batch, outputs: Mapping[str, Tensor]) -> None:
        spec = self.examples.target
        made = with_known(outputs["output"].float(), batch)
        output, target = (as_written(side, spec).clamp(-1, 1) for side in (made, batch.target))
        self._each += self._distance(output, target).tolist()

    def each(self) -> dict[str, list[float]]:
        return {f"lpips_{self._distance.name}": self._each}

    def figures(self) -> Figures:
        return means(self.each())


def by_group(each: Mapping[str, list[float]], groups: Sequence[str]) -> dict[str, Figures]:
    """The mean of each figure over the pictures of a group, by the groups' names in the order of their appearance.

    Args:
        each: the figures of every picture.
        groups: the group of every picture.
    """
    assert all(len(values) == len(groups) for values in each.values()), "a value and a group for each picture"
    return {
        group: means(
            {name: [v for v, g in zip(values, groups, strict=True) if g == group] for name, values in each.items()}
        )
        for group in dict.fromkeys(groups)
    }


def means(each: Mapping[str, list[float]]) -> Figures:
    """The means of figures of single pictures."""
    return {name: sum(values) / len(values) for name, values in each.items() if values}


def as_written(values: Tensor, spec: ImageSpec) -> Tensor:
    """Label maps as the colours they will be written in, images as they are: `[B, C, H, W]` in [-1, 1]."""
    if spec.kind == "image":
        return values
    return quantize(values, spec).permute(0, 3, 1, 2) / 127.5 - 1
