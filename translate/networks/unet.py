"""The U-Net of pix2pix (Isola 2017; Ronneberger 2015): an encoder and a decoder with skips at every scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.blocks import NORMS, UPSAMPLERS, needs_bias, pad_to_multiple
from translate.networks.deep import DownConv

MAX_DEPTH = 8  # 256 pixels down to 1, as published


def depth_for(size: int) -> int:
    """Downsamplings for training crops of `size` pixels: 8 for 256, 7 for 128, 6 for 64, 5 for 96 (down to 3x3).

    The deepest that divides the size; where that is shallow (100 = 4 x 25), the deepest that fits, with padding.
    """
    dividing = max(d for d in range(MAX_DEPTH + 1) if size % 2**d == 0)
    fitting = min(MAX_DEPTH, max(size.bit_length() - 1, 1))
    return dividing if 2**dividing * 8 >= size or dividing == MAX_DEPTH else fitting


class Down(nn.Module):
    """Half the sides: (leaky ReLU), 4x4 convolution of stride 2, (norm)."""

    def __init__(self, inputs: int, outputs: int, *, activate: bool, norm: str, bias: bool, per_image: bool) -> None:
        super().__init__()
        self.activate = activate
        self.conv = DownConv(inputs, outputs, bias=bias)
        self.norm = NORMS[norm](outputs, per_image=per_image)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.leaky_relu(x, 0.2) if self.activate else x))  # [B, C', H/2, W/2]


class Up(nn.Module):
    """Double the sides: ReLU, upsampling convolution, (norm), (dropout)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: str,
        bias: bool,
        per_image: bool,
        dropout: float,
        upsample: str,
    ) -> None:
        super().__init__()
        self.conv = UPSAMPLERS[upsample](inputs, outputs, bias=bias)
        self.norm = NORMS[norm](outputs, per_image=per_image)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.conv(F.relu(x))))  # [B, C', 2H, 2W]


class UNet(nn.Module):
    """`[B, source_channels, H, W]` in [-1, 1] -> `[B, target_channels, H, W]` in [-1, 1], for any H and W.

    Sizes that are no multiple of `stride` are mirrored up to one and cropped back. Channels are width x 1, 2, 4, 8, 8
    and so on down to the bottleneck. As in the reference code (the paper's text differs by one block) dropout is in the
    decoder blocks between two levels of full width, the innermost aside; no norm on the first and the innermost
    convolution.
    54,413,955 parameters at 3 to 3 channels, width 64, depth 8, batch norm.
    """

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        size: int = 256,
        width: int = 64,
        depth: int | None = None,
        norm: str = "batch",
        per_image: bool = False,
        dropout: float = 0.5,
        upsample: str = "transposed",
    ) -> None:
        """
        Args:
            size: side of the training crops in pixels; decides the depth.
            per_image: batch norm uses each image's own statistics at inference, see `blocks.BatchNorm2d`.

        Raises:
            ValueError: a depth below 2.
        """
        super().__init__()
        depth = depth_for(size) if depth is None else depth
        if depth < 2:
            raise ValueError(f"a U-Net needs a depth of at least 2, not {depth}: use a larger --size or --depth")
        self.stride = 2**depth
        bias = needs_bias(norm)
        widths = [width * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList(
            Down(
                widths[level - 1] if level else source_channels,
                widths[level],
                activate=level > 0,
                norm=norm if 0 < level < depth - 1 else "none",
                bias=bias,
                per_image=per_image,
            )
            for level in range(depth)
        )
        self.up = nn.ModuleList(  # up[level] undoes down[level]; its input is the level below joined with its skip
            Up(
                widths[level] if level == depth - 1 else 2 * widths[level],
                widths[level - 1] if level else target_channels,
                norm=norm if level else "none",
                bias=bias or level == 0,
                per_image=per_image,
                dropout=dropout if 4 <= level < depth - 1 else 0.0,
                upsample=upsample,
            )
            for level in range(depth)
        )

    def forward(self, source: Tensor) -> Tensor:
        height, width = source.shape[-2:]
        x, (top, left) = pad_to_multiple(source, self.stride)
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            # joining before the ReLU of `Up` equals the reference, whose in-place leaky ReLU has touched the skip:
            # relu(leaky_relu(x)) = relu(x)
            x = self.up[level](x if level == len(self.up) - 1 else torch.cat([skips[level], x], 1))
        return torch.tanh(x[..., top : top + height, left : left + width])
