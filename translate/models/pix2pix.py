"""pix2pix: image-to-image translation with a conditional GAN and an L1 term (Isola, Zhu, Zhou, Efros 2017)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import OBJECTIVES, l1
from translate.models.base import Model
from translate.models.parts import GanSettings, discriminate, make_critic, make_generator
from translate.networks.blocks import init_weights


class Pix2PixSettings(GanSettings):
    """The published settings: U-Net, 70-pixel PatchGAN, batch norm at batch size 1, cGAN + 100 L1."""

    published = {"norm": "batch", "dropout": 0.5, "objective": "vanilla"}  # noqa: RUF012

    lambda_l1: float = Field(100.0, ge=0, description="weight of the L1 term of the generator")


class Pix2Pix(Model):
    """D judges (source, picture) pairs; G has to please D and be near the target. D moves first."""

    settings_class = Pix2PixSettings
    summary = "paired translation: conditional GAN + L1 (Isola 2017)"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(self, settings: Pix2PixSettings, *, source_channels: int, target_channels: int, size: int) -> None:
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        self.objective = OBJECTIVES[settings.objective]
        self.lambda_gan = settings.lambda_gan
        self.lambda_l1 = settings.lambda_l1
        self.joint = not settings.mixes_batch
        self.generator = make_generator(settings, source_channels, target_channels, size=size)
        self.discriminator = make_critic(settings, source_channels + target_channels, size=size)
        init_weights(self, kind=settings.init)

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
            real, fake = batch.target, images["fake"]
            loss, stats = discriminate(
                self.objective, self.discriminator, real, fake, condition=batch.source, together=self.joint
            )
            return {"d": loss}, stats
        fake = self.discriminator(images["fake"], condition=batch.source).logits
        gan = self.objective.generator(fake)
        distance = l1(images["fake"], batch.target, valid=batch.valid)
        return {"g_gan": self.lambda_gan * gan, "g_l1": self.lambda_l1 * distance}, {}
