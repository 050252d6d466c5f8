"""Pieces that several networks are built from: norms, upsampling, padding and weight initialisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.deep import UpConv
from translate.tables import Table


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose meaning at inference is explicit and never depends on who else is in the batch.

    With `per_image` each image is normalised by its own statistics, which is what a model trained at batch size 1 saw
    in every step; without it, by the running averages.
    """

    def __init__(self, channels: int, *, per_image: bool = False) -> None:
        super().__init__(channels)
        self.per_image = per_image

    def forward(self, input: Tensor) -> Tensor:
        if self.training or not self.per_image:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


def _batch(channels: int, *, per_image: bool) -> nn.Module:
    return BatchNorm2d(channels, per_image=per_image)


def _instance(channels: int, *, per_image: bool) -> nn.Module:
    return nn.InstanceNorm2d(channels)  # without learned scale and running statistics, as published


def _group(channels: int, *, per_image: bool) -> nn.Module:
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if (channels % g == 0 and channels // g >= 2) or g == 1)
    return nn.GroupNorm(groups, channels)


def _none(channels: int, *, per_image: bool) -> nn.Module:
    return nn.Identity()


NORMS: Table[Callable[..., nn.Module]] = Table(
    "norm", {"batch": _batch, "instance": _instance, "group": _group, "none": _none}
)
"""How a layer is normalised: `NORMS[name](channels, per_image=...)`."""


def needs_bias(norm: str) -> bool:
    """Whether a convolution before this norm keeps its bias: not where the norm has a learned shift of its own."""
    return norm in ("instance", "none")


def _resize(inputs: int, outputs: int, *, bias: bool) -> nn.Module:
    # Odena 2016: nearest resize and a stride-1 convolution leave no checkerboard; about 2.5 times the time
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


UPSAMPLERS: Table[Callable[..., nn.Module]] = Table("upsampling", {"transposed": UpConv, "resize": _resize})
"""How a decoder doubles the sides: `UPSAMPLERS[name](inputs, outputs, bias=...)`."""


def init_weights(module: nn.Module, *, std: float = 0.02) -> None:
    """Weights of convolutions ~ N(0, std), gains of norms ~ N(1, std), biases 0 (DCGAN, Radford 2015; pix2pix)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def mirror_index(length: int, before: int, after: int, *, device: torch.device) -> Tensor:
    """Positions `-before .. length + after - 1` folded back into `0 .. length - 1` by repeated reflection.

    A triangle wave of period `2 length - 2`: unlike reflect padding it holds however short the side is.
    """
    period = max(2 * length - 2, 1)
    wave = torch.arange(-before, length + after, device=device).remainder(period)
    return torch.minimum(wave, period - wave)


def pad_to_multiple(x: Tensor, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """Mirror `[B, C, H, W]` at its borders until both sides are multiples of `stride`, evenly on both ends.

    Returns the padded tensor and (top, left): where the original begins in it.
    """
    height, width = x.shape[-2:]
    more_h, more_w = -height % stride, -width % stride
    top, left = more_h // 2, more_w // 2
    if more_h:
        x = x.index_select(-2, mirror_index(height, top, more_h - top, device=x.device))
    if more_w:
        x = x.index_select(-1, mirror_index(width, left, more_w - left, device=x.device))
    return x, (top, left)
