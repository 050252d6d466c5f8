"""The discriminator of OASIS (Sushko 2021): it labels each pixel as one of the label map's classes, or as fake."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.networks.discriminator import Seen
from translate.networks.patchgan import SpectralSettings
from translate.networks.spectral import spectral_norm as normalise
from translate.networks.unet_discriminator import check_smallest
from translate.sizes import Size

PUBLISHED_WIDTHS = (2, 2, 4, 4, 8, 8)  # of the encoder's blocks, times the width
INNERMOST = 4  # positions that the shorter side of the innermost map has at least
SMALLEST = 2 * INNERMOST
PUBLISHED_SIZE = 256


class SegmenterSettings(SpectralSettings):
    """A U-Net that labels each pixel. It has no norm but the spectral one."""

    gives = "labels"
    implies = {"spectral_norm": True}  # noqa: RUF012
    code_uses = ()  # its cost is about the label map alone


class Segmenter(nn.Module):
    """`[B, channels, H, W]` -> of each pixel the logits of N classes and of "fake", `[B, N + 1, H, W]`, the last: fake.

    A U-Net of residual blocks: each halves by average pooling, or doubles to the size of the encoder's map, which is
    joined to its input. Six of each, as published, where that leaves 4 pixels a side; fewer for smaller pictures.
    Published with spectral norm on each convolution but the last, here on that one, too.

    `Seen.logits` `[B, 1, H, W]`: the logarithm of the odds for any of the true classes against fake.
    """

    mean = False

    def __init__(
        self,
        channels: int,
        *,
        segments: int,
        width: int = 64,
        spectral_norm: bool = False,
        size: Size | int | None = None,
    ) -> None:
        """
        Args:
            segments: classes of the label map, N.
            width: channels of the last block; 64 as published.
            spectral_norm: on each convolution.
            size: of the training crops in pixels; decides the depth. 256 by default.

        Raises:
            ValueError: no label map, or a side below 8.
        """
        super().__init__()
        if segments < 1:
            raise ValueError(
                "--discriminator segment labels the pixels of pictures that are made from label maps, and here are "
                "none: use pix2pix or bicyclegan with --source-kind labels, or another --discriminator"
            )
        size = Size.of(PUBLISHED_SIZE if size is None else size)
        check_smallest("segment", size, SMALLEST)
        self.segments = segments
        count = min((size.shorter // INNERMOST).bit_length() - 1, len(PUBLISHED_WIDTHS))
        widths = [width * times for times in PUBLISHED_WIDTHS[:count]]
        inputs = [channels, *widths]
        self.down = nn.ModuleList(
            Block(before, after, first=level == 0) for level, (before, after) in enumerate(itertools.pairwise(inputs))
        )
        outputs = [*widths[-2::-1], width]
        joined = [widths[-1], *(2 * inner for inner in widths[-2::-1])]
        self.up = nn.ModuleList(Block(before, after) for before, after in zip(joined, outputs, strict=True))
        self.last = nn.Conv2d(width, segments + 1, 1)
        if spectral_norm:
            normalise(self)

    @property
    def lasts(self) -> list[nn.Conv2d]:
        """The one that gives the logits of the classes."""
        return [self.last]

    def see(self, x: Tensor, *, channels: int) -> list[Seen]:
        """As `Branching`; features are what the blocks give, of the encoder, then of the decoder."""
        sizes, features = [], []
        for block in self.down:
            sizes.append(x.shape[-2:])
            x = F.avg_pool2d(block(x), 2)
            features.append(x)
        skips = features[:-1]
        for level, block in enumerate(self.up):
            x = torch.cat([skips[-level], x], 1) if level else x
            x = block(F.interpolate(x, sizes[-1 - level], mode="nearest"))
            features.append(x)
        segments = self.last(x)
        scores = segments.to(torch.promote_types(segments.dtype, torch.float32))
        logits = scores[:, :-1].logsumexp(1, keepdim=True) - scores[:, -1:]
        return [Seen(logits, x, tuple(features), segments)]


class Block(nn.Module):
    """(Leaky ReLU 0.2, 3x3 convolution) twice, beside a 1x1 one where the widths differ. The first has no leading ReLU.

    Average pooling after it, or nearest doubling before it, are the caller's: both commute with the 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.beside = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.one(x if self.first else F.leaky_relu(x, 0.2))
        made: Tensor = self.beside(x) + self.two(F.leaky_relu(inner, 0.2))
        return made
