"""The discriminator of DCGAN (Radford 2015) and DiscoGAN (Kim 2017): one judgement of a whole picture."""

from __future__ import annotations

from torch import nn

from translate.networks.patchgan import DiscriminatorSettings, halving
from translate.sizes import Size

LAST = 4  # the last convolution covers so many positions of the shorter side
SMALLEST = 2 * LAST
PUBLISHED_SIZE = 64


class DCGANSettings(DiscriminatorSettings):
    """A discriminator of whole pictures: their size decides its depth."""


def dcgan(
    channels: int,
    *,
    width: int = 64,
    norm: str = "batch",
    downsample: str = "strided",
    size: Size | int | None = None,
) -> nn.Sequential:
    """`[B, channels, H, W]` -> logits `[B, 1, H', W']`: `[B, 1, 1, 1]` for `size`, if its sides are powers of two.

    4x4 convolutions of stride 2 and width x 1, 2, 4, 8, 8 and so on, until the shorter side would fall below 4; then
    one of 4x4 without padding, of a rectangle longer in proportion. No norm on the first and last; leaky ReLU 0.2.
    Larger pictures get a map of logits.

    Args:
        size: of the training crops in pixels; decides the depth and the last kernel. The published 64 by default.

    Raises:
        ValueError: a side below 8.
    """
    size = Size.of(PUBLISHED_SIZE if size is None else size)
    if size.shorter < SMALLEST:
        raise ValueError(
            f"--discriminator dcgan needs pictures of at least {SMALLEST} pixels a side, but --size is {size}: "
            "use a larger --size or --discriminator patchgan --patch 1"
        )
    count = (size.shorter // LAST).bit_length() - 1
    widths = [width * min(2**level, 8) for level in range(count)]
    stages = halving(channels, width, norm=None, downsample=downsample)
    for level in range(1, count):
        stages += halving(widths[level - 1], widths[level], norm=norm, downsample=downsample)
    last = (LAST * size.height // size.shorter, LAST * size.width // size.shorter)
    return nn.Sequential(*stages, nn.Conv2d(widths[-1], 1, last))
