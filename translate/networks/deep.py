"""4x4 convolutions of stride 2 that are fast at both ends of a U-Net, with the weights of ordinary ones.

On a CPU, in bfloat16, a matrix product takes the weight as it lies, where oneDNN's convolutions reorder it for every
call, forward and backward, and are slow where there are only the three channels of a picture. It has to be a product of
two plain matrices: for a batch of them torch copies the weight, or its transpose, once for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.convolution import FEW_CHANNELS
from translate.networks.padding import PADDINGS, mirror_pad

FEW_POSITIONS = 256  # batch x height x width of the smaller side, up to which reordering takes most of the time


def _as_matrices(x: Tensor, *, size: tuple[int, int], picture: bool = False) -> bool:
    """Whether a matrix product does this layer faster: on a CPU, in bfloat16.

    With few positions two to three times, for 512 channels at 16x16 and below. What makes a picture, of few channels,
    1.6 to 2 times for 128 channels at 128x128. Elsewhere it is slower.

    Args:
        size: height and width of the smaller side.
        picture: whether the layer makes one.
    """
    # at inference the choice must not depend on how many pictures go through together: the two ways round differently
    count = len(x) if torch.is_grad_enabled() else 1
    few = count * size[0] * size[1] <= FEW_POSITIONS
    if x.device.type != "cpu" or not (few or picture) or torch.compiler.is_compiling():
        return False
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or x.dtype == torch.bfloat16


class DownConv(nn.Conv2d):
    """`[B, C, H, W]` -> `[B, C', H/2, W/2]`: kernel 4, stride 2, padding 1 with zeros or the mirrored border."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, padding: str = "zero") -> None:
        self.mirrored = PADDINGS[padding]
        super().__init__(inputs, outputs, 4, stride=2, padding=0 if self.mirrored else 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        batch, _, height, width = input.shape
        if self.mirrored:
            input = mirror_pad(input, 1)
        if not _as_matrices(input, size=(height // 2, width // 2)):
            return super().forward(input)
        patches = F.unfold(input, 4, padding=0 if self.mirrored else 1, stride=2)
        patches = patches.transpose(0, 1).flatten(1)  # [16 C, B H/2 W/2]
        output = torch.mm(self.weight.flatten(1), patches)  # [C', B H/2 W/2]
        return _with_bias(output.unflatten(1, (batch, height // 2, width // 2)).transpose(0, 1), self.bias)


class UpConv(nn.ConvTranspose2d):
    """`[B, C, H, W]` -> `[B, C', 2H, 2W]`: transposed convolution, kernel 4, stride 2, padding 1."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        batch, _, height, width = input.shape
        if not _as_matrices(input, size=(height, width), picture=self.out_channels <= FEW_CHANNELS):
            return super().forward(input, output_size)
        positions = input.flatten(2).transpose(0, 1).flatten(1)  # [C, B H W]
        patches = torch.mm(self.weight.flatten(1).t(), positions)  # [16 C', B H W]
        patches = patches.unflatten(1, (batch, height * width)).transpose(0, 1)
        return _with_bias(F.fold(patches, (2 * height, 2 * width), 4, padding=1, stride=2), self.bias)


def _with_bias(output: Tensor, bias: Tensor | None) -> Tensor:
    return output if bias is None else output + bias.to(output.dtype)[:, None, None]
