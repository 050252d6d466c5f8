"""Convolutions of stride 1 that keep the size; those that make a picture are fast on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.padding import PADDINGS, is_exporting, mirror_pad

FEW_CHANNELS = 4  # of a picture
SIDE = 2  # of a block, in pixels


class SameConv(nn.Conv2d):
    """A convolution of odd kernel and stride 1 that keeps the size: `[B, C, H, W]` -> `[B, C', H, W]`.

    To few channels it takes less than half of the time on a CPU. oneDNN and ONNX Runtime compute sixteen channels for
    the three of a picture. With the pixels of blocks of 2x2 as channels, of a kernel that is larger by a pixel, they
    compute sixteen for twelve. The sums are the same.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool, padding: str, even: bool = False) -> None:
        """
        Args:
            even: whether the sides are known to be even, which `fix_blocks` needs.
        """
        self.mirrored = PADDINGS[padding]
        self.even = even
        super().__init__(inputs, outputs, kernel, padding=0 if self.mirrored else kernel // 2, bias=bias)

    @property
    def few(self) -> bool:
        """Whether there are few channels, and a kernel that makes blocks worth it."""
        return self.out_channels <= FEW_CHANNELS and self.kernel_size[0] > 1

    def goes_by_blocks(self, *, device: torch.device) -> bool:
        """Whether pictures there do."""
        return self.few and device.type == "cpu" and not torch.compiler.is_compiling() and not is_exporting()

    def by_blocks(self, x: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
        """What `convolve` makes of `x`, mirrored if that is to be: `[B, 4 C', ceil(H/2), ceil(W/2)]`, put in place."""
        extra = self.kernel_size[0] - 1 if self.mirrored else 0
        height, width = (side - extra for side in x.shape[-2:])
        if height % SIDE or width % SIDE:
            x = F.pad(x, (0, width % SIDE, 0, height % SIDE))
        return F.pixel_shuffle(convolve(x), SIDE)[..., :height, :width]

    def forward(self, input: Tensor) -> Tensor:
        x = mirror_pad(input, self.kernel_size[0] // 2) if self.mirrored else input
        if not self.goes_by_blocks(device=x.device):
            return super().forward(x)
        weight, bias = in_blocks(self.weight, self.bias)
        return self.by_blocks(x, lambda x: F.conv2d(x, weight, bias, stride=SIDE, padding=self.padding))


class EvenConv(nn.Module):
    """What `SameConv` computes, for even sides: always by blocks, whose kernels are constants."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: SameConv) -> None:
        super().__init__()
        weight, bias = in_blocks(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.pad, self.mirrored = layer.kernel_size[0] // 2, layer.mirrored

    def forward(self, x: Tensor) -> Tensor:
        if self.mirrored:
            x = mirror_pad(x, self.pad)
        blocks = F.conv2d(x, self.weight, self.bias, stride=SIDE, padding=0 if self.mirrored else self.pad)
        return F.pixel_shuffle(blocks, SIDE)


def fix_blocks(network: nn.Module) -> None:
    """Have the pictures of even sides come by blocks of constant kernels, as a graph for all sizes needs it."""
    for part in list(network.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, SameConv) and layer.even and layer.few:
                setattr(part, name, EvenConv(layer))


def in_blocks(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """`[C', C, K, K]`, `[C']` -> `[4 C', C, K + 1, K + 1]`, `[4 C']`: the kernel moved to each pixel of a block."""
    moves = [(right, SIDE - 1 - right, down, SIDE - 1 - down) for down in range(SIDE) for right in range(SIDE)]
    moved = torch.stack([F.pad(weight, move) for move in moves], 1).flatten(0, 1)
    return moved, None if bias is None else bias.repeat_interleave(SIDE * SIDE)
