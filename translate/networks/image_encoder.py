"""A picture as a vector: what BicycleGAN reads off a target, and BiGAN off any picture."""

from __future__ import annotations

import math

from torch import Tensor, nn

from translate.networks.dcgan import dcgan
from translate.sizes import Size


class ImageEncoder(nn.Module):
    """`[B, C, H, W]` in [-1, 1] -> `[B, outputs]`, for H and W of at least 2.

    4x4 convolutions of stride 2 and leaky ReLU 0.2 down to about 4 pixels of the shorter side, each doubling the
    channels up to eight times `width`; the mean over places; a linear layer. Without norm, which would take away what a
    code has to tell: how light a picture is. (The published encoder is a ResNet with instance norm.)
    """

    def __init__(self, channels: int, outputs: int, *, width: int = 64, size: Size | int = 256) -> None:
        """`size`: of the training pictures in pixels; its shorter side decides the number of convolutions."""
        super().__init__()
        depth = max(1, round(math.log2(Size.of(size).shorter / 4)))
        widths = [width * min(2**level, 8) for level in range(depth)]
        layers: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-1], outputs)

    def forward(self, picture: Tensor) -> Tensor:
        code: Tensor = self.last(self.convolutions(picture).mean((2, 3)))
        return code


class InverseEncoder(nn.Module):
    """`[B, C, H, W]` in [-1, 1] -> `[B, outputs]`: what a generator of noise made it of (BiGAN, Donahue 2016).

    The layers of `dcgan`, the last of which covers the whole picture: the code has to tell where something is. With
    batch norm, as published, or none: instance norm would take away how light a picture is.
    """

    def __init__(self, channels: int, outputs: int, *, width: int = 64, norm: str = "batch", size: Size | int) -> None:
        """
        Args:
            norm: "batch"; any other means none.
            size: of the training pictures in pixels.
        """
        super().__init__()
        norm = norm if norm == "batch" else "none"
        self.layers = dcgan(channels, width=width, norm=norm, size=size, outputs=outputs)

    def forward(self, picture: Tensor) -> Tensor:
        code: Tensor = self.layers(picture).mean((2, 3))
        return code
