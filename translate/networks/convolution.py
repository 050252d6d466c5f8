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
            even: whether the sides are known to be even; a graph that is exported for all sizes goes by blocks then.
        """
        self.mirrored = PADDINGS[padding]
        self.even = even
        super().__init__(inputs, outputs, kernel, padding=0 if self.mirrored else kernel // 2, bias=bias)

    def goes_by_blocks(self, *, device: torch.device) -> bool:
        """Whether that is faster, for pictures there."""
        few = self.out_channels <= FEW_CHANNELS and self.kernel_size[0] > 1
        if is_exporting():
            return few and self.even
        return few and device.type == "cpu" and not torch.compiler.is_compiling()

    def by_blocks(self, x: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
        """What `convolve` makes of `x`, mirrored if that is to be: `[B, 4 C', ceil(H/2), ceil(W/2)]`, put in place."""
        if is_exporting():  # with even sides
            return F.pixel_shuffle(convolve(x), SIDE)
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


def in_blocks(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """`[C', C, K, K]`, `[C']` -> `[4 C', C, K + 1, K + 1]`, `[4 C']`: the kernel moved to each pixel of a block."""
    moves = [(right, SIDE - 1 - right, down, SIDE - 1 - down) for down in range(SIDE) for right in range(SIDE)]
    moved = torch.stack([F.pad(weight, move) for move in moves], 1).flatten(0, 1)
    return moved, None if bias is None else bias.repeat_interleave(SIDE * SIDE)
