"""Padding by reflection that holds for every size, from one pixel up."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.tables import Table

PADDINGS: Table[bool] = Table("padding", {"reflect": True, "zero": False})
"""Padding at the border: the mirrored picture (True) or zeros (False)."""


def is_exporting() -> bool:
    """Whether a graph for every size is being traced, so that no branch may depend on a size."""
    tracing = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # PyTorch 2.6 has the second only
    return bool(tracing())


def mirror_index(length: int, before: int, after: int, *, device: torch.device) -> Tensor:
    """Positions `-before .. length + after - 1` folded back into `0 .. length - 1` by repeated reflection.

    A triangle wave of period `2 length - 2`: unlike reflect padding it holds however short the side is.
    """
    return _folded(torch.arange(-before, length + after, device=device), length)


def _folded(positions: Tensor, length: int) -> Tensor:
    """Positions on a side and beyond its ends -> those of `0 .. length - 1` that are mirrored there."""
    period: Tensor | int
    if is_exporting():  # by a tensor: the exporter takes sides for 2 at least, and would leave the lower bound out
        period = torch.scalar_tensor(2 * length - 2, dtype=torch.int64, device=positions.device).clamp(min=1)
    else:
        period = max(2 * length - 2, 1)
    wave = positions.remainder(period)
    return torch.minimum(wave, period - wave)


def mirror_pad(x: Tensor, pad: int) -> Tensor:
    """`[B, C, H, W]` -> `[B, C, H + 2 pad, W + 2 pad]`, mirrored at the borders however small the picture is."""
    height, width = x.shape[-2:]
    if is_exporting():
        return _with_edges(_with_edges(x, -2, pad), -1, pad)
    if _torch_can(x, pad):
        mirrored: Tensor = _Mirrored.apply(x, pad)
        return mirrored
    x = x.index_select(-2, mirror_index(height, pad, pad, device=x.device))
    return x.index_select(-1, mirror_index(width, pad, pad, device=x.device))


class _Mirrored(torch.autograd.Function):
    """torch's reflection, whose own gradient takes three to four times as long on a CPU: it adds up value by value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pad: int) -> Tensor:
        ctx.pad = pad
        with torch.autocast("cpu", enabled=False):  # which pads in float32, and takes two copies more for it
            return F.pad(x, (pad, pad, pad, pad), mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return _folded_back(_folded_back(gradient, -2, ctx.pad), -1, ctx.pad), None


def _folded_back(gradient: Tensor, dim: int, pad: int) -> Tensor:
    """What the mirrored rows or columns add to those that they are copies of."""
    length = gradient.shape[dim] - 2 * pad
    inner = gradient.narrow(dim, pad, length).clone(memory_format=torch.preserve_format)
    inner.narrow(dim, 1, pad).add_(gradient.narrow(dim, 0, pad).flip(dim))
    inner.narrow(dim, length - 1 - pad, pad).add_(gradient.narrow(dim, pad + length, pad).flip(dim))
    return inner


def _with_edges(x: Tensor, dim: int, pad: int) -> Tensor:
    """`x` with `pad` mirrored rows or columns at both ends of `dim`.

    ONNX Runtime gathers along a row number by number: to gather the edges alone takes a fifth of the time.
    """
    length = x.shape[dim]
    before = _folded(torch.arange(-pad, 0, device=x.device), length)
    after = _folded(torch.arange(pad, device=x.device) + length, length)
    return torch.cat([x.index_select(dim, before), x, x.index_select(dim, after)], dim)


def _torch_can(x: Tensor, pad: int) -> bool:
    """Whether torch's own reflection, one kernel instead of two, does it here.

    Not for a side of up to `pad` pixels, not on CUDA where every kernel has to be deterministic (its gradient is not),
    and not in a traced graph, which has to hold for other sizes too.
    """
    if torch.compiler.is_compiling() or min(x.shape[-2:]) <= pad:
        return False
    return not (x.is_cuda and torch.are_deterministic_algorithms_enabled())


def pad_to_multiple(x: Tensor, stride: int, *, least: int = 1) -> tuple[Tensor, tuple[int, int]]:
    """Mirror `[B, C, H, W]` at its borders until both sides are multiples of `stride`, evenly on both ends.

    With `least` 2 a picture of no more than one stride on both sides is padded to two of them. Returns the padded
    tensor and (top, left): where the original begins in it.
    """
    height, width = x.shape[-2:]
    more_h, more_w = -height % stride, -width % stride
    if least == 2:
        # 1 where the longer side is at most a stride, else 0: an exported graph has arithmetic in place of a branch
        small = stride // cast(int, torch.sym_max(torch.sym_max(height, width), stride))
        more_h, more_w = more_h + small * stride, more_w + small * stride
    top, left = more_h // 2, more_w // 2
    exporting = is_exporting()
    if exporting or more_h:
        x = x.index_select(-2, mirror_index(height, top, more_h - top, device=x.device))
    if exporting or more_w:
        x = x.index_select(-1, mirror_index(width, left, more_w - left, device=x.device))
    return x, (top, left)
