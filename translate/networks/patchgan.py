"""PatchGAN (Isola 2017): a discriminator with one logit for each patch of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from translate.fields import OneOf
from translate.networks.blocks import NORMS, Norm, needs_bias
from translate.networks.minibatch import MINIBATCH, minibatch_layers
from translate.networks.network import NetworkSettings
from translate.networks.resampling import DOWNSAMPLINGS, BlurDown, Downsampling
from translate.networks.spectral import spectral_norm as normalise
from translate.outside import MAX_WIDTH
from translate.sizes import Size
from translate.tables import Table

STRIDED_LAYERS = Table("patch size", {"1": 0, "16": 1, "34": 2, "70": 3, "142": 4, "286": 5})
"""Side of the patch in pixels -> convolutions of stride 2; 1 is the PixelGAN."""


class WidthSettings(NetworkSettings):
    """What every discriminator has."""

    gives: ClassVar[Literal["logits", "energy", "labels"]] = "logits"  # labels of pixels: its cost is its own
    implies: ClassVar[Mapping[str, Any]] = {}  # other defaults of its fields, as it was published
    # the uses of a label or text that it has
    code_uses: ClassVar[tuple[str, ...]] = ("projection", "inner", "auxiliary", "concat")

    discriminator_width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the discriminator's first layer")

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        arguments = super().arguments(chosen)
        return arguments | {"width": arguments.pop("discriminator_width")}


class SpectralSettings(WidthSettings):
    """Of a discriminator that can do without spectral norm."""

    spectral_norm: bool = Field(
        False, description="spectral norm on each convolution of the discriminator (default of unet and segment: on)"
    )


class DiscriminatorSettings(SpectralSettings):
    """Of a discriminator that has the generator's norm and downsampling."""

    discriminator_norm: Annotated[str | None, OneOf(NORMS)] = Field(
        None,
        description="norm of the discriminator (default: as --norm; but instance where that is batch, and --penalty is "
        "gp, r1 or r1r2)",
    )
    norm: Norm = "instance"
    downsample: Downsampling = "strided"

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        arguments = super().arguments(chosen)
        norm = arguments.pop("discriminator_norm")
        return arguments | ({} if norm is None else {"norm": norm})


class MinibatchSettings(NetworkSettings):
    """Of a discriminator that can see the batch as a whole."""

    minibatch: Annotated[str, OneOf(MINIBATCH)] = Field(
        "none",
        description="what the discriminator sees of the other examples of its batch: none, how near each is to them "
        "(discrimination), or how much all differ (stddev); needs --batch 2; each process has a batch of its own",
    )

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        if chosen.minibatch != "none" and chosen.batch < 2:
            raise ValueError(
                f"--minibatch {chosen.minibatch} compares the examples of a batch, and --batch is {chosen.batch}: use "
                "--batch 2 or more (--accumulate joins no batches), or --minibatch none"
            )
        return super().arguments(chosen)


class PatchGANSettings(MinibatchSettings, DiscriminatorSettings):
    """A PatchGAN."""

    patch: Annotated[int, OneOf(STRIDED_LAYERS)] = Field(
        70, description="side of the discriminator's patches, in pixels"
    )


def smallest_size(patch: int) -> int:
    """The smallest side of a picture, in pixels, that has at least one patch."""
    layers = STRIDED_LAYERS[str(patch)]
    return 3 * 2**layers if layers else 2  # the PixelGAN's instance norm needs two pixels


def check_size(size: Size | int, patch: int) -> None:
    """
    Raises:
        ValueError: crops of `size` pixels are too small for this patch; names the smallest size.
    """
    if Size.of(size).shorter < smallest_size(patch):
        raise ValueError(
            f"--patch {patch} needs pictures of at least {smallest_size(patch)} pixels a side, but --size is {size}: "
            f"use a larger --size or a smaller --patch ({', '.join(STRIDED_LAYERS)})"
        )


def halving(inputs: int, outputs: int, *, norm: str | None, downsample: str) -> list[nn.Module]:
    """4x4 convolution, norm (if any), leaky ReLU 0.2: `[B, C, H, W]` -> `[B, C', H/2, W/2]`, rounded down.

    Anti-aliased as in CUT: the convolution of stride 1, and a blur that halves.
    """
    blurred = DOWNSAMPLINGS[downsample]
    bias = norm is None or needs_bias(norm)
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, stride=1 if blurred else 2, padding=1, bias=bias)]
    if norm is not None:
        layers.append(NORMS[norm](outputs, per_image=False))
    layers.append(nn.LeakyReLU(0.2))
    return [*layers, BlurDown(outputs)] if blurred else layers


def patchgan(
    channels: int,
    *,
    width: int = 64,
    patch: int = 70,
    norm: str = "batch",
    downsample: str = "strided",
    spectral_norm: bool = False,
    minibatch: str = "none",
    size: Size | int | None = None,
) -> nn.Sequential:
    """`[B, channels, H, W]` -> a map of logits `[B, 1, H', W']`, one for each overlapping patch of `patch` pixels.

    4x4 convolutions of width x 1, 2, 4, 8: all but the last two of stride 2; no norm on the first and last; leaky ReLU
    0.2. 2,768,705 parameters for 6 channels, width 64, patch 70 and batch norm. Anti-aliased as in CUT (Park 2020) the
    blur makes the patch somewhat larger than `patch`.

    Args:
        spectral_norm: on each convolution, beside its norm.
        minibatch: what the last convolution sees of the other examples of the batch: see `MINIBATCH`.
        size: of the training crops in pixels, to find out early that they are too small.

    Raises:
        ValueError: a patch size that is not in `STRIDED_LAYERS`, or one that does not fit `size`.
    """
    layers = STRIDED_LAYERS[str(patch)]
    if size is not None:
        check_size(size, patch)
    if layers == 0:
        DOWNSAMPLINGS[downsample]  # a PixelGAN halves nothing, but a wrong word is still one
        network = _pixelgan(channels, width=width, norm=norm, minibatch=minibatch)
    else:
        network = _strided(channels, layers, width=width, norm=norm, downsample=downsample, minibatch=minibatch)
    if spectral_norm:
        normalise(network)
    return network


def _strided(channels: int, layers: int, *, width: int, norm: str, downsample: str, minibatch: str) -> nn.Sequential:
    widths = [width * min(2**level, 8) for level in range(layers + 1)]
    stages = halving(channels, width, norm=None, downsample=downsample)
    for level in range(1, layers):
        stages += halving(widths[level - 1], widths[level], norm=norm, downsample=downsample)
    seen, inputs = minibatch_layers(minibatch, widths[-1])
    return nn.Sequential(
        *stages,
        nn.Conv2d(widths[-2], widths[-1], 4, padding=1, bias=needs_bias(norm)),
        NORMS[norm](widths[-1], per_image=False),
        nn.LeakyReLU(0.2),
        *seen,
        nn.Conv2d(inputs, 1, 4, padding=1),
    )


def _pixelgan(channels: int, *, width: int, norm: str, minibatch: str) -> nn.Sequential:
    bias = needs_bias(norm)
    seen, inputs = minibatch_layers(minibatch, 2 * width)
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 1, bias=bias),
        NORMS[norm](2 * width, per_image=False),
        nn.LeakyReLU(0.2),
        *seen,
        nn.Conv2d(inputs, 1, 1, bias=bias),
    )
