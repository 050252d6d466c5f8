"""pix2pix: image-to-image translation with a conditional GAN and an L1 term (Isola, Zhu, Zhou, Efros 2017)."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import OBJECTIVES, l1
from translate.models.base import Model
from translate.networks import DISCRIMINATORS, GENERATORS, Critic
from translate.networks.blocks import init_weights
from translate.networks.patchgan import check_size
from translate.settings import ModelSettings


class Pix2PixSettings(ModelSettings):
    """The published settings: U-Net, 70-pixel PatchGAN, batch norm at batch size 1, cGAN + 100 L1."""

    generator: str = Field("unet", description="generator network: unet")
    width: int = Field(64, ge=1, description="channels of the generator's first layer")
    depth: int | None = Field(
        None, ge=2, le=12, description="times the U-Net halves the picture (default: follows --size)"
    )
    norm: Literal["batch", "instance", "group", "none"] = Field("batch", description="norm of both networks")
    inference_norm: Literal["auto", "image", "running"] = Field(
        "auto",
        description="batch norm at inference: each image's own statistics, running averages, "
        "or auto (image for training with --batch 1)",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout of the U-Net's inner decoder blocks, in training only")
    upsample: Literal["transposed", "resize"] = Field(
        "transposed",
        description="upsampling: transposed convolution, or resize and convolution (no checkerboards, slower)",
    )
    patch: Literal[1, 16, 34, 70, 142, 286] = Field(
        70, description="side of the patches the discriminator judges, in pixels"
    )
    discriminator_width: int = Field(64, ge=1, description="channels of the discriminator's first layer")
    objective: Literal["vanilla", "lsgan"] = Field("vanilla", description="the game: cross-entropy or least squares")
    lambda_gan: float = Field(1.0, ge=0, description="weight of the adversarial term of the generator")
    lambda_l1: float = Field(100.0, ge=0, description="weight of the L1 term of the generator")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.inference_norm != "auto" and self.norm != "batch":
            raise ValueError(f"--inference-norm {self.inference_norm} is for --norm batch, not for {self.norm}")
        return self

    @property
    def per_image_norm(self) -> bool:
        """Whether batch norm uses each image's own statistics at inference."""
        return self.batch == 1 if self.inference_norm == "auto" else self.inference_norm == "image"


class Pix2Pix(Model):
    """D judges (source, picture) pairs; G has to please D and be near the target. D moves first."""

    settings_class = Pix2PixSettings
    summary = "paired translation: conditional GAN + L1 (Isola 2017)"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(self, settings: Pix2PixSettings, *, source_channels: int, target_channels: int, size: int) -> None:
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        check_size(size, settings.patch)
        self.objective = OBJECTIVES[settings.objective]
        self.lambda_gan = settings.lambda_gan
        self.lambda_l1 = settings.lambda_l1
        self.generator = GENERATORS[settings.generator](
            source_channels,
            target_channels,
            size=size,
            width=settings.width,
            depth=settings.depth,
            norm=settings.norm,
            per_image=settings.per_image_norm,
            dropout=settings.dropout,
            upsample=settings.upsample,
        )
        self.discriminator = Critic(
            DISCRIMINATORS["patchgan"](
                source_channels + target_channels,
                width=settings.discriminator_width,
                patch=settings.patch,
                norm=settings.norm,
            )
        )
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        return self.generator(image)

    def translate(self, batch: Batch) -> Images:
        fake = self.generator(batch.source)
        if batch.valid is not None:
            # where the target is unknown it stands in for the fake: no loss can see the difference
            fake = torch.where(batch.valid, fake, batch.target.to(fake.dtype))
        return {"fake": fake}

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        if player == "discriminator":
            # two passes, since batch norm would mix real and fake in one
            real = self.discriminator(batch.target, condition=batch.source).logits
            fake = self.discriminator(images["fake"].detach(), condition=batch.source).logits
            stats = {"d_real": real.detach().float().mean(), "d_fake": fake.detach().float().mean()}
            return {"d": self.objective.discriminator(real, fake)}, stats
        fake = self.discriminator(images["fake"], condition=batch.source).logits
        gan = self.objective.generator(fake)
        distance = l1(images["fake"], batch.target, valid=batch.valid)
        return {"g_gan": self.lambda_gan * gan, "g_l1": self.lambda_l1 * distance}, {}
