"""The residual generator of CycleGAN (Johnson 2016; Zhu 2017): down, a row of residual blocks, up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.fields import OneOf
from translate.networks.blocks import NORMS, needs_bias
from translate.networks.convolution import SameConv
from translate.networks.generator import GeneratorSettings
from translate.networks.modulation import check_code, modulated, modulation
from translate.networks.noise import Dropout
from translate.networks.padding import PADDINGS, pad_to_multiple
from translate.networks.resampling import DOWNSAMPLINGS, RESIZERS, UPSAMPLERS, BlurDown
from translate.networks.stages import Stage, as_it_is
from translate.sizes import Size

DEPTH = 2  # halvings, as published
TAPPED_BLOCKS = (0, 4)  # CUT (Park 2020): the first and the fifth residual block


def blocks_for(size: Size | int) -> int:
    """Residual blocks for training crops of `size` pixels, as published: 9 from 256 a side up, else 6."""
    return 9 if Size.of(size).shorter >= 256 else 6


class Down(nn.Module):
    """Half the sides: 3x3 convolution, norm, (modulation), ReLU; of stride 2, or of stride 1 with a blur after it."""

    def __init__(self, inputs: int, outputs: int, *, norm: str, per_image: bool, downsample: str, code: int) -> None:
        super().__init__()
        blurred = DOWNSAMPLINGS[downsample]
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=1 if blurred else 2, padding=1, bias=needs_bias(norm))
        self.norm = NORMS[norm](outputs, per_image=per_image)
        self.modulation = modulation(code, outputs)
        self.blur = BlurDown(outputs) if blurred else nn.Identity()

    def forward(self, x: Tensor, code: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the convolution's output, before norm and blur, and the stage's `[B, C', H/2, W/2]`."""
        convolved = self.conv(x)
        return convolved, self.leave(self.modulation(self.norm(convolved), code))

    def leave(self, normed: Tensor) -> Tensor:
        """What is done after norm and modulation."""
        return self.blur(F.relu(normed))


class Block(nn.Module):
    """`x` plus two 3x3 convolutions of it, each with norm and (modulation); ReLU and dropout between, none after."""

    def __init__(self, channels: int, *, norm: str, per_image: bool, dropout: float, padding: str, code: int) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.conv1 = SameConv(channels, channels, 3, bias=bias, padding=padding)
        self.norm1 = NORMS[norm](channels, per_image=per_image)
        self.modulation1 = modulation(code, channels)
        self.dropout = Dropout(dropout)
        self.conv2 = SameConv(channels, channels, 3, bias=bias, padding=padding)
        self.norm2 = NORMS[norm](channels, per_image=per_image)
        self.modulation2 = modulation(code, channels)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        inner = self.between(self.modulation1(self.norm1(self.conv1(x)), code))
        return x + self.modulation2(self.norm2(self.conv2(inner)), code)  # [B, C, H, W]

    def between(self, normed: Tensor) -> Tensor:
        """What is done after the first norm and modulation."""
        return self.dropout(F.relu(normed))


class Up(nn.Module):
    """Double the sides: transposed 3x3 convolution, or a resize and a 3x3 convolution; norm, (modulation), ReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: str, per_image: bool, upsample: str, code: int) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.resize: nn.Module = nn.Identity()
        self.conv: nn.Module
        if upsample == "transposed":
            self.conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=bias)
        else:
            self.resize = RESIZERS[upsample]()
            self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.norm = NORMS[norm](outputs, per_image=per_image)
        self.modulation = modulation(code, outputs)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        return F.relu(self.modulation(self.norm(self.enlarge(x)), code))  # [B, C', 2H, 2W]

    def enlarge(self, x: Tensor) -> Tensor:
        """What is done before the norm."""
        larger: Tensor = self.conv(self.resize(x))
        return larger


class ResNetSettings(GeneratorSettings):
    """A residual generator."""

    depth: int | None = Field(None, ge=1, le=12, description="times the generator halves the picture (default: 2)")
    blocks: int | None = Field(
        None,
        ge=1,
        le=200,
        description="residual blocks (default: 9 where no side of --size is below 256, else 6)",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout of the generator's inner blocks, in training, later by a seed (inside the residual ones)",
    )
    padding: Annotated[str | None, OneOf(PADDINGS)] = Field(
        None, description="what the generator sees beyond the border (default: reflect)"
    )


class ResNet(nn.Module):
    """`[B, source_channels, H, W]` in [-1, 1] -> `[B, target_channels, H, W]` in [-1, 1], for any H and W.

    7x7 convolution to `width` channels, `depth` stages that halve the sides and double the channels, residual blocks,
    as many stages back, 7x7 convolution, tanh. Sizes that are no multiple of `stride` are mirrored up to one and
    cropped back. 11,378,179 parameters at 3 to 3 channels, width 64, nine blocks, instance norm.

    With anti-aliased stages it is the generator of CUT (Park 2020). A `code` `[B, code]` modulates what comes out of
    every norm.
    """

    norm_after: ClassVar[Mapping[str, str]] = {
        "conv": "norm",
        "conv1": "norm1",
        "conv2": "norm2",
        "first": "first_norm",
    }

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        size: Size | int = 256,
        width: int = 64,
        depth: int | None = None,
        blocks: int | None = None,
        norm: str = "instance",
        per_image: bool = False,
        dropout: float = 0.0,
        upsample: str = "transposed",
        downsample: str = "strided",
        padding: str | None = None,
        code: int = 0,
    ) -> None:
        """
        Args:
            size: of the training crops in pixels; decides the number of blocks.
            depth: halvings of the sides; 2 by default.
            per_image: batch norm uses each image's own statistics at inference, see `blocks.BatchNorm2d`.
            dropout: inside the residual blocks, after the first ReLU; the published option is 0.5.
            padding: of the 7x7 convolutions and the blocks, "reflect" by default; the convolutions that halve and
                double the sides are padded with zeros, as published.
            code: length of the code that modulates it; 0: it takes none.

        Raises:
            ValueError: a depth or a number of blocks below 1, or an unknown choice.
        """
        super().__init__()
        depth = DEPTH if depth is None else depth
        blocks = blocks_for(size) if blocks is None else blocks
        padding = "reflect" if padding is None else padding
        if depth < 1:
            raise ValueError(f"a ResNet needs a depth of at least 1, not {depth}: use a larger --depth")
        if 2**depth > Size.of(size).shorter:
            raise ValueError(f"--depth {depth} halves pictures of --size {size} to nothing: use a smaller --depth")
        if blocks < 1:
            raise ValueError(f"a ResNet needs at least 1 residual block, not {blocks}: use a larger --blocks")
        UPSAMPLERS[upsample]  # an unknown choice lists all of them, not those of the resizing ones
        self.source_channels = source_channels
        self.stride = 2**depth
        self.code = code
        # pixels that a result depends on, at most, to each side: a halving looks at 3 of its own, a doubling at 4
        self.radius = 3 + (3 + 4) * (self.stride - 1) + 2 * blocks * self.stride + 3
        widths = [width * 2**level for level in range(depth + 1)]
        self.first = SameConv(source_channels, width, 7, bias=needs_bias(norm), padding=padding)
        self.first_norm = NORMS[norm](width, per_image=per_image)
        self.first_modulation = modulation(code, width)
        self.down = nn.ModuleList(
            Down(widths[level], widths[level + 1], norm=norm, per_image=per_image, downsample=downsample, code=code)
            for level in range(depth)
        )
        self.blocks = nn.ModuleList(
            Block(widths[-1], norm=norm, per_image=per_image, dropout=dropout, padding=padding, code=code)
            for _ in range(blocks)
        )
        self.up = nn.ModuleList(  # up[0] is the innermost
            Up(widths[level + 1], widths[level], norm=norm, per_image=per_image, upsample=upsample, code=code)
            for level in reversed(range(depth))
        )
        self.last = SameConv(width, target_channels, 7, bias=True, padding=padding, even=True)
        self.tapped = sorted({min(block, blocks - 1) for block in TAPPED_BLOCKS})
        self.feature_channels = (source_channels, *widths[1:], *(widths[-1] for _ in self.tapped))

    def forward(self, source: Tensor, code: Tensor | None = None) -> Tensor:
        return self._translate(source, code, None)

    def encode(self, source: Tensor, code: Tensor | None = None) -> list[Tensor]:
        """The taps of CUT, `[B, feature_channels[i], Hi, Wi]`, from the input itself inwards; runs no further.

        The input (mirrored up to a multiple of `stride`), what each halving convolution puts out (before norm and
        blur), and the first and the fifth residual block, or the last where there are fewer.
        """
        taps: list[Tensor] = []
        self._inner(self._pad(source)[0], code, taps, last=self.tapped[-1])
        return taps

    def forward_with_features(self, source: Tensor, code: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """What `forward` and `encode` return, from one pass."""
        taps: list[Tensor] = []
        return self._translate(source, code, taps), taps

    def _pad(self, source: Tensor) -> tuple[Tensor, tuple[int, int]]:
        # a single position at the bottom has no variance to normalise by: at least two
        return pad_to_multiple(source, self.stride, least=2)

    def _inner(self, x: Tensor, code: Tensor | None, taps: list[Tensor] | None, *, last: int) -> Tensor:
        """From the padded source to the output of the residual block `last`."""
        check_code(code, self.code)
        if taps is not None:
            taps.append(x)
        x = F.relu(self.first_modulation(self.first_norm(self.first(x)), code))
        for down in self.down:
            tap, x = down(x, code)
            if taps is not None:
                taps.append(tap)
        for index in range(last + 1):
            x = self.blocks[index](x, code)
            if taps is not None and index in self.tapped:
                taps.append(x)
        return x

    def _translate(self, source: Tensor, code: Tensor | None, taps: list[Tensor] | None) -> Tensor:
        height, width = source.shape[-2:]
        x, (top, left) = self._pad(source)
        x = self._inner(x, code, taps, last=len(self.blocks) - 1)
        for up in self.up:
            x = up(x, code)
        return torch.tanh(self.last(x)[..., top : top + height, left : left + width])

    def stages(self, code: Tensor | None = None) -> list[Stage]:
        """What `forward` does between padding and cropping, cut at its norms. No copies: they hold the same weights.

        Args:
            code: `[1, code]`, of the one picture that they are for.
        """
        check_code(code, self.code)
        stages = [Stage(self.first, norm=self.first_norm, halo=3)]
        enter = modulated(self.first_modulation, code, F.relu)
        halved = 1  # what `enter` divides the sides by
        for down in self.down:
            assert isinstance(down, Down)
            blurred = isinstance(down.blur, BlurDown)
            stage = Stage(down.conv, norm=down.norm, halo=4, enter=enter, before=halved, down=halved if blurred else 2)
            stages.append(stage)
            enter, halved = modulated(down.modulation, code, down.leave), 2 if blurred else 1
        adds = _adding(as_it_is)
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            start = Stage(block.conv1, norm=block.norm1, halo=1, joins=adds, carries=True)
            if index == 0:
                start = replace(start, enter=enter, halo=4, before=halved, down=halved, joins=None)
            between = modulated(block.modulation1, code, block.between)
            stages += [start, Stage(block.conv2, norm=block.norm2, halo=1, enter=between)]
            adds = _adding(modulated(block.modulation2, code, as_it_is))
        for index, up in enumerate(self.up):
            assert isinstance(up, Up)
            joins = None if index else adds
            stages.append(Stage(up.enlarge, norm=up.norm, halo=2, up=2, enter=enter, joins=joins))
            enter = modulated(up.modulation, code, F.relu)
        return [*stages, Stage(self._leave, norm=None, halo=3, enter=enter)]

    def _leave(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(x))


def _adding(leave: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda carried, normed: carried + leave(normed)
