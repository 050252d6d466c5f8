"""SRResNet: larger pictures from small ones, learned from pairs alone (Ledig, Theis, Huszar 2017, without the GAN)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import l1, mse
from translate.models.base import Model
from translate.models.perceptual import PerceptualSettings
from translate.networks.blocks import init_weights
from translate.networks.srresnet import SRResNet as Generator
from translate.outside import MAX_WIDTH
from translate.settings import ModelSettings
from translate.sizes import Size

DISTANCES = {"mse": mse, "l1": l1}


class SRResNetSettings(PerceptualSettings, ModelSettings):
    """The published settings (SRResNet-MSE): Adam at 1e-4 for all of a million steps, 16 crops of 96 pixels a step.

    The crops' size, and that pictures are not resized first, are settings of the data: see `recipes.RECIPES`.
    """

    published = {"batch": 16, "lr": 1e-4, "beta1": 0.9, "schedule": "constant"}  # noqa: RUF012

    scale: Literal[2, 4] = Field(4, description="times the source's sides that the output's are")
    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator")
    blocks: int = Field(16, ge=1, le=200, description="residual blocks of the generator")
    norm: Literal["batch", "none"] = Field(
        "batch", description="norm of the residual blocks: batch as published, or none as in EDSR"
    )
    inference_norm: Literal["auto", "image", "running"] = Field(
        "auto",
        description="batch norm at inference: each image's own statistics, running averages, "
        "or auto (image for training with --batch 1)",
    )
    distance: Literal["mse", "l1"] = Field(
        "mse", description="distance to the target: squared as published, or absolute (sharper: EDSR)"
    )

    @model_validator(mode="after")
    def _norms(self) -> Self:
        if self.inference_norm != "auto" and self.norm != "batch":
            raise ValueError(f"--inference-norm {self.inference_norm} is for --norm batch, not for {self.norm}")
        return self

    @property
    def per_image_norm(self) -> bool:
        """Whether batch norm uses each image's own statistics at inference."""
        return self.batch == 1 if self.inference_norm == "auto" else self.inference_norm == "image"


class SRResNet(Model):
    """A generator that has to be near its target; no discriminator."""

    settings_class = SRResNetSettings
    summary = "super-resolution: pictures 2 or 4 times as large, from pictures alone (SRResNet, Ledig 2017)"
    players = {"generator": ("generator",)}  # noqa: RUF012
    judges = ()

    def __init__(self, settings: SRResNetSettings, *, source_channels: int, target_channels: int, size: Size) -> None:
        """
        Raises:
            ValueError: crops whose sides are no multiples of the scale.
        """
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        if any(side % self.scale for side in size):
            raise ValueError(f"--size {size} is cropped from the target, and --scale {self.scale} has to divide it")
        self.distance = settings.distance
        self.generator = Generator(
            source_channels,
            target_channels,
            scale=self.scale,
            width=settings.width,
            blocks=settings.blocks,
            norm=settings.norm,
            per_image=settings.per_image_norm,
        )
        init_weights(self.generator)
        self.generator.start_alike()
        self.perceptual = settings.perceptual_term(channels=target_channels)

    @classmethod
    def enlarges(cls, settings: SRResNetSettings) -> int:  # type: ignore[override]
        return settings.scale

    def forward(self, image: Tensor) -> Tensor:
        larger: Tensor = self.generator(image)
        return larger

    def check(self) -> None:
        if self.perceptual is not None:
            self.perceptual.check()

    def translate(self, batch: Batch) -> Images:
        fake = self.generator(batch.source)
        if batch.valid is not None:
            # where the target is unknown it stands in for the fake: no loss can see the difference
            fake = batch.target.to(fake.dtype).where(~batch.valid, fake)
        return {"fake": fake}

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        distance = DISTANCES[self.distance](images["fake"], batch.target, weight=batch.valid)
        losses = {f"g_{self.distance}": distance}
        if self.perceptual is not None:
            losses["g_perceptual"] = self.perceptual(images["fake"], batch.target)
        return losses, {}
