"""4x4 convolutions of stride 2 that are fast at the bottom of a U-Net, with the weights of ordinary ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_POSITIONS = 256  # batch x height x width of the smaller side, up to which moving the weights is most of the work


def _as_matrices(x: Tensor, *, positions: int) -> bool:
    """Whether a matrix product does this layer faster: on a CPU, in bfloat16, with few positions.

    There oneDNN's bfloat16 convolutions reorder the large weight for every call, forward and backward; a matrix product
    takes it as it lies. Two to three times faster for 512 channels at 16x16 and below; elsewhere slower.
    """
    if x.device.type != "cpu" or positions > FEW_POSITIONS or torch.compiler.is_compiling():
        return False
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or x.dtype == torch.bfloat16


class DownConv(nn.Conv2d):
    """`[B, C, H, W]` -> `[B, C', H/2, W/2]`: kernel 4, stride 2, padding 1."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        batch, _, height, width = input.shape
        if not _as_matrices(input, positions=batch * (height // 2) * (width // 2)):
            return super().forward(input)
        patches = F.unfold(input, 4, padding=1, stride=2).transpose(1, 2)  # [B, H/2 W/2, 16 C]
        output = F.linear(patches, self.weight.flatten(1), self.bias)  # [B, H/2 W/2, C']
        return output.transpose(1, 2).unflatten(2, (height // 2, width // 2))


class UpConv(nn.ConvTranspose2d):
    """`[B, C, H, W]` -> `[B, C', 2H, 2W]`: transposed convolution, kernel 4, stride 2, padding 1."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        batch, _, height, width = input.shape
        if not _as_matrices(input, positions=batch * height * width):
            return super().forward(input, output_size)
        patches = torch.matmul(self.weight.flatten(1).t(), input.flatten(2))  # [B, 16 C', H W]
        output = F.fold(patches, (2 * height, 2 * width), 4, padding=1, stride=2)
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]
