"""DCGAN: pictures out of noise, with nothing to translate (Radford, Metz, Chintala 2015); by label or text if asked.

With `--condition` the vector of a label or text modulates the generator after every norm, and the discriminator sees
it by projection (Miyato 2018). With texts it also gets real pictures with a wrong text (GAN-CLS, Reed 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import DataNeeds
from translate.draws import Draw
from translate.fields import OneOf
from translate.models.base import DataShape
from translate.models.conditioning import Conditioned, ConditionSettings
from translate.models.few_labels import FewLabelsSettings, class_discriminator, label_terms
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.models.parts import give_reference, make_discriminator
from translate.networks import NOISE_GENERATORS
from translate.networks.blocks import init_weights
from translate.networks.class_discriminator import ClassDiscriminator
from translate.networks.discriminator import Shown


class DCGANSettings(FewLabelsSettings, ConditionSettings, GameSettings):
    """The published settings: z of 100, width 64, batch norm, cross-entropy, Adam 2e-4 with beta1 0.5, N(0, 0.02).

    Other than published: z is standard normal, there uniform in [-1, 1], and can so be walked on a sphere; a batch has
    64 pictures, there 128 (`--batch 128`); the rate is constant, as there.
    """

    published = {  # noqa: RUF012
        "batch": 64,
        "schedule": "constant",
        "discriminator": "dcgan",
        "norm": "batch",
        "objective": "vanilla",
    }
    parts = {"generator": NOISE_GENERATORS, **GameSettings.parts}  # noqa: RUF012

    condition: Literal["none", "label", "text"] = Field("none", description="what pictures are of: none, label or text")
    z: int = Field(100, ge=1, le=65_536, description="numbers of the noise that a picture is made of")
    generator: Annotated[str, OneOf(NOISE_GENERATORS)] = Field("dcgan", description="generator network")

    @property
    def data_needs(self) -> DataNeeds:
        return replace(super().data_needs, z=self.z)


class DCGAN(Conditioned):
    """D distinguishes real pictures from fakes, each in a batch of its own, as published; G has to fool D.

    Batch norm uses running averages at inference: a picture of noise has no statistics of its own that would mean
    anything, and none depends on what else is in the batch.
    """

    settings_class = DCGANSettings
    summary = "pictures out of noise, by label or text if asked (Radford 2015): see `translate sample`"
    data = "targets"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(self, settings: DCGANSettings, shape: DataShape) -> None:
        conditions, channels, size = shape.conditions, shape.target_channels, shape.size
        code = settings.code_width if conditions.labels or conditions.text else 0
        super().__init__(shape, drop=settings.drop_condition if code else 0.0)
        self.settings = settings
        self.inputs = conditions.inputs
        network = NOISE_GENERATORS[settings.generator]
        self.generator = network(channels, size=size, z=settings.z, code=code, **network.settings.arguments(settings))
        give_reference(self.generator, settings, {"z": (settings.z,)}, encoded=bool(code))
        self.discriminator = make_discriminator(
            settings, channels, size=size, code=code, join="projection" if code else None
        )
        self.classifies = settings.semi_supervised
        if self.classifies:
            self.discriminator = class_discriminator(self.discriminator, conditions, named=settings.discriminator)
        if code:
            self.add_encoder(code)
            self.add_discriminator_encoder(code)
        self.game = Game(self.discriminator, settings)
        init_weights(self)

    def forward(self, **condition: Tensor) -> Tensor:  # type: ignore[override]
        """`z` `[B, z]`, and what it is conditioned on -> `[B, Ct, H, W]` in [-1, 1], of the training's size."""
        z = condition.pop("z")
        made: Tensor = self.generator(z, self.code(**condition))
        return made

    def classify(self, picture: Tensor) -> Tensor:
        assert isinstance(self.discriminator, ClassDiscriminator), "a discriminator of classes"
        return self.discriminator.classify(picture)

    def draws(self) -> dict[str, Draw]:
        return super().draws() | {"z": Draw("normal", (self.settings.z,))}

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        return {"fake": self.generator(batch.draws["z"].to(batch.target), self.encode(batch).code)}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        code = self.discriminator_code(batch)
        real, fake = Shown(batch.target, code=code), Shown(images["fake"], code=code)
        if player == "discriminator":
            terms = self.game.discriminator(real, fake, self.mismatched(real, batch), draws=batch.draws)
            losses, stats = terms.losses, terms.stats
            if self.classifies:
                of_labels = label_terms(terms, batch, self.game, self.settings)
                losses, stats = losses | of_labels[0], stats | of_labels[1]
        else:
            losses, stats, *_ = self.game.generator(real, fake, draws=batch.draws)
        return losses, stats
