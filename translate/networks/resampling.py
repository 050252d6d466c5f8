"""Halving and doubling the sides without aliasing, and the choices of how a decoder doubles them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.fields import OneOf
from translate.networks.convolution import SameConv
from translate.networks.deep import UpConv
from translate.networks.padding import mirror_index, mirror_pad
from translate.tables import Table

DOWNSAMPLINGS: Table[bool] = Table("downsampling", {"strided": False, "antialiased": True})
"""How the sides are halved: by the convolution's stride, or by a blur after it (Zhang 2019). The value: blurred."""

Downsampling = Annotated[
    str,
    OneOf(DOWNSAMPLINGS),
    Field(description="downsampling: strided convolution, or convolution and blur (Zhang 2019)"),
]


class BlurDown(nn.Module):
    """`[B, C, H, W]` -> `[B, C, ceil(H/2), ceil(W/2)]`: every second pixel of a [1, 2, 1] blur (Zhang 2019).

    As in CUT the border is mirrored by one pixel. The convolution before it runs at full size: about four times the
    work of a strided one.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # on the CPU even where a model is built without memory: it is in no file that it could come from later
        side = torch.tensor([0.25, 0.5, 0.25], device="cpu", dtype=torch.float32)
        kernel = torch.outer(side, side).expand(channels, 1, 3, 3).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not _as_matrices(x):
            return F.conv2d(mirror_pad(x, 1), self.kernel.to(x.dtype), stride=2, groups=x.shape[1])
        rows, columns = (_blur_matrix(side, device=x.device).to(x.dtype) for side in x.shape[-2:])
        return F.linear(torch.matmul(rows, x), columns)


def _as_matrices(x: Tensor) -> bool:
    """Whether matrices along both sides blur faster: in training on a CPU in bfloat16.

    There oneDNN has no good gradient of a convolution of each channel by itself: forward and backward together the
    matrices take a twentieth of its time at 32x32, and a third at 512x512. The result is rounded twice instead of once.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or x.dtype == torch.bfloat16


def _blur_matrix(length: int, *, device: torch.device) -> Tensor:
    """`[ceil(length/2), length]`: what `BlurDown` does along one side, mirrored border included."""
    mirrored = torch.eye(length, device=device, dtype=torch.float32)[
        mirror_index(length, 1, 1, device=device)
    ]  # [length + 2, length]
    before, here, after = (mirrored[start : start + length : 2] for start in range(3))
    return 0.25 * before + 0.5 * here + 0.25 * after


class BlurUp(nn.Module):
    """`[B, C, H, W]` -> `[B, C, 2H, 2W]`: zeros between the pixels, then a [1, 3, 3, 1] blur (Zhang 2019; CUT).

    With a repeated border that is exactly bilinear interpolation between the pixels' centres.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


RESIZERS: Table[Callable[[], nn.Module]] = Table(
    "upsampling",
    {
        "resize": lambda: nn.Upsample(scale_factor=2),  # Odena 2016: no checkerboards; about 2.5 times the time
        "antialiased": BlurUp,
    },
)
"""What doubles the sides before a stride-1 convolution, which leaves no checkerboard."""


def _transposed(inputs: int, outputs: int, *, bias: bool, padding: str) -> nn.Module:
    return UpConv(inputs, outputs, bias=bias)  # there is no mirrored transposed convolution: always zeros


def _resized(kind: str) -> Callable[..., nn.Module]:
    def build(inputs: int, outputs: int, *, bias: bool, padding: str) -> nn.Module:
        return nn.Sequential(RESIZERS[kind](), SameConv(inputs, outputs, 3, bias=bias, padding=padding, even=True))

    return build


UPSAMPLERS: Table[Callable[..., nn.Module]] = Table(
    "upsampling",
    {"transposed": _transposed, "resize": _resized("resize"), "antialiased": _resized("antialiased")},
)
"""How a U-Net's decoder doubles the sides: `UPSAMPLERS[name](inputs, outputs, bias=..., padding=...)`."""

Upsampling = Annotated[
    str,
    OneOf(UPSAMPLERS),
    Field(
        description="upsampling: transposed convolution, resize and convolution (no checkerboards, slower), "
        "or blurred resize and convolution"
    ),
]
