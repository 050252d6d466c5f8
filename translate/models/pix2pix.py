"""pix2pix: image-to-image translation with a conditional GAN and an L1 term (Isola, Zhu, Zhou, Efros 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats, with_known
from translate.conditions import DataNeeds
from translate.losses import class_weights, l1
from translate.models.base import DataShape
from translate.models.conditioning import Conditioned, ConditionedGameSettings
from translate.models.game import Game
from translate.models.game_settings import that_give
from translate.models.parts import make_discriminator, make_generator, run_generator
from translate.models.perceptual import PerceptualSettings
from translate.networks.blocks import init_weights
from translate.networks.discriminator import Shown


class Pix2PixSettings(PerceptualSettings, ConditionedGameSettings):
    """The published settings: U-Net, 70-pixel PatchGAN, batch norm at batch size 1, cGAN + 100 L1."""

    published = {"norm": "batch", "dropout": 0.5, "objective": "vanilla"}  # noqa: RUF012

    lambda_l1: float = Field(100.0, ge=0, description="weight of the L1 term of the generator")
    balance_l1: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how far the L1 term favours small classes of a label map: 0 weighs every pixel alike, 1 every "
        "class of a picture; needs --source-kind labels or --target-kind labels",
    )

    discriminator_sees: Literal["pair", "picture"] = Field(
        "pair",
        description="what the discriminator sees: source and picture, or the picture alone (the paper's ablation; "
        "default with --discriminator segment: picture)",
    )

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """One that labels pixels must not see the labels."""
        segmenting = values.get("discriminator") in that_give("labels")
        return super().implied(values) | ({"discriminator_sees": "picture"} if segmenting else {})

    @model_validator(mode="after")
    def _sees(self) -> Self:
        if self.labels_pixels and self.discriminator_sees == "pair":
            raise ValueError(
                f"--discriminator-sees pair: --discriminator {self.discriminator} labels the pixels, and the source "
                "tells their labels: leave it out"
            )
        return self

    @property
    def data_needs(self) -> DataNeeds:
        return replace(super().data_needs, classes=self.balance_l1 > 0, segments=self.labels_pixels)

    def unused(self) -> dict[str, str]:
        return super().unused() | ({} if self.lambda_l1 else {"balance_l1": "with --lambda-l1 0"})


class Pix2Pix(Conditioned):
    """D sees (source, picture) pairs; G has to fool D and be near the target. D makes its step first.

    Without a condition, as published, every code is None.
    """

    settings_class = Pix2PixSettings
    summary = "paired translation: conditional GAN + L1 (Isola 2017), by label or text if asked"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(self, settings: Pix2PixSettings, shape: DataShape) -> None:
        super().__init__(shape, drop=settings.drop_condition)
        self.settings = settings
        self.target_terms = settings.target_terms(channels=shape.target_channels)
        code = settings.code_width if shape.conditions else 0
        classes = len(shape.conditions.labels) if settings.label_loss == "auxiliary" else 0
        self.generator = make_generator(
            settings, shape.source_channels, shape.target_channels, size=shape.size, code=code
        )
        self.discriminator = make_discriminator(
            settings,
            shape.target_channels,
            size=shape.size,
            spatial=shape.source_channels if settings.discriminator_sees == "pair" else 0,
            segments=shape.classes,
            code=0 if classes else code,
            join=settings.label_loss if code and not classes else None,
            classes=classes,
        )
        if code:
            self.add_encoder(code, augmentation=True)
        if code and not classes:
            self.add_discriminator_encoder(code)
        self.game = Game(self.discriminator, settings)
        init_weights(self, kind=settings.init)

    def check(self) -> None:
        super().check()
        self.target_terms.check()

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        code, kl = self.encode(batch)
        # where the target is unknown it stands in for the fake: no loss can see the difference
        images = {"fake": with_known(run_generator(self.generator, batch.source, code), batch)}
        return images if kl is None else {**images, "kl": kl}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        code = self.discriminator_code(batch)
        source = batch.source if self.settings.discriminator_sees == "pair" else None
        labels = self.game.labels(batch)
        real, fake = (Shown(picture, source, code, classes=labels) for picture in (batch.target, images["fake"]))
        if player == "discriminator":
            terms = self.game.discriminator(real, fake, self.mismatched(real, batch), draws=batch.draws)
        else:
            terms = self.game.generator(real, fake, draws=batch.draws)
            terms.losses["g_l1"] = self.settings.lambda_l1 * l1(
                images["fake"], batch.target, weight=self._weight(batch)
            )
            terms.losses.update(self.target_terms(images["fake"], batch.target))
        costs = self.class_costs(player, batch, terms)
        terms.losses.update({name: self.settings.lambda_class * cost for name, cost in costs.items()})
        if player == "generator" and "kl" in images:
            terms.losses["g_kl"] = self.settings.lambda_kl * images["kl"]
        return terms.losses, terms.stats

    def _weight(self, batch: Batch) -> Tensor | None:
        """Of pixels in the L1 term, `[B, 1, H, W]`; None: all alike."""
        if not self.settings.balance_l1:
            return batch.valid
        assert batch.classes is not None, "that there are label maps was checked before any picture was read"
        weight = class_weights(batch.classes, count=batch.class_count, power=self.settings.balance_l1)
        return weight if batch.valid is None else weight * batch.valid
