"""Labels and words as vectors, for the models that they steer: settings, encoders, and what may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from translate.batch import Batch
from translate.conditions import Asks, Conditions
from translate.models.base import Model
from translate.models.parts import GanSettings
from translate.networks.encoders import LabelEncoder, TextEncoder
from translate.networks.pretrained import PretrainedTextEncoder
from translate.settings import ModelSettings
from translate.sizes import Size

NOTHING = Conditions()

Condition = Mapping[str, Tensor]
"""What steers a batch, by the names of the model's inputs: see `translate.conditions`."""


class ConditionSettings(ModelSettings):
    """What a label or a text adds, whatever the networks."""

    condition: Literal["none", "label", "text"] = Field(
        "none", description="what steers the translation beside the picture: none, label or text"
    )
    code_width: int = Field(128, ge=1, le=65_536, description="numbers of the vector that a condition becomes")
    drop_condition: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the examples whose condition is hidden, so that one may be left out later",
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
    def asks(self) -> Asks:
        """What of the data beside pictures is trained on."""
        return Asks(
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


class SteeredSettings(ConditionSettings, GanSettings):
    """The usual networks and game, and what a label or a text adds."""


class Steered(Model):
    """A method whose generator takes a code beside its picture: `encoder` makes it of the condition."""

    generator: nn.Module
    encoder: nn.Module

    def __init__(
        self,
        settings: ModelSettings,
        *,
        source_channels: int,
        target_channels: int,
        size: Size,
        conditions: Conditions = NOTHING,
    ) -> None:
        """`conditions`: what it is steered by; its names become further inputs."""
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        self.conditions = conditions
        self.inputs = ("image", *conditions.inputs)

    @classmethod
    def asks(cls, settings: ModelSettings) -> Asks:
        assert isinstance(settings, ConditionSettings)
        return settings.asks

    def forward(self, image: Tensor, **condition: Tensor) -> Tensor:
        made: Tensor = self.generator(image, self.code(**condition))
        return made

    def code(self, **condition: Tensor) -> Tensor | None:
        """What the generator gets of a condition, `[B, D]`."""
        code: Tensor = self.encoder(condition)
        return code


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


def hidden(conditions: Conditions, condition: Condition) -> dict[str, Tensor]:
    """The same batch with nothing said: no label, empty texts."""
    nothing = dict(condition)
    if conditions.labels:
        nothing["label"] = torch.zeros_like(condition["label"])
    if conditions.text:
        nothing["tokens"] = torch.full_like(condition["tokens"], conditions.text.pad)
    return nothing


def said(conditions: Conditions, batch: Batch, *, prefix: str = "") -> dict[str, Tensor]:
    """What steers a batch: its `label` and `tokens`, or those with `own_` or `wrong_` before the name."""
    return {name: batch.condition[f"{prefix}{name}"] for name in conditions.inputs if name != "z"}


def some_hidden(conditions: Conditions, condition: Condition, kept: Tensor) -> dict[str, Tensor]:
    """`condition` where `kept` `[B]` is true, and nothing elsewhere."""
    nothing = hidden(conditions, condition)
    return {name: torch.where(kept[:, None], value, nothing[name]) for name, value in condition.items()}


def draw_kept(batch: Batch, share: float) -> Tensor:
    """`[B]` bool: which examples keep their condition; each is hidden with probability `share`."""
    return (batch.draw(torch.rand) >= share).to(batch.target.device)
