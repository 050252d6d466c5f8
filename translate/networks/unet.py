"""The U-Net of pix2pix (Isola 2017; Ronneberger 2015): an encoder and a decoder, joined by skips at every scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from translate.fields import OneOf
from translate.networks.blocks import NORMS, needs_bias
from translate.networks.convolution import SameConv
from translate.networks.deep import DownConv
from translate.networks.generator import GeneratorSettings
from translate.networks.modulation import check_code, modulated, modulation
from translate.networks.noise import Dropout
from translate.networks.padding import PADDINGS, pad_to_multiple
from translate.networks.resampling import DOWNSAMPLINGS, UPSAMPLERS, BlurDown
from translate.networks.stages import Stage, as_it_is
from translate.sizes import Size

MAX_DEPTH = 8  # 256 pixels down to 1, as published
MAX_TAPS = 4  # convolutions whose output PatchNCE may look at; further in a position sees most of the picture


def depth_for(size: Size | int) -> int:
    """Downsamplings for training crops of `size` pixels: 8 for 256, 7 for 128, 6 for 64, 5 for 96 (down to 3x3).

    The deepest that divides both sides; where that is shallow (100 = 4 x 25), the deepest that fits the shorter one,
    with padding.
    """
    size = Size.of(size)
    dividing = max(d for d in range(MAX_DEPTH + 1) if all(side % 2**d == 0 for side in size))
    fitting = min(MAX_DEPTH, max(size.shorter.bit_length() - 1, 1))
    return dividing if 2**dividing * 8 >= size.shorter or dividing == MAX_DEPTH else fitting


class Down(nn.Module):
    """Half the sides: (leaky ReLU), 4x4 convolution of stride 2, (norm), (modulation).

    Anti-aliased: 3x3 convolution of stride 1, (norm), (modulation), leaky ReLU, blur; the activation comes before the
    blur, which it would undo (Zhang 2019), and the next stage has none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activate: bool,
        norm: str,
        bias: bool,
        per_image: bool,
        downsample: str,
        padding: str,
        code: int,
    ) -> None:
        super().__init__()
        self.blurred = DOWNSAMPLINGS[downsample]
        self.activate = activate and not self.blurred
        self.conv: nn.Module
        if self.blurred:
            self.conv = SameConv(inputs, outputs, 3, bias=bias, padding=padding)
        else:
            self.conv = DownConv(inputs, outputs, bias=bias, padding=padding)
        self.norm = NORMS[norm](outputs, per_image=per_image)
        self.modulation = modulation(code, outputs)
        self.blur = BlurDown(outputs) if self.blurred else nn.Identity()

    def forward(self, x: Tensor, code: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the convolution's output, before the norm, and the stage's `[B, C', H/2, W/2]`."""
        convolved = self.conv(self.enter(x))
        return convolved, self.leave(self.modulation(self.norm(convolved), code))

    def enter(self, x: Tensor) -> Tensor:
        """What is done before the convolution."""
        return F.leaky_relu(x, 0.2) if self.activate else x

    def leave(self, normed: Tensor) -> Tensor:
        """What is done after norm and modulation."""
        return self.blur(F.leaky_relu(normed, 0.2)) if self.blurred else normed


class Up(nn.Module):
    """Double the sides: ReLU, upsampling convolution, (norm), (modulation), (dropout)."""

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
        padding: str,
        code: int,
    ) -> None:
        super().__init__()
        self.conv = UPSAMPLERS[upsample](inputs, outputs, bias=bias, padding=padding)
        self.norm = NORMS[norm](outputs, per_image=per_image)
        self.modulation = modulation(code, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        return self.dropout(self.modulation(self.norm(self.conv(F.relu(x))), code))  # [B, C', 2H, 2W]


class UNetSettings(GeneratorSettings):
    """A U-Net, or without its skips an encoder-decoder."""

    depth: int | None = Field(
        None, ge=1, le=12, description="times the generator halves the picture (default: by --size)"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout of the generator's inner blocks, in training, later by a seed (U-Nets have some from 6 "
        "levels on)",
    )
    padding: Annotated[str | None, OneOf(PADDINGS)] = Field(
        None, description="what the generator sees beyond the border (default: zero)"
    )
    first_bias: bool = Field(
        False, description="a bias in the first convolution also with batch norm, as some imported models have"
    )

    def unused(self) -> dict[str, str]:
        biased = {"first_bias": f"with --norm {self.norm}, where the first convolution has one anyway"}
        return super().unused() | (biased if needs_bias(self.norm) else {})

    def unused_in(self, networks: Any) -> dict[str, str]:
        if not self.dropout or any(isinstance(layer, nn.Dropout) and layer.p for layer in networks.modules()):
            return super().unused_in(networks)
        return super().unused_in(networks) | {"dropout": "in a U-Net of so few levels, which has some from 6 on"}


class UNet(nn.Module):
    """`[B, source_channels, H, W]` in [-1, 1] -> `[B, target_channels, H, W]` in [-1, 1], for any H and W.

    Sizes that are no multiple of `stride` are mirrored up to one and cropped back. Channels are width x 1, 2, 4, 8, 8
    and so on down to the bottleneck. As in the reference code (the paper's text differs by one block) dropout is in the
    decoder blocks between two levels of full width, the innermost aside; no norm on the first and the innermost
    convolution.
    54,413,955 parameters at 3 to 3 channels, width 64, depth 8, batch norm.

    A `code` `[B, code]` modulates all but the first convolution and the last, the innermost included: where there is no
    norm it has the bottleneck's values, at one position, to itself.
    """

    norm_after: ClassVar[Mapping[str, str]] = {"conv": "norm"}

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        size: Size | int = 256,
        width: int = 64,
        depth: int | None = None,
        norm: str = "batch",
        per_image: bool = False,
        dropout: float = 0.5,
        upsample: str = "transposed",
        downsample: str = "strided",
        padding: str | None = None,
        first_bias: bool = False,
        skips: bool = True,
        code: int = 0,
    ) -> None:
        """
        Args:
            size: of the training crops in pixels; decides the depth.
            per_image: batch norm uses each image's own statistics at inference, see `blocks.BatchNorm2d`.
            padding: "zero" by default, as published. Transposed convolutions are padded with zeros whatever it is.
            first_bias: the first convolution, which no norm follows, has a bias whatever the norm of the others.
            skips: without them it is pix2pix's encoder-decoder, in which all has to pass through the bottleneck.
            code: length of the code that modulates it; 0: it takes none.

        Raises:
            ValueError: a depth below 2, or an unknown choice.
        """
        super().__init__()
        padding = "zero" if padding is None else padding
        depth = depth_for(size) if depth is None else depth
        if depth < 2:
            raise ValueError(f"a U-Net needs a depth of at least 2, not {depth}: use a larger --size or --depth")
        self.source_channels = source_channels
        self.stride = 2**depth
        self.radius = 6 * (self.stride - 1)  # as in a ResNet: 2 pixels of its own a halving, 4 a doubling
        self.skips = skips
        self.code = code
        bias = needs_bias(norm)
        widths = [width * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList(
            Down(
                widths[level - 1] if level else source_channels,
                widths[level],
                activate=level > 0,
                norm=norm if 0 < level < depth - 1 else "none",
                bias=bias or (first_bias and level == 0),
                per_image=per_image,
                downsample=downsample,
                padding=padding,
                code=code if level else 0,
            )
            for level in range(depth)
        )
        self.up = nn.ModuleList(  # up[level] undoes down[level]; its input is the level below joined with its skip
            Up(
                2 * widths[level] if skips and level < depth - 1 else widths[level],
                widths[level - 1] if level else target_channels,
                norm=norm if level else "none",
                bias=bias or level == 0,
                per_image=per_image,
                dropout=dropout if 4 <= level < depth - 1 else 0.0,
                upsample=upsample,
                padding=padding,
                code=code if level else 0,
            )
            for level in range(depth)
        )
        self.feature_channels = (source_channels, *widths[:MAX_TAPS])

    def forward(self, source: Tensor, code: Tensor | None = None) -> Tensor:
        return self._translate(source, code, None)

    def encode(self, source: Tensor, code: Tensor | None = None) -> list[Tensor]:
        """The taps for PatchNCE, `[B, feature_channels[i], Hi, Wi]`, from the input itself inwards; runs no further.

        The input (mirrored up to a multiple of `stride`) and what the first up to four halving convolutions put out,
        before the norm: CUT's choice (Park 2020) carried over to this network.
        """
        check_code(code, self.code)
        x, _ = pad_to_multiple(source, self.stride)
        taps = [x]
        for level in range(len(self.feature_channels) - 1):
            tap, x = self.down[level](x, code)
            taps.append(tap)
        return taps

    def forward_with_features(self, source: Tensor, code: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """What `forward` and `encode` return, from one pass."""
        taps: list[Tensor] = []
        return self._translate(source, code, taps), taps[: len(self.feature_channels)]

    def _translate(self, source: Tensor, code: Tensor | None, taps: list[Tensor] | None) -> Tensor:
        check_code(code, self.code)
        height, width = source.shape[-2:]
        x, (top, left) = pad_to_multiple(source, self.stride)
        if taps is not None:
            taps.append(x)
        inner: list[Tensor] = []
        for down in self.down:
            tap, x = down(x, code)
            inner.append(x)
            if taps is not None:
                taps.append(tap)
        for level in reversed(range(len(self.up))):
            # joining before the ReLU of `Up` equals the reference, whose in-place leaky ReLU has touched the skip:
            # relu(leaky_relu(x)) = relu(x)
            joined = self.skips and level < len(self.up) - 1
            x = self.up[level](torch.cat([inner[level], x], 1) if joined else x, code)
        return torch.tanh(x[..., top : top + height, left : left + width])

    def stages(self, code: Tensor | None = None) -> list[Stage]:
        """What `forward` does between padding and cropping, cut at its norms. No copies: they hold the same weights.

        In eval mode: dropout is left out. A skip is carried as the next convolution takes it, after its leaky ReLU: the
        ReLU that it meets in the decoder makes the same of it.

        Args:
            code: `[1, code]`, of the one picture that they are for.
        """
        check_code(code, self.code)
        stages = []
        leave: Callable[[Tensor], Tensor] = as_it_is
        for level, stage in enumerate(self.down):
            assert isinstance(stage, Down)
            halved = 2 if stage.blurred and level else 1
            stages.append(
                Stage(
                    stage.conv,
                    norm=stage.norm,
                    halo=4,
                    enter=_after(leave, stage.enter),
                    carries=self.skips and level > 0,
                    before=halved,
                    down=halved if stage.blurred else 2,
                )
            )
            leave, blurred = modulated(stage.modulation, code, stage.leave), stage.blurred
        for level, stage in reversed(list(enumerate(self.up))):
            assert isinstance(stage, Up)
            inmost = level == len(self.up) - 1
            stages.append(
                Stage(
                    stage.conv if level else _after(stage.conv, torch.tanh),
                    norm=stage.norm if level else None,
                    halo=4,
                    enter=_after(leave, F.relu),
                    joins=_joined(leave) if self.skips and not inmost else None,
                    before=2 if inmost and blurred else 1,
                    down=2 if inmost and blurred else 1,
                    up=2,
                )
            )
            leave = modulated(stage.modulation, code, as_it_is)
        return stages


def _joined(leave: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda skip, x: F.relu(torch.cat([skip, leave(x)], 1))


def _after(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: second(first(x))
