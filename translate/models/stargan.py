"""StarGAN: one generator for many domains, without pairs (Choi et al. 2018); steered by labels, or by words.

Every picture of one heap is a source, and becomes what another picture of the heap is said to be. By labels it is the
published method: the discriminator tells real from drawn and, of real ones, the label. By words there is no list of
what may be said: the discriminator judges whether a picture fits its text (GAN-CLS, Reed 2016). Either way the picture,
translated back by what it was said to be itself, has to return.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Conditions
from translate.losses import OBJECTIVES, class_cost, gradient_penalty, l1, matching_aware
from translate.models.parts import make_critic, make_generator
from translate.models.steering import Encoder, Steered, SteeredSettings, draw_kept, said, some_hidden
from translate.networks.blocks import init_weights
from translate.sizes import Size


class StarGANSettings(SteeredSettings):
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
        "lr": 1e-4,
        "batch": 16,
    }

    condition: Literal["label", "text"] = Field("label", description="what steers the translation: label or text")
    lambda_cycle: float = Field(10.0, ge=0, description="weight of a picture's difference after the way and back")
    lambda_class: float = Field(1.0, ge=0, description="weight of the label's cross-entropy")
    lambda_gp: float = Field(10.0, ge=0, description="weight of the gradient penalty (WGAN-GP)")
    critic_steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="moves of the discriminator a step, each on a batch of its own (default: 5 with --objective "
        "wasserstein, as published, else 1)",
    )

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.condition != "label":
            found["lambda_class"] = "with --condition text: only labels are told"
        if self.objective != "wasserstein":
            found["lambda_gp"] = f"with --objective {self.objective}: only Wasserstein critics are held back"
        return found


class StarGAN(Steered):
    """D moves first, `critic_steps` times; G is judged for its picture, its label or text, and the way back.

    With `drop_condition` some examples have no goal, and G learns to do without: its picture has to please D and to be
    turned back, whatever it shows. As published each has one.
    """

    settings_class = StarGANSettings
    summary = "one heap of labelled or described pictures, each into any other kind (Choi 2018)"
    data = "domains"
    same_channels = True
    players = {"discriminator": ("discriminator",), "generator": ("generator", "encoder")}  # noqa: RUF012
    deployed = ("generator", "encoder")

    def __init__(
        self,
        settings: StarGANSettings,
        *,
        source_channels: int,
        target_channels: int,
        size: Size,
        conditions: Conditions,
    ) -> None:
        super().__init__(
            settings,
            source_channels=source_channels,
            target_channels=target_channels,
            size=size,
            conditions=conditions,
        )
        self.objective = OBJECTIVES[settings.objective]
        self.moves = {"discriminator": settings.critic_steps or (5 if settings.objective == "wasserstein" else 1)}
        self.penalised = settings.lambda_gp > 0 and settings.objective == "wasserstein"
        self.lambda_gan, self.lambda_cycle = settings.lambda_gan, settings.lambda_cycle
        self.lambda_class, self.lambda_gp = settings.lambda_class, settings.lambda_gp
        self.drop = settings.drop_condition
        code, text = settings.code_width, conditions.text is not None
        self.generator = make_generator(settings, source_channels, target_channels, size=size, code=code)
        self.encoder = Encoder(conditions, code)
        self.discriminator = make_critic(
            settings,
            target_channels,
            size=size,
            norm="none",
            code=code if text else 0,
            join="projection" if text else None,
            classes=len(conditions.labels),
        )
        if text:
            self.judge_encoder = Encoder(conditions, code)
            self.players = self.players | {"discriminator": ("discriminator", "judge_encoder")}
        init_weights(self, kind=settings.init)

    def translate(self, batch: Batch) -> Images:
        images = self.fakes(batch)
        images["cycle"] = self.forward(images["fake"], **said(self.conditions, batch, prefix="own_"))
        return images

    def fakes(self, batch: Batch) -> Images:
        images = {"kept": draw_kept(batch, self.drop)} if self.drop else {}
        images["fake"] = self.forward(batch.source, **self._kept(said(self.conditions, batch), images))
        if self.penalised:
            images["mix"] = batch.draw(torch.rand, 1, 1, 1).to(batch.source)  # of real and drawn, for the penalty
        return images

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        if player == "discriminator":
            return self._judgement(batch, images)
        goal = self._kept(said(self.conditions, batch), images)
        scores = self.discriminator(images["fake"], code=self._judged_by(goal))
        losses = {
            "g_gan": self.lambda_gan * self.objective.generator(scores.logits),
            "g_cycle": self.lambda_cycle * l1(images["cycle"], batch.source),
        }
        if self.conditions.labels:
            asked, kept = batch.condition["label"], images.get("kept")
            cost = class_cost(scores.classes, asked, several=self.conditions.several, kept=kept)
            losses["g_class"] = self.lambda_class * cost
        return losses, {}

    def _judgement(self, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        real, fake = batch.source, images["fake"].detach()
        # what a goal hid is hidden from D of both pictures: else it would know fakes by that
        own = self._judged_by(self._kept(said(self.conditions, batch, prefix="own_"), images))
        goal = self._judged_by(self._kept(said(self.conditions, batch), images))
        on_real = self.discriminator(real, code=own)
        on_fake = self.discriminator(fake, code=goal)
        stats = {"d_real": on_real.logits, "d_fake": on_fake.logits}
        losses: Losses = {}
        if self.conditions.text:
            wrong = self.judge_encoder(said(self.conditions, batch, prefix="wrong_"))
            on_wrong = self.discriminator(real, code=wrong).logits
            stats["d_wrong"] = on_wrong
            losses["d"] = matching_aware(self.objective, right=on_real.logits, wrong=on_wrong, fake=on_fake.logits)
        else:
            losses["d"] = self.objective.discriminator(on_real.logits, on_fake.logits)
            cost = class_cost(on_real.classes, batch.condition["own_label"], several=self.conditions.several)
            losses["d_class"] = self.lambda_class * cost
        if self.penalised:
            losses["d_penalty"] = gradient_penalty(
                lambda mixed: self.discriminator(mixed, code=own).logits,
                real,
                fake,
                eps=images["mix"],
                weight=self.lambda_gp,
            )
        return losses, {name: logits.detach().float().mean() for name, logits in stats.items()}

    def _kept(self, condition: dict[str, Tensor], images: Images) -> dict[str, Tensor]:
        """`condition`, but nothing of the examples whose goal is hidden."""
        return some_hidden(self.conditions, condition, images["kept"]) if "kept" in images else condition

    def _judged_by(self, condition: dict[str, Tensor]) -> Tensor | None:
        return self.judge_encoder(condition) if self.conditions.text else None
