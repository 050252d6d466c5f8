"""StarGAN: one generator for many domains, without pairs (Choi et al. 2018); conditioned on labels, or on texts.

Each picture of the multi-domain set is a source; the goal is the label or text of another picture. With labels it is
the published method: the discriminator also predicts the label. With texts the discriminator scores whether picture
and text belong together (GAN-CLS, Reed 2016). In both cases the output, translated back with the source's own label or
text, should equal the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import l1
from translate.models.base import DataShape
from translate.models.conditioning import Conditioned, ConditionSettings, class_cost_over, conditions_of
from translate.models.game import Game
from translate.models.parts import GanSettings, make_discriminator, make_generator
from translate.models.perceptual import ContentSettings
from translate.networks.blocks import init_weights
from translate.networks.discriminator import Shown


class StarGANSettings(ContentSettings, ConditionSettings, GanSettings):
    """The published settings: ResNet of six blocks, WGAN-GP, five critic steps, Adam 1e-4, batch 16.

    Other than published: from --size 256 on there are nine blocks, as in CycleGAN; labels modulate the generator at
    every layer rather than being planes beside the picture; the discriminator is a PatchGAN without norm, with a head
    for the classes; the penalty is for the gradient of a picture's score, the mean over its patches, where the authors'
    code takes the sum.
    """

    published = {  # noqa: RUF012
        "generator": "resnet",
        "condition": "label",
        "drop_condition": 0.0,
        "objective": "wasserstein",
        "penalty": "gp",
        "discriminator_norm": "none",
        "d_steps": 5,
        "lr": 1e-4,
        "batch": 16,
    }
    former = {"critic_steps": "d_steps"}  # noqa: RUF012

    condition: Literal["label", "text"] = Field("label", description="condition of the translation: label or text")
    lambda_cycle: float = Field(10.0, ge=0, description="weight of a picture's difference after the way and back")
    lambda_class: float = Field(1.0, ge=0, description="weight of the label's cross-entropy")

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Five steps of a critic, as published; one of another discriminator."""
        critic = values.get("objective", "wasserstein") == "wasserstein"
        return super().implied(values) | {"d_steps": 5 if critic else 1}

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.condition != "label":
            found["lambda_class"] = "with --condition text: it is for labels"
        return found


class StarGAN(Conditioned):
    """D makes `d_steps` steps, then G makes one: adversarial, classification and cycle terms.

    With `drop_condition` some examples have no goal, so that G also works without one; as published each has one.
    """

    settings_class = StarGANSettings
    summary = "labelled or described pictures of many domains, each into any other (Choi 2018)"
    data = "domains"
    same_channels = True
    players = {"discriminator": ("discriminator",), "generator": ("generator", "encoder")}  # noqa: RUF012

    def __init__(self, settings: StarGANSettings, shape: DataShape) -> None:
        super().__init__(shape, drop=settings.drop_condition)
        self.settings = settings
        code, text, labels = settings.code_width, shape.conditions.text is not None, shape.conditions.labels
        self.content = settings.content_term(shape.source_channels, shape.target_channels)
        self.generator = make_generator(
            settings, shape.source_channels, shape.target_channels, size=shape.size, code=code
        )
        self.add_encoder(code)
        self.discriminator = make_discriminator(
            settings,
            shape.target_channels,
            size=shape.size,
            code=code if text else 0,
            join="projection" if text else None,
            classes=len(labels),
        )
        if text:
            self.add_discriminator_encoder(code)
        self.game = Game(self.discriminator, settings)
        init_weights(self, kind=settings.init)

    def check(self) -> None:
        super().check()
        if self.content is not None:
            self.content.check()

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        goal = self.hide_some(conditions_of(self.conditions, batch), batch)
        images = {"fake": self.forward(batch.source, **goal)}
        if "generator" in players:
            own = conditions_of(self.conditions, batch, prefix="own_")
            images["cycle"] = self.forward(images["fake"], **own)
        return images

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        real = Shown(batch.source, code=self.discriminator_code(batch, prefix="own_"))
        fake = Shown(images["fake"], code=self.discriminator_code(batch))
        several, weight = self.conditions.several, self.settings.lambda_class
        if player == "discriminator":
            terms = self.game.discriminator(real, fake, self.mismatched(real, batch), draws=batch.draws)
            if self.conditions.labels:
                own = batch.condition["own_label"]
                terms.losses["d_class"] = weight * class_cost_over(terms.real, own, several=several)
            return terms.losses, terms.stats
        terms = self.game.generator(real, fake, draws=batch.draws)
        terms.losses["g_cycle"] = self.settings.lambda_cycle * l1(images["cycle"], batch.source)
        if self.content is not None:
            terms.losses["g_content"] = self.content(images["fake"], batch.source)
        if self.conditions.labels:
            goal = batch.condition["label"]
            cost = class_cost_over(terms.fake, goal, several=several, kept=self.kept(batch))
            terms.losses["g_class"] = weight * cost
        return terms.losses, terms.stats
