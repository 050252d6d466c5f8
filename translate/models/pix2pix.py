"""pix2pix: image-to-image translation with a conditional GAN and an L1 term (Isola, Zhu, Zhou, Efros 2017).

With `--condition` it is steered by a label or a text as well. Its vector modulates the generator at every scale (Perez
2018), and the discriminator judges by it: by its product with the features (projection, Miyato 2018), as further
channels (Mirza 2014), or, of labels, by telling them itself (AC-GAN, Odena 2017). Of texts it also sees true pairs with
a wrong one (GAN-CLS, Reed 2016), and the generator's is drawn from around its own (StackGAN, Zhang 2017).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Asks, Conditions
from translate.losses import OBJECTIVES, class_cost, class_weights, kl_normal, l1, matching_aware
from translate.models.parts import discriminate, make_critic, make_generator
from translate.models.perceptual import PerceptualSettings
from translate.models.steering import NOTHING, Encoder, Steered, SteeredSettings, draw_kept, said, some_hidden
from translate.networks.blocks import init_weights
from translate.networks.encoders import ConditioningAugmentation
from translate.sizes import Size


class Pix2PixSettings(PerceptualSettings, SteeredSettings):
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
    label_loss: Literal["projection", "auxiliary", "concat"] = Field(
        "projection",
        description="how the discriminator uses the condition: product with its features, telling the label itself "
        "(AC-GAN; labels only), or as further channels",
    )
    lambda_class: float = Field(1.0, ge=0, description="weight of the label's cross-entropy (--label-loss auxiliary)")
    lambda_kl: float = Field(
        0.001,
        ge=0,
        description="weight that keeps the text's distribution near the standard normal one (KL, text only)",
    )

    @property
    def asks(self) -> Asks:
        return replace(super().asks, classes=self.balance_l1 > 0)

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.label_loss != "auxiliary":
            found["lambda_class"] = "without --label-loss auxiliary"
        if self.condition != "text":
            found["lambda_kl"] = "without --condition text"
        if not self.lambda_l1:
            found["balance_l1"] = "with --lambda-l1 0"
        return found

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if self.label_loss == "auxiliary" and self.condition == "text":
            raise ValueError("--label-loss auxiliary tells labels, and --condition is text: use projection or concat")
        if self.condition == "none" and self.label_loss != "projection":
            raise ValueError(f"--label-loss {self.label_loss} needs --condition label or text")
        return self


class Pix2Pix(Steered):
    """D judges (source, picture) pairs; G has to please D and be near the target. D moves first."""

    settings_class = Pix2PixSettings
    summary = "paired translation: conditional GAN + L1 (Isola 2017), by label or text if asked"
    players = {"discriminator": ("discriminator",), "generator": ("generator",)}  # noqa: RUF012

    def __init__(
        self,
        settings: Pix2PixSettings,
        *,
        source_channels: int,
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
        self.objective = OBJECTIVES[settings.objective]
        self.lambda_gan = settings.lambda_gan
        self.lambda_l1 = settings.lambda_l1
        self.balance = settings.balance_l1
        self.perceptual = settings.perceptual_term(channels=target_channels)
        self.joint = not settings.mixes_batch
        self.labels = self.conditions.labels if settings.label_loss == "auxiliary" else ()
        code = settings.code_width if self.conditions else 0
        judged = 0 if self.labels else code
        self.generator = make_generator(settings, source_channels, target_channels, size=size, code=code)
        self.discriminator = make_critic(
            settings,
            source_channels + target_channels,
            size=size,
            code=judged,
            join=settings.label_loss if judged else None,
            classes=len(self.labels),
        )
        if code:
            self._steer(settings, code, judged=judged)
        init_weights(self, kind=settings.init)

    def _steer(self, settings: Pix2PixSettings, code: int, *, judged: int) -> None:
        """Build what reads the condition: an encoder for each player, so that neither can spoil the other's."""
        self.drop = settings.drop_condition
        self.lambda_class, self.lambda_kl = settings.lambda_class, settings.lambda_kl
        self.encoder = Encoder(self.conditions, code)
        names: tuple[str, ...] = ("encoder",)
        if self.conditions.text:
            self.augmentation = ConditioningAugmentation(code)
            names = ("encoder", "augmentation")
        if judged:
            self.judge_encoder = Encoder(self.conditions, judged)
        self.deployed = ("generator", *names)
        judges = ("discriminator", "judge_encoder") if judged else ("discriminator",)
        self.players = {"discriminator": judges, "generator": self.deployed}

    def check(self) -> None:
        if self.perceptual is not None:
            self.perceptual.check()

    def code(self, **condition: Tensor) -> Tensor | None:
        """What the generator gets of a condition, `[B, code_width]`."""
        if not self.conditions:
            return None
        code: Tensor = self.encoder(condition)
        return self.augmentation(code).mu if self.conditions.text else code

    def translate(self, batch: Batch) -> Images:
        if not self.conditions:
            fake, more = self.generator(batch.source), {}
        else:
            more = {"kept": draw_kept(batch, self.drop)}
            code = self.encoder(some_hidden(self.conditions, said(self.conditions, batch), more["kept"]))
            if self.conditions.text:
                code, mu, logvar = self.augmentation(code, batch.draw(torch.randn, code.shape[1]).to(code))
                more["kl"] = kl_normal(mu, logvar)
            fake = self.generator(batch.source, code)
        if batch.valid is not None:
            # where the target is unknown it stands in for the fake: no loss can see the difference
            fake = torch.where(batch.valid, fake, batch.target.to(fake.dtype))
        return {"fake": fake, **more}

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        if player == "discriminator":
            return self._judgement(batch, images["fake"], images.get("kept"))
        scores = self.discriminator(
            images["fake"], condition=batch.source, code=self._judged_by(batch, images.get("kept"))
        )
        losses = {
            "g_gan": self.lambda_gan * self.objective.generator(scores.logits),
            "g_l1": self.lambda_l1 * l1(images["fake"], batch.target, weight=self._weight(batch)),
        }
        if self.perceptual is not None:
            losses["g_perceptual"] = self.perceptual(images["fake"], batch.target)
        if self.labels:
            losses["g_class"] = self.lambda_class * self._class_cost(scores.classes, batch, images["kept"])
        if "kl" in images:
            losses["g_kl"] = self.lambda_kl * images["kl"]
        return losses, {}

    def _weight(self, batch: Batch) -> Tensor | None:
        """Of pixels in the L1 term."""
        if not self.balance:
            return batch.valid
        assert batch.classes is not None, "that there are label maps was checked before any picture was read"
        weight = class_weights(batch.classes, power=self.balance)
        return weight if batch.valid is None else weight * batch.valid

    def _judgement(self, batch: Batch, fake: Tensor, kept: Tensor | None) -> tuple[Losses, Stats]:
        code = self._judged_by(batch, kept)
        if self.conditions.text:
            return self._matching(batch, fake, code, kept)
        real, judge = batch.target, self.discriminator
        if not self.labels:
            loss, stats = discriminate(
                self.objective, judge, real, fake, condition=batch.source, together=self.joint, code=code
            )
            return {"d": loss}, stats
        on_real, on_fake = judge.both(real, fake.detach(), condition=batch.source, together=self.joint)
        costs = [self._class_cost(on_real.classes, batch), self._class_cost(on_fake.classes, batch, kept)]
        loss = self.objective.discriminator(on_real.logits, on_fake.logits)
        stats = {"d_real": on_real.logits.detach().float().mean(), "d_fake": on_fake.logits.detach().float().mean()}
        return {"d": loss, "d_class": self.lambda_class * 0.5 * torch.stack(costs).sum()}, stats

    def _matching(self, batch: Batch, fake: Tensor, code: Tensor | None, kept: Tensor | None) -> tuple[Losses, Stats]:
        """The true picture with its text, with a wrong one, and the drawn picture with its text."""
        assert code is not None
        on_right, on_wrong, on_fake = (
            scores.logits
            for scores in self.discriminator.matching(
                batch.target,
                fake.detach(),
                condition=batch.source,
                code=code,
                wrong=self.judge_encoder(said(self.conditions, batch, prefix="wrong_")),
                together=self.joint,
            )
        )
        stats = {"d_real": on_right, "d_wrong": on_wrong, "d_fake": on_fake}
        return {"d": matching_aware(self.objective, right=on_right, wrong=on_wrong, fake=on_fake)}, {
            name: logits.detach().float().mean() for name, logits in stats.items()
        }

    def _judged_by(self, batch: Batch, kept: Tensor | None) -> Tensor | None:
        """The code that the discriminator judges by; what was hidden from the generator is hidden from it, too."""
        if kept is None or self.labels:
            return None
        code: Tensor = self.judge_encoder(some_hidden(self.conditions, said(self.conditions, batch), kept))
        return code

    def _class_cost(self, classes: Tensor | None, batch: Batch, kept: Tensor | None = None) -> Tensor:
        """`kept` `[B]`: of fakes, those that were made by their label; the others have none to be told by."""
        assert classes is not None
        return class_cost(classes, batch.condition["label"], several=self.conditions.several, kept=kept)
