"""What every method here chooses about its networks, and how these are built from the choice."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import nn

from translate.losses import OBJECTIVES
from translate.models.game import Game
from translate.networks import DISCRIMINATORS, GENERATORS, Discriminator
from translate.networks.augment import DiffAugment
from translate.networks.blocks import needs_bias
from translate.networks.discriminator import JOINS
from translate.outside import MAX_WIDTH
from translate.settings import ModelSettings
from translate.sizes import Size


class GanSettings(ModelSettings):
    """Networks and game. A method inherits all of it, and lists the defaults it was published with."""

    generator: str = Field("unet", description="generator network: unet, resnet or encoder-decoder")
    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator's first layer")
    depth: int | None = Field(
        None, ge=1, le=12, description="times the generator halves the picture (default: U-Net by --size, ResNet 2)"
    )
    blocks: int | None = Field(
        None,
        ge=1,
        le=200,
        description="residual blocks of the ResNet (default: 9 where no side of --size is below 256, else 6)",
    )
    norm: Literal["batch", "instance", "group", "none"] = Field("instance", description="norm of all networks")
    inference_norm: Literal["auto", "image", "running"] = Field(
        "auto",
        description="batch norm at inference: each image's own statistics, running averages, "
        "or auto (image for training with --batch 1)",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout of the generator's inner blocks, in training only (U-Nets have some from 6 levels on)",
    )
    upsample: Literal["transposed", "resize", "antialiased"] = Field(
        "transposed",
        description="upsampling: transposed convolution, resize and convolution (no checkerboards, slower), "
        "or blurred resize and convolution",
    )
    downsample: Literal["strided", "antialiased"] = Field(
        "strided", description="downsampling: strided convolution, or convolution and blur (Zhang 2019)"
    )
    padding: Literal["reflect", "zero"] | None = Field(
        None, description="what the generator sees beyond the border (default: U-Net zero, ResNet reflect)"
    )
    first_bias: bool = Field(
        False, description="a bias in the U-Net's first convolution also with batch norm, as some imported models have"
    )
    init: Literal["normal", "xavier"] = Field("normal", description="initial weights: N(0, 0.02), or Xavier x 0.02")
    discriminator: str = Field("patchgan", description="discriminator network: patchgan, or dcgan for whole pictures")
    patch: Literal[1, 16, 34, 70, 142, 286] = Field(
        70, description="side of the patches that patchgan judges, in pixels"
    )
    discriminator_width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the discriminator's first layer")
    augment: str | None = Field(
        None,
        description="what the discriminator sees is changed by color,translation,cutout or some of these "
        "(DiffAugment): for small data",
    )
    objective: Literal["vanilla", "lsgan", "wasserstein"] = Field(
        "lsgan", description="the game: cross-entropy, least squares, or Wasserstein"
    )
    lambda_gan: float = Field(1.0, ge=0, description="weight of the adversarial term of the generator")

    @field_validator("augment")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            DiffAugment(value)
        return value

    @model_validator(mode="after")
    def _norms(self) -> Self:
        if self.objective == "wasserstein" and not {"clip", "lambda_gp"} & type(self).model_fields.keys():
            raise ValueError(
                "--objective wasserstein needs critics that are held back, by clipped weights or a penalty: use the "
                "model dualgan or stargan"
            )
        if self.inference_norm != "auto" and self.norm != "batch":
            raise ValueError(f"--inference-norm {self.inference_norm} is for --norm batch, not for {self.norm}")
        return self

    def unused(self) -> dict[str, str]:
        biased = {"first_bias": f"with --norm {self.norm}, where the first convolution has one anyway"}
        return super().unused() | (biased if needs_bias(self.norm) else {})

    def unused_in(self, networks: nn.Module) -> dict[str, str]:
        if not self.dropout or any(isinstance(layer, nn.Dropout) and layer.p for layer in networks.modules()):
            return {}
        return {"dropout": f"in a {self.generator} of so few levels, which has some from 6 on"}

    @property
    def per_image_norm(self) -> bool:
        """Whether batch norm uses each image's own statistics at inference."""
        return self.batch == 1 if self.inference_norm == "auto" else self.inference_norm == "image"

    @property
    def mixes_batch(self) -> bool:
        """Whether the norm of one picture depends on the others beside it, so that passes must not be joined."""
        return self.norm == "batch"


def make_generator(settings: GanSettings, inputs: int, outputs: int, *, size: Size, code: int = 0) -> nn.Module:
    """A network from pictures of `inputs` channels to pictures of `outputs` channels.

    Args:
        code: length of the vector that modulates it; 0 for none.

    Raises:
        ValueError: settings that do not fit the network or the size.
    """
    return GENERATORS[settings.generator](
        inputs,
        outputs,
        size=size,
        width=settings.width,
        depth=settings.depth,
        blocks=settings.blocks,
        norm=settings.norm,
        per_image=settings.per_image_norm,
        dropout=settings.dropout,
        upsample=settings.upsample,
        downsample=settings.downsample,
        padding=settings.padding,
        first_bias=settings.first_bias,
        code=code,
    )


def make_discriminator(
    settings: GanSettings,
    channels: int,
    *,
    size: Size,
    norm: str | None = None,
    code: int = 0,
    join: str | None = None,
    classes: int = 0,
) -> Discriminator:
    """A discriminator of what has `channels` channels, its condition included.

    Args:
        norm: another one than that of the settings.
        code, join: length of the vector that it judges pictures by, and how the two meet: see `Discriminator`.
        classes: that it tells apart besides.

    Raises:
        ValueError: as `make_generator`.
    """
    network = DISCRIMINATORS[settings.discriminator](
        channels + (JOINS[join] if join else 0),
        width=settings.discriminator_width,
        patch=settings.patch,
        norm=settings.norm if norm is None else norm,
        downsample=settings.downsample,
        size=size,
    )
    augment = DiffAugment(settings.augment) if settings.augment else None
    return Discriminator(network, augment=augment, code=code, join=join, classes=classes)


def make_game(settings: GanSettings, discriminator: Discriminator, **choices: Any) -> Game:
    """A game as the settings say, played with this discriminator.

    Args:
        choices: further arguments of `Game`: a suffix, a pool, clipping, a penalty, feature matching.
    """
    usual = {"weight": settings.lambda_gan, "together": not settings.mixes_batch}
    return Game(discriminator, OBJECTIVES[settings.objective], **usual | choices)
