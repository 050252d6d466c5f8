"""The generator of SRResNet (Ledig 2017): residual blocks at the source's size, then sub-pixel convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.blocks import NORMS, needs_bias
from translate.networks.convolution import SameConv
from translate.networks.generator import InferenceNorm, check_inference_norm, with_per_image
from translate.networks.network import NetworkSettings
from translate.networks.stages import Stage, as_it_is
from translate.outside import MAX_WIDTH

SCALES = (2, 4)


class SRResNetSettings(NetworkSettings):
    """Its size, and its norm."""

    scale: Literal[2, 4] = Field(4, description="times the source's sides that the output's are")
    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator")
    blocks: int = Field(16, ge=1, le=200, description="residual blocks of the generator")
    norm: Literal["batch", "none"] = Field(
        "batch", description="norm of the residual blocks: batch as published, or none as in EDSR"
    )
    inference_norm: InferenceNorm = "auto"

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        return with_per_image(super().arguments(chosen), chosen)

    @model_validator(mode="after")
    def _batch_norm(self) -> Self:
        check_inference_norm(self.inference_norm, self.norm)
        return self


class Block(nn.Module):
    """`x` plus two 3x3 convolutions of it, each with norm; PReLU between, none after."""

    def __init__(self, channels: int, *, norm: str, per_image: bool) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.conv1 = SameConv(channels, channels, 3, bias=bias, padding="zero")
        self.norm1 = NORMS[norm](channels, per_image=per_image)
        self.activation = nn.PReLU(channels)
        self.conv2 = SameConv(channels, channels, 3, bias=bias, padding="zero")
        self.norm2 = NORMS[norm](channels, per_image=per_image)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))  # [B, C, H, W]


class Up(nn.Module):
    """Double the sides: 3x3 convolution to four times the channels, which become 2x2 pixels (Shi 2016), PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = SameConv(channels, 4 * channels, 3, bias=True, padding="zero")
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        larger: Tensor = self.activation(F.pixel_shuffle(self.conv(x), 2))
        return larger  # [B, C, 2H, 2W]


class SRResNet(nn.Module):
    """`[B, source_channels, H, W]` in [-1, 1] -> `[B, target_channels, H * scale, W * scale]` in [-1, 1], any H and W.

    9x9 convolution to `width` channels, PReLU, residual blocks, 3x3 convolution and norm, a skip over all of that, one
    doubling of the sides or two, 9x9 convolution, tanh. 1,548,547 parameters at 3 to 3 channels, width 64, 16 blocks,
    scale 4, batch norm. Borders are padded with zeros, as published. Nothing halves the sides, so no size has to be
    padded to a multiple.

    It ends in tanh, as every generator here, so that what losses, alarms and files see is in [-1, 1] in training too
    (the paper's last convolution has no bound). Black and white are reached to half a level of 255 at 3.1.
    """

    norm_after: ClassVar[Mapping[str, str]] = {"conv": "norm", "conv1": "norm1", "conv2": "norm2"}

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        scale: int = 4,
        width: int = 64,
        blocks: int = 16,
        norm: str = "batch",
        per_image: bool = False,
    ) -> None:
        """
        Args:
            scale: output size over input size, one of `SCALES`.
            per_image: batch norm uses each image's own statistics at inference, see `blocks.BatchNorm2d`.
        """
        super().__init__()
        assert scale in SCALES, f"the sides are doubled once or twice, not made {scale} times as long"
        doublings = SCALES.index(scale) + 1
        self.scale = scale
        self.stride = 1
        # pixels of the source that a result depends on, at most, to each side: below 2 for all that follows the blocks
        self.radius = 4 + 2 * blocks + 1 + _tail(scale)
        self.source_channels = source_channels
        self.first = SameConv(source_channels, width, 9, bias=True, padding="zero")
        self.activation = nn.PReLU(width)
        self.blocks = nn.ModuleList(Block(width, norm=norm, per_image=per_image) for _ in range(blocks))
        self.conv = SameConv(width, width, 3, bias=needs_bias(norm), padding="zero")
        self.norm = NORMS[norm](width, per_image=per_image)
        self.up = nn.ModuleList(Up(width) for _ in range(doublings))
        self.last = SameConv(width, target_channels, 9, bias=True, padding="zero", even=True)

    def forward(self, source: Tensor) -> Tensor:
        x = first = self.activation(self.first(source))
        for block in self.blocks:
            x = block(x)
        return self._enlarge(first + self.norm(self.conv(x)))

    def _enlarge(self, x: Tensor) -> Tensor:
        for up in self.up:
            x = up(x)
        return torch.tanh(self.last(x))

    def start_alike(self) -> None:
        """Make the four pixels of each doubling start as one: the nearest pixel enlarged (ICNR, Aitken 2017).

        Weights drawn one by one start with a grid that training has to remove. For weights that were just drawn.
        """
        with torch.no_grad():
            for up in self.up:
                assert isinstance(up, Up)
                for values in (up.conv.weight, up.conv.bias):
                    assert values is not None
                    values.copy_(values[::4].repeat_interleave(4, 0))

    def stages(self, code: Tensor | None = None) -> list[Stage]:
        """What `forward` does, cut at its norms. No copies: they hold the same weights."""
        assert code is None, "it takes no code"
        stages = [
            Stage(self.first, norm=nn.Identity(), halo=4),
            # carried over all blocks; each of these carries its own input
            Stage(as_it_is, norm=nn.Identity(), halo=0, enter=self.activation, carries=True),
        ]
        joins: Callable[[Tensor, Tensor], Tensor] | None = None
        for block in self.blocks:
            assert isinstance(block, Block)
            stages += [
                Stage(block.conv1, norm=block.norm1, halo=1, joins=joins, carries=True),
                Stage(block.conv2, norm=block.norm2, halo=1, enter=block.activation),
            ]
            joins = torch.add
        stages.append(Stage(self.conv, norm=self.norm, halo=1, joins=joins))
        return [*stages, Stage(self._enlarge, norm=None, halo=_tail(self.scale), up=self.scale, joins=torch.add)]


def _tail(scale: int) -> int:
    """Pixels of the source to each side that doublings and the last convolution look at."""
    return 1 + (1 if scale == 4 else 0) + -(-4 // scale)
