"""DCGAN (Radford 2015): the generator from noise to a picture, and the discriminator with one logit for a picture.

The discriminator is also DiscoGAN's (Kim 2017).
"""

from __future__ import annotations

import itertools

import torch
from pydantic import Field
from torch import Tensor, nn

from translate.networks.blocks import NORMS, Norm, needs_bias
from translate.networks.minibatch import minibatch_layers
from translate.networks.modulation import check_code, modulation, one_by_one
from translate.networks.network import NetworkSettings
from translate.networks.patchgan import DiscriminatorSettings, MinibatchSettings, halving
from translate.networks.spectral import spectral_norm as normalise
from translate.outside import MAX_WIDTH
from translate.sizes import Size

LAST = 4  # the last convolution covers so many positions of the shorter side
SMALLEST = 2 * LAST
PUBLISHED_SIZE = 64


class DCGANSettings(MinibatchSettings, DiscriminatorSettings):
    """A discriminator of whole pictures: their size decides its depth."""


def dcgan(
    channels: int,
    *,
    width: int = 64,
    norm: str = "batch",
    downsample: str = "strided",
    spectral_norm: bool = False,
    minibatch: str = "none",
    size: Size | int | None = None,
    outputs: int = 1,
) -> nn.Sequential:
    """`[B, channels, H, W]` -> logits `[B, 1, H', W']`: `[B, 1, 1, 1]` for `size`, if its sides are powers of two.

    4x4 convolutions of stride 2 and width x 1, 2, 4, 8, 8 and so on, until the shorter side would fall below 4; then
    one of 4x4 without padding, of a rectangle longer in proportion. No norm on the first and last; leaky ReLU 0.2.
    Larger pictures get a map of logits.

    Args:
        spectral_norm: on each convolution, beside its norm.
        minibatch: what the last convolution sees of the other examples of the batch: see `MINIBATCH`.
        size: of the training crops in pixels; decides the depth and the last kernel. The published 64 by default.
        outputs: in place of the one logit.

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
    seen, inputs = minibatch_layers(minibatch, widths[-1])
    network = nn.Sequential(*stages, *seen, nn.Conv2d(inputs, outputs, last))
    if spectral_norm:
        normalise(network)
    return network


class DCGANGeneratorSettings(NetworkSettings):
    """A generator of noise; its norm is the discriminator's, too."""

    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator's last layer but one")
    norm: Norm = "instance"


class DCGANGenerator(nn.Module):
    """`z` `[B, z]`, standard normal -> `[B, channels, H, W]` in [-1, 1], H and W being those of `size`.

    A transposed convolution makes the first map, of 4x4 for squares of a power of two. Others of 4x4 and stride 2
    double it until it has the size; norm and ReLU after each but the last, tanh at the end. Widths are the
    discriminator's, from the last to the first: width x 8, 8, ..., 4, 2, 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        size: Size | int,
        width: int = 64,
        norm: str = "batch",
        z: int = 100,
        code: int = 0,
    ) -> None:
        """
        Args:
            channels: of the pictures.
            size: of the pictures, in pixels: `start` has the possible ones.
            norm: batch norm uses its running averages at inference.
            z: numbers of the noise.
            code: length of the vector that modulates every layer after its norm; 0 for none.

        Raises:
            ValueError: a size that cannot be reached by doubling.
        """
        super().__init__()
        size = Size.of(size)
        first = start(size)
        count = (size.height // first.height).bit_length() - 1
        widths = [width * min(2**level, 8) for level in reversed(range(count))]
        self.z, self.code_width = z, code
        bias = needs_bias(norm)
        self.first = nn.ConvTranspose2d(z, widths[0], (first.height, first.width), bias=bias)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=bias) for wide, narrow in itertools.pairwise(widths)
        )
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        self.norms = nn.ModuleList(NORMS[norm](channels, per_image=False) for channels in widths)
        self.modulations = nn.ModuleList(modulation(code, channels) for channels in widths)

    def forward(self, z: Tensor, code: Tensor | None = None) -> Tensor:
        """`z` `[B, z]`, `code` `[B, code]` -> `[B, channels, H, W]`."""
        check_code(code, self.code_width)
        x = one_by_one(self.first, z[..., None, None])
        for index, (norm, modulate) in enumerate(zip(self.norms, self.modulations, strict=True)):
            x = x if index == 0 else self.convs[index - 1](x)
            x = torch.relu(modulate(norm(x), code))
        return torch.tanh(self.last(x))


def start(size: Size) -> Size:
    """The map that is doubled until it is of `size`: its shorter side has 4 to 7 pixels.

    Raises:
        ValueError: there is none; names the nearest sizes that have one.
    """
    if size.shorter < SMALLEST:
        raise ValueError(
            f"a generator that doubles 4 pixels and more needs pictures of at least {SMALLEST} pixels a side, but "
            f"--size is {size}"
        )
    step = _step(size.shorter)
    if size.height % step == 0 and size.width % step == 0:
        return Size(size.height // step, size.width // step)
    below = _reached(size, size.shorter // step * step)
    above = _reached(size, -(-size.shorter // step) * step)
    nearest = " or ".join(dict.fromkeys(str(found) for found in (below, above)))
    raise ValueError(
        f"--size {size}: pictures are made by doubling a map whose shorter side has 4 to 7 pixels, so that the sides "
        f"have to be multiples of {step}: the nearest are {nearest}"
    )


def _step(shorter: int) -> int:
    """How often larger the picture is than the first map."""
    return 2 ** ((shorter // LAST).bit_length() - 1)


def _reached(size: Size, shorter: int) -> Size:
    """A size that can be made, with such a shorter side and nearly the proportions of `size`."""
    step = _step(shorter)
    longer = shorter if size.height == size.width else max(round(max(size) / step) * step, shorter)
    return Size(shorter, longer) if size.height <= size.width else Size(longer, shorter)
