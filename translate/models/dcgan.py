"""DCGAN: pictures out of noise, with nothing to translate (Radford, Metz, Chintala 2015); by label or text if asked.

With `--condition` the vector of a label or text modulates the generator after every norm, or is joined to the noise,
and the discriminator sees it. With texts it also gets real pictures with a wrong text (GAN-CLS, Reed 2016), and the
generator texts between two (GAN-INT). A part of the noise may be codes that are found again (InfoGAN, Chen 2016), and
an encoder may learn which noise makes a picture (BiGAN, Donahue 2016; ALI, Dumoulin 2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import DataNeeds
from translate.draws import Draw
from translate.fields import OneOf
from translate.losses import OBJECTIVES
from translate.models.base import DataShape
from translate.models.conditioning import Conditioned, SeenConditionSettings
from translate.models.few_labels import FewLabelsSettings, class_discriminator, label_terms
from translate.models.game import Game, Terms
from translate.models.game_settings import GameSettings
from translate.models.info import InfoSettings, as_codes, info_costs, numbers_read
from translate.models.parts import give_reference, make_discriminator
from translate.networks import NOISE_GENERATORS
from translate.networks.blocks import init_weights
from translate.networks.class_discriminator import ClassDiscriminator
from translate.networks.discriminator import Shown
from translate.networks.image_encoder import InverseEncoder

TRUE = ("true", "t", "yes", "y", "on", "1")  # as flags are given


class DCGANSettings(FewLabelsSettings, SeenConditionSettings, InfoSettings, GameSettings):
    """The published settings: z of 100, width 64, batch norm, cross-entropy, Adam 2e-4 with beta1 0.5, N(0, 0.02).

    Other than published: z is standard normal, there uniform in [-1, 1], and can so be walked on a sphere; a batch has
    64 pictures, there 128 (`--batch 128`); the rate is constant, as there.

    GAN-CLS as published is `--condition text --condition-input concat --label-loss inner --drop-condition 0`, with
    GAN-INT `--interpolate-texts 0.5`. There the text's encoder is trained before, on pictures of the texts.
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
    z: int = Field(100, ge=1, le=65_536, description="numbers of the noise that a picture is made of, codes aside")
    generator: Annotated[str, OneOf(NOISE_GENERATORS)] = Field("dcgan", description="generator network")
    condition_input: Literal["modulation", "concat"] = Field(
        "modulation",
        description="how the generator gets the condition: its layers are modulated, or it is joined to the noise "
        "(conditional GAN, GAN-CLS)",
    )
    augment_texts: bool = Field(
        False, description="the generator's code of a text is drawn near the text's own (StackGAN): for few texts"
    )
    interpolate_texts: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the own text in codes between two texts, for which the generator has to please as well "
        "(GAN-INT, 0.5 as published); 0: off",
    )
    invert: bool = Field(
        False,
        description="also train an encoder from a picture to its noise, for --like (BiGAN): the discriminator sees "
        "pairs of both",
    )
    encoder_width: int = Field(64, ge=1, le=4096, description="channels of the encoder's first layer")

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The discriminator sees the condition where it sees the noise."""
        joined = str(values.get("invert")).lower() in TRUE and values.get("condition", "none") != "none"
        return super().implied(values) | ({"label_loss": "inner"} if joined else {})

    @property
    def data_needs(self) -> DataNeeds:
        codes = self.codes
        return replace(super().data_needs, z=self.z + codes.numbers, codes=codes)

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.condition == "none":
            found["condition_input"] = "without --condition label or text"
        if self.condition != "text":
            found |= dict.fromkeys(("augment_texts", "interpolate_texts"), "without --condition text")
        if not self.augment_texts:
            found["lambda_kl"] = "without --augment-texts"
        if not self.invert:
            found["encoder_width"] = "without --invert"
        return found

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.invert and self.codes:
            raise ValueError(
                "--invert: of InfoGAN's codes only the largest number counts, so that no encoder could find the noise: "
                "leave out --info-categorical and --info-continuous, or --invert"
            )
        if self.invert and OBJECTIVES[self.objective].middle is None:
            able = ", ".join(name for name, objective in OBJECTIVES.items() if objective.middle is not None)
            raise ValueError(
                f"--invert: the encoder has to pass real pictures for fakes, which --objective {self.objective} has no "
                f"cost for: use {able}"
            )
        if self.invert and self.condition != "none" and self.label_loss not in ("inner", "auxiliary"):
            raise ValueError(
                f"--label-loss {self.label_loss}: with --invert the discriminator sees condition and noise together: "
                "use inner or auxiliary"
            )
        if self.pool and self.codes:
            raise ValueError("--pool shows past fakes, whose codes (InfoGAN) are not those of this batch: leave it out")
        return self


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
        self.settings, self.codes = settings, settings.codes
        self.inputs = conditions.inputs
        self.numbers = settings.data_needs.z  # of the noise, with its codes
        network = NOISE_GENERATORS[settings.generator]
        arguments = network.settings.arguments(settings)
        beside = code if settings.condition_input == "concat" else 0
        self.generator = network(channels, size=size, z=self.numbers + beside, code=code - beside, **arguments)
        give_reference(self.generator, settings, {"z": (self.numbers,)}, encoded=bool(code or self.codes))
        classes = len(conditions.labels) if settings.label_loss == "auxiliary" else 0
        seen = (0 if classes else code) + (self.numbers if settings.invert else 0)
        self.discriminator = make_discriminator(
            settings,
            channels,
            size=size,
            code=seen,
            join=None if not seen else "inner" if settings.invert else settings.label_loss,
            classes=classes,
            read=numbers_read(self.codes),
        )
        self.classifies = settings.semi_supervised
        if self.classifies:
            self.discriminator = class_discriminator(self.discriminator, conditions, named=settings.discriminator)
        if code:
            self.add_encoder(code, augmentation=settings.augment_texts)
        if code and not classes:
            self.add_discriminator_encoder(code)
        if settings.invert:
            self.inverter = InverseEncoder(
                channels, self.numbers, width=settings.encoder_width, norm=arguments.get("norm", "none"), size=size
            )
            give_reference(self.inverter, settings, {"target": (channels, *size)}, encoded=False)
            self.encoding = ("inverter",)
            self.deployed = (*self.deployed, "inverter")
            self.players = self.players | {"generator": self.deployed}
        self.game = Game(self.discriminator, settings)
        init_weights(self)

    def forward(self, **condition: Tensor) -> Tensor:  # type: ignore[override]
        """`z` `[B, z]`, and what it is conditioned on -> `[B, Ct, H, W]` in [-1, 1], of the training's size."""
        z = condition.pop("z")
        return self._made(z, self.code(**condition))

    def code_of(self, picture: Tensor) -> Tensor:
        code: Tensor = self.inverter(picture)
        return code

    def classify(self, picture: Tensor) -> Tensor:
        assert isinstance(self.discriminator, ClassDiscriminator), "a discriminator of classes"
        return self.discriminator.classify(picture)

    def draws(self) -> dict[str, Draw]:
        return super().draws() | {"z": Draw("normal", (self.numbers,))}

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        z = batch.draws["z"].to(batch.target)
        code, kl = self.encode(batch)
        images = {"fake": self._made(z, code)}
        if kl is not None:
            images["kl"] = kl
        if self.settings.invert:
            images["read"] = self.inverter(batch.target)
        if self.settings.interpolate_texts and "generator" in players:
            images["between"] = self._made(z, self.between(batch, self.settings.interpolate_texts).code)
        return images

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        settings, z = self.settings, batch.draws["z"]
        code, read = self.discriminator_code(batch), images.get("read")
        if read is not None and player == "discriminator" and not self.game.looking_ahead:
            read = read.detach()
        real = Shown(batch.target, code=_joined(code, read))
        fake = self._shown(images["fake"], code, z)
        if player == "discriminator":
            wrong = self.mismatched(real, batch)
            if wrong is not None:
                wrong = wrong._replace(code=_joined(wrong.code, read))
            terms = self.game.discriminator(real, fake, wrong, draws=batch.draws)
            if self.classifies:
                of_labels = label_terms(terms, batch, self.game, settings)
                terms.losses.update(of_labels[0])
                terms.stats.update(of_labels[1])
        else:
            terms = self.game.generator(real, fake, draws=batch.draws, swapped=settings.invert)
            if settings.interpolate_texts:
                between = self.discriminator_between(batch, settings.interpolate_texts)
                further = self.game.generator(real, self._shown(images["between"], between, z), draws=batch.draws)
                terms.losses.update({f"{name}_between": cost for name, cost in further.losses.items()})
            if "kl" in images:
                terms.losses["g_kl"] = settings.lambda_kl * images["kl"]
        terms.losses.update(self._read_off(player, batch, terms))
        return terms.losses, terms.stats

    def _read_off(self, player: str, batch: Batch, terms: Terms) -> Losses:
        """What has to be read off fakes: their label (AC-GAN), and the codes of their noise (InfoGAN)."""
        settings = self.settings
        costs = {name: settings.lambda_class * cost for name, cost in self.class_costs(player, batch, terms).items()}
        if self.codes:
            weights = {"info": settings.lambda_info, "info_continuous": settings.lambda_info_continuous}
            found = info_costs(terms.fake, batch.draws["z"], self.codes)
            costs |= {f"{player[0]}_{name}": weights[name] * cost for name, cost in found.items()}
        return costs

    def _made(self, z: Tensor, code: Tensor | None) -> Tensor:
        z = as_codes(z, self.codes)
        if code is not None and self.settings.condition_input == "concat":
            z, code = torch.cat([z, code.to(z.dtype)], 1), None
        made: Tensor = self.generator(z, code)
        return made

    def _shown(self, picture: Tensor, code: Tensor | None, z: Tensor) -> Shown:
        """A fake as the discriminator sees it."""
        return Shown(picture, code=_joined(code, z) if self.settings.invert else code)


def _joined(code: Tensor | None, z: Tensor | None) -> Tensor | None:
    """The discriminator's code of the condition, and the noise beside it, as far as there are any."""
    parts = [part for part in (code, z) if part is not None]
    return torch.cat([part.float() for part in parts], 1) if len(parts) > 1 else parts[0] if parts else None
