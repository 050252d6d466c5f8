"""The smallest models with conditions: one of pairs, one of several domains. For tests of the plumbing around them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Conditions, DataNeeds
from translate.models.base import DataShape, Model
from translate.settings import ModelSettings


class Painter(nn.Module):
    """Adds a colour that follows from the condition."""

    def __init__(self, conditions: Conditions, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.label = nn.Linear(max(len(conditions.labels), 1), channels)
        self.words = nn.Embedding(conditions.text.vocabulary if conditions.text else 1, channels, padding_idx=0)
        self.code = nn.Linear(max(conditions.z, 1), channels)

    def forward(
        self, image: Tensor, label: Tensor | None = None, tokens: Tensor | None = None, z: Tensor | None = None
    ) -> Tensor:
        colour = torch.zeros(len(image), image.shape[1], device=image.device)
        colour = colour if label is None else colour + self.label(label)
        colour = colour if tokens is None else colour + self.words(tokens).mean(1)
        colour = colour if z is None else colour + self.code(z)
        return (self.mix(image) + colour[:, :, None, None]).tanh()


class Conditioned(Model):
    """Pairs, with a label, a text and a code."""

    settings_class: ClassVar[type[ModelSettings]] = ModelSettings

    def __init__(self, settings: Any, shape: DataShape) -> None:
        super().__init__()
        self.players = {"generator": ("generator",)}
        self.inputs = ("image", *shape.conditions.inputs)
        self.generator = Painter(shape.conditions, shape.target_channels)

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        return DataNeeds(label=True, text=True, z=3, vocabulary=300, length=16)

    def forward(self, image: Tensor, **condition: Tensor) -> Tensor:
        return self.generator(image, **condition)

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        wanted = {name: batch.condition[name] for name in self.inputs[1:]}
        return {"fake": self(batch.source, **wanted)}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        return {"g_l1": (images["fake"] - batch.target).abs().mean()}, {}


class Domains(Conditioned):
    """A multi-domain set of labelled pictures."""

    data = "domains"

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        return DataNeeds(label=True, required=True)
