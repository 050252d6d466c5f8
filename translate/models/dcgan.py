"""DCGAN: pictures out of noise, with nothing to translate (Radford, Metz, Chintala 2015); by label or text if asked.

With `--condition` the vector of a label or text modulates the generator after every norm, and the discriminator judges
by it (projection, Miyato 2018). Of texts it also sees true pictures with a wrong one (GAN-CLS, Reed 2016).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Asks, Conditions
from translate.losses import OBJECTIVES, matching_aware
from translate.models.parts import discriminate
from translate.models.steering import NOTHING, ConditionSettings, Encoder, Steered, draw_kept, said, some_hidden
from translate.networks import Critic, DCGANGenerator, dcgan
from translate.networks.augment import DiffAugment
from translate.networks.blocks import init_weights
from translate.outside import MAX_WIDTH
from translate.sizes import Size


class DCGANSettings(ConditionSettings):
    """The published settings: z of 100, width 64, batch norm, cross-entropy, Adam 2e-4 with beta1 0.5, N(0, 0.02).

    Other than published: z is standard normal, there uniform in [-1, 1], and can so be walked on a sphere; a batch has
    64 pictures, there 128 (`--batch 128`); the rate is constant, as there.
    """

    published = {"batch": 64, "schedule": "constant"}  # noqa: RUF012

    condition: Literal["none", "label", "text"] = Field("none", description="what pictures are of: none, label or text")
    z: int = Field(100, ge=1, le=65_536, description="numbers of the noise that a picture is made of")
    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator's last layer but one")
    norm: Literal["batch", "instance", "group", "none"] = Field("batch", description="norm of both networks")
    discriminator_width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the discriminator's first layer")
    augment: str | None = Field(
        None,
        description="what the discriminator sees is changed by color,translation,cutout or some of these "
        "(DiffAugment): for small data",
    )
    objective: Literal["vanilla", "lsgan"] = Field("vanilla", description="the game: cross-entropy, or least squares")

    @field_validator("augment")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            DiffAugment(value)
        return value

    @property
    def asks(self) -> Asks:
        return replace(super().asks, z=self.z)


class DCGAN(Steered):
    """D tells true pictures from made ones, each batch by itself as published; G has to be taken for true.

    Batch norm uses running averages at inference: a picture of noise has no statistics of its own that would mean
    anything, and none depends on what else is in the batch.
    """

    settings_class = DCGANSettings
    summary = "pictures out of noise, by label or text if asked (Radford 2015): see `translate sample`"
    data = "targets"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(
        self,
        settings: DCGANSettings,
        *,
        source_channels: int = 0,
        target_channels: int,
        size: Size,
        conditions: Conditions = NOTHING,
    ) -> None:
        super().__init__(
            settings,
            source_channels=source_channels,
            target_channels=target_channels,
            size=size,
            conditions=conditions,
        )
        self.inputs = conditions.inputs
        self.objective = OBJECTIVES[settings.objective]
        self.z, self.drop, self.joint = settings.z, settings.drop_condition, settings.norm != "batch"
        self.steered = bool(conditions.labels or conditions.text)
        code = settings.code_width if self.steered else 0
        self.generator = DCGANGenerator(
            target_channels, size=size, width=settings.width, norm=settings.norm, z=settings.z, code=code
        )
        self.discriminator = Critic(
            dcgan(target_channels, width=settings.discriminator_width, norm=settings.norm, size=size),
            augment=DiffAugment(settings.augment) if settings.augment else None,
            code=code,
            join="projection" if code else None,
        )
        if code:
            self.encoder, self.judge_encoder = Encoder(conditions, code), Encoder(conditions, code)
            self.deployed = ("generator", "encoder")
            self.players = {"discriminator": ("discriminator", "judge_encoder"), "generator": self.deployed}
        init_weights(self)

    def forward(self, **condition: Tensor) -> Tensor:  # type: ignore[override]
        """`z` `[B, z]`, and what it is conditioned on -> `[B, Ct, H, W]` in [-1, 1], of the training's size."""
        z = condition.pop("z")
        made: Tensor = self.generator(z, self.code(**condition))
        return made

    def code(self, **condition: Tensor) -> Tensor | None:
        """What the generator gets of a condition, `[B, code_width]`."""
        return self.encoder(condition) if self.steered else None

    def translate(self, batch: Batch) -> Images:
        images = {"kept": draw_kept(batch, self.drop)} if self.steered else {}
        z = batch.draw(torch.randn, self.z).to(batch.target)
        images["fake"] = self.forward(z=z, **self._kept(batch, images))
        return images

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        code = self.judge_encoder(self._kept(batch, images)) if self.steered else None
        if player == "generator":
            scores = self.discriminator(images["fake"], code=code)
            return {"g_gan": self.objective.generator(scores.logits)}, {}
        if self.conditions.text is None:
            loss, stats = discriminate(
                self.objective, self.discriminator, batch.target, images["fake"], code=code, together=self.joint
            )
            return {"d": loss}, stats
        assert code is not None
        wrong = self.judge_encoder(said(self.conditions, batch, prefix="wrong_"))
        on_right, on_wrong, on_fake = (
            scores.logits
            for scores in self.discriminator.matching(
                batch.target, images["fake"].detach(), code=code, wrong=wrong, together=self.joint
            )
        )
        stats = {"d_real": on_right, "d_wrong": on_wrong, "d_fake": on_fake}
        return {"d": matching_aware(self.objective, right=on_right, wrong=on_wrong, fake=on_fake)}, {
            name: logits.detach().float().mean() for name, logits in stats.items()
        }

    def _kept(self, batch: Batch, images: Images) -> dict[str, Tensor]:
        """What each picture is to be of; nothing where that is hidden, from G and D alike."""
        return some_hidden(self.conditions, said(self.conditions, batch), images["kept"]) if self.steered else {}
