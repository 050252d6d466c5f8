"""Conditioning of any method: what a label or a text adds to its settings, networks and game.

An encoder turns the condition into a vector (the code), which modulates the generator at every scale (Perez 2018). The
discriminator has an encoder of its own, and uses its code by projection (Miyato 2018), as further channels (Mirza 2014)
or beside its last features (Reed 2016); or it predicts labels (AC-GAN, Odena 2017). With texts it also gets real pairs
with a wrong text (GAN-CLS, Reed 2016), the generator may get codes between two texts (GAN-INT), and its code is drawn
near the encoded one (StackGAN, Zhang 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from translate.batch import Batch, Losses
from translate.conditions import Conditions, DataNeeds
from translate.draws import Draw
from translate.losses import class_cost, kl_normal
from translate.models.base import DataShape, Model
from translate.models.game import Terms
from translate.models.parts import GanSettings, run_generator
from translate.networks.discriminator import Scores, Shown
from translate.networks.encoders import ConditioningAugmentation, LabelEncoder, TextEncoder
from translate.networks.pretrained import PretrainedTextEncoder
from translate.settings import ModelSettings

Condition = Mapping[str, Tensor]
"""The conditions of a batch, by the names of the model's inputs: see `translate.conditions`."""


class ConditionSettings(ModelSettings):
    """Settings of the condition and its encoder."""

    condition: Literal["none", "label", "text"] = Field(
        "none", description="what conditions the translation beside the picture: none, label or text"
    )
    code_width: int = Field(128, ge=1, le=65_536, description="length of the vector that encodes a condition")
    drop_condition: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the examples whose condition is hidden, so that the model also works without one",
    )
    text_encoder: str | None = Field(
        None,
        description="frozen text encoder, a name on the Hugging Face hub or a folder (default: a small one, trained "
        "along; its tokenizer is learned from the training texts)",
    )
    text_length: int = Field(64, ge=1, le=100_000, description="tokens of a text that are read; longer ones are cut")
    vocabulary: int = Field(
        4000, ge=300, le=10_000_000, description="most tokens of the tokenizer that is learned from the training texts"
    )

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.condition == "none":
            found |= dict.fromkeys(("code_width", "drop_condition"), "without --condition label or text")
        if self.condition != "text":
            found |= dict.fromkeys(("text_length", "vocabulary"), "without --condition text")
        elif self.text_encoder is not None:
            found["vocabulary"] = "with --text-encoder, which brings its own"
        return found

    @property
    def data_needs(self) -> DataNeeds:
        """Labels or texts that training needs, and how they are read."""
        return DataNeeds(
            label=self.condition == "label",
            text=self.condition == "text",
            required=not self.drop_condition,
            vocabulary=self.vocabulary,
            length=self.text_length,
            encoder=self.text_encoder,
        )

    @model_validator(mode="after")
    def _read(self) -> Self:
        if self.text_encoder is not None and self.condition != "text":
            raise ValueError(f"--text-encoder reads texts, and --condition is {self.condition}: give --condition text")
        return self


class SeenConditionSettings(ConditionSettings):
    """Further settings of a model whose discriminator sees the condition, too."""

    label_loss: Literal["projection", "auxiliary", "concat", "inner"] = Field(
        "projection",
        description="how the discriminator uses the condition: product with its features, predicting the label itself "
        "(AC-GAN; labels only), as further channels of the picture, or beside its last features (GAN-CLS)",
    )
    lambda_class: float = Field(1.0, ge=0, description="weight of the label's cross-entropy (--label-loss auxiliary)")
    lambda_kl: float = Field(
        0.001,
        ge=0,
        description="weight that keeps the text's distribution near the standard normal one (KL, text only)",
    )

    def unused(self) -> dict[str, str]:
        found = super().unused()
        if self.label_loss != "auxiliary":
            found["lambda_class"] = "without --label-loss auxiliary"
        if self.condition != "text":
            found["lambda_kl"] = "without --condition text"
        return found

    @model_validator(mode="after")
    def _label_loss(self) -> Self:
        if self.label_loss == "auxiliary" and self.condition == "text":
            raise ValueError(
                "--label-loss auxiliary predicts labels, and --condition is text: use projection, concat or inner"
            )
        if self.condition == "none" and self.label_loss != "projection":
            raise ValueError(f"--label-loss {self.label_loss} needs --condition label or text")
        return self


class ConditionedGameSettings(SeenConditionSettings, GanSettings):
    """Of a model that translates pictures, by a condition."""


class Encoded(NamedTuple):
    """A batch's conditions as the generator gets them."""

    code: Tensor | None  # [B, D]; None: the model has no condition
    kl: Tensor | None = None  # scalar: how far the text's distribution is from the standard normal


class Conditioned(Model):
    """Base class of conditioned methods: encoders for generator and discriminator, and hidden conditions.

    Without conditions it changes nothing: there is no encoder, and every code is None.
    """

    generator: nn.Module
    encoder: nn.Module
    augmentation: nn.Module  # of a text's code, where there is one
    judge_encoder: nn.Module  # the discriminator's own; checkpoints have it by this name

    def __init__(self, shape: DataShape, *, drop: float = 0.0) -> None:
        """`drop`: share of the examples whose condition is hidden; see `ConditionSettings.drop_condition`."""
        super().__init__()
        self.conditions = shape.conditions
        self.drop = drop
        self.inputs = ("image", *shape.conditions.inputs)

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        assert isinstance(settings, ConditionSettings)
        return settings.data_needs

    def add_encoder(self, width: int, *, augmentation: bool = False) -> None:
        """Build the generator's encoder: conditions -> code `[B, width]`.

        Args:
            augmentation: a text's code is drawn near the encoded one (StackGAN).
        """
        self._width = width
        self.encoder = Encoder(self.conditions, width)
        self.deployed = ("generator", "encoder")
        if augmentation and self.conditions.text:
            self.augmentation = ConditioningAugmentation(width)
            self.deployed = (*self.deployed, "augmentation")
        self.players = self.players | {"generator": self.deployed}

    def add_discriminator_encoder(self, width: int) -> None:
        """Build the discriminator's encoder: conditions -> code `[B, width]`."""
        self.judge_encoder = Encoder(self.conditions, width)
        self.players = self.players | {"discriminator": ("discriminator", "judge_encoder")}

    def forward(self, image: Tensor, **condition: Tensor) -> Tensor:
        made: Tensor = run_generator(self.generator, image, self.code(**condition))
        return made

    def code(self, **condition: Tensor) -> Tensor | None:
        """The generator's code of a condition, `[B, D]`; None without one."""
        if not hasattr(self, "encoder"):
            return None
        code: Tensor = self.encoder(condition)
        return self.augmentation(code).mu if hasattr(self, "augmentation") else code

    def draws(self) -> dict[str, Draw]:
        own = {}
        if self.conditions and self.drop:
            own["kept"] = Draw("uniform")
        if hasattr(self, "augmentation"):
            own["text_noise"] = Draw("normal", (self._width,))
        return super().draws() | own

    def encode(self, batch: Batch) -> Encoded:
        """The generator's code of a batch, with some conditions hidden (`--drop-condition`)."""
        if not hasattr(self, "encoder"):
            return Encoded(None)
        code: Tensor = self.encoder(self.hide_some(conditions_of(self.conditions, batch), batch))
        if not hasattr(self, "augmentation"):
            return Encoded(code)
        code, mu, logvar = self.augmentation(code, batch.draws["text_noise"].to(code))
        return Encoded(code, kl_normal(mu, logvar))

    def discriminator_code(self, batch: Batch, *, prefix: str = "") -> Tensor | None:
        """The discriminator's code of a condition, `[B, D]`; None without one.

        The same examples have theirs hidden as for the generator: else fakes could be recognised by that.
        """
        if not hasattr(self, "judge_encoder"):
            return None
        code: Tensor = self.judge_encoder(self.hide_some(conditions_of(self.conditions, batch, prefix=prefix), batch))
        return code

    def mismatched(self, real: Shown, batch: Batch) -> Shown | None:
        """With texts: the real pictures, each with the text of another (GAN-CLS); else None."""
        if not (self.conditions.text and hasattr(self, "judge_encoder")):
            return None
        return real._replace(code=self.judge_encoder(conditions_of(self.conditions, batch, prefix="wrong_")))

    def class_costs(self, player: str, batch: Batch, terms: Terms) -> Losses:
        """The auxiliary classifier's terms (AC-GAN), unweighted; empty if the discriminator has no classifier.

        Fakes whose label was hidden do not count, and neither do past ones of a pool, which had other labels.
        """
        label, several = batch.condition.get("label"), self.conditions.several
        if label is None or not self.conditions.labels or terms.fake[0].classes is None:
            return {}
        kept = self.kept(batch)
        if terms.past is not None:
            kept = ~terms.past if kept is None else kept & ~terms.past
        on_fake = class_cost_over(terms.fake, label, several=several, kept=kept)
        if player == "generator":
            return {"g_class": on_fake}
        on_real = class_cost_over(terms.real, label, several=several)
        return {"d_class": 0.5 * torch.stack([on_real, on_fake]).sum()}

    def between(self, batch: Batch, share: float) -> Encoded:
        """The generator's code between each example's condition and its wrong one (GAN-INT, Reed 2016).

        Args:
            share: of the example's own.
        """
        code = self._between(self.encoder, batch, share)
        if not hasattr(self, "augmentation"):
            return Encoded(code)
        return Encoded(self.augmentation(code, batch.draws["text_noise"].to(code)).code)

    def discriminator_between(self, batch: Batch, share: float) -> Tensor:
        """The discriminator's code of the same, `[B, D]`."""
        return self._between(self.judge_encoder, batch, share)

    def _between(self, encoder: nn.Module, batch: Batch, share: float) -> Tensor:
        own, wrong = (encoder(conditions_of(self.conditions, batch, prefix=prefix)) for prefix in ("", "wrong_"))
        between: Tensor = share * own + (1 - share) * wrong
        return between

    def kept(self, batch: Batch) -> Tensor | None:
        """`[B]` bool: which examples keep their condition; None for all."""
        return batch.draws["kept"] >= self.drop if self.drop else None

    def hide_some(self, condition: Condition, batch: Batch) -> dict[str, Tensor]:
        """`condition` of the examples that keep theirs, and nothing for the others."""
        kept = self.kept(batch)
        if kept is None:
            return dict(condition)
        nothing = without_condition(self.conditions, condition)
        return {name: torch.where(kept[:, None], value, nothing[name]) for name, value in condition.items()}


class Encoder(nn.Module):
    """A condition `{"label": [B, K], "tokens": [B, T]}`, as far as the model has them, -> its code `[B, width]`."""

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        text = conditions.text
        if conditions.labels:
            self.label = LabelEncoder(len(conditions.labels), width)
        if text is not None and text.encoder is None:
            self.tokens: nn.Module = TextEncoder(text.vocabulary, length=text.length, pad=text.pad, width=width)
        elif text is not None:
            self.tokens = PretrainedTextEncoder(text.encoder or {}, pad=text.pad, width=width)

    def forward(self, condition: Condition) -> Tensor:
        parts = [encoder(condition[name]) for name, encoder in self.named_children()]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)  # [B, width]


def class_cost_over(
    scores: Sequence[Scores], label: Tensor, *, several: bool = False, kept: Tensor | None = None
) -> Tensor:
    """`class_cost` of a discriminator's classifiers, the mean over its branches."""
    return torch.stack([class_cost(one.predicted, label, several=several, kept=kept) for one in scores]).mean()


def without_condition(conditions: Conditions, condition: Condition) -> dict[str, Tensor]:
    """The same batch without a condition: no label, empty texts."""
    nothing = dict(condition)
    if conditions.labels:
        nothing["label"] = torch.zeros_like(condition["label"])
    if conditions.text:
        nothing["tokens"] = torch.full_like(condition["tokens"], conditions.text.pad)
    return nothing


def conditions_of(conditions: Conditions, batch: Batch, *, prefix: str = "") -> dict[str, Tensor]:
    """The conditions of a batch: its `label` and `tokens`, or those with `own_` or `wrong_` before the name."""
    return {name: batch.condition[f"{prefix}{name}"] for name in conditions.inputs if name != "z"}
