"""A model with every condition there is, small enough to be worked out by hand, and what makes files of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from translate.card import Card
from translate.conditions import Conditions, TextInput
from translate.images import ImageSpec
from translate.models import Model, build
from translate.models.base import DataShape
from translate.settings import ModelSettings
from translate.training.folder import save_model

WORDS = {"[PAD]": 0, "[UNK]": 1, "a": 2, "red": 3, "door": 4, "green": 5}
SHIFTED = "tests.conditioned:Shifted"  # which whoever loads the file has to allow
LABELS = ("brick", "wood", "stone")


def words() -> TextInput:
    """Four words, a number each."""
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return TextInput(tokenizer=tokenizer.to_str(), length=4, vocabulary=len(WORDS))


ALL = Conditions(labels=LABELS, text=words(), z=2)


class Shifted(Model):
    """A convolution, and on every channel of it a number that labels, words and code add up to; then tanh."""

    deployed = ("generator", "shifts")

    def __init__(self, settings: ModelSettings, shape: DataShape) -> None:
        super().__init__()
        target_channels, conditions = shape.target_channels, shape.conditions
        self.inputs = ("image", *conditions.inputs)
        self.generator = nn.Sequential(
            nn.Conv2d(shape.source_channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, target_channels, 1)
        )
        self.shifts = nn.ModuleDict()
        if conditions.labels:
            self.shifts["label"] = nn.Linear(len(conditions.labels), target_channels, bias=False)
        if conditions.text:
            self.shifts["tokens"] = nn.Embedding(conditions.text.vocabulary, target_channels)
        if conditions.z:
            self.shifts["z"] = nn.Linear(conditions.z, target_channels, bias=False)

    def forward(self, image: Tensor, **condition: Tensor) -> Tensor:
        """`[B, Cs, H, W]` -> `[B, Ct, H, W]`."""
        made: Tensor = self.generator(image)
        assert tuple(condition) == self.inputs[1:]
        for name, values in condition.items():
            shift = self.shifts[name](values)
            shift = shift.mean(1) if name == "tokens" else shift
            made = made + shift[:, :, None, None]
        return torch.tanh(made)


def save_conditioned(path: Path, conditions: Conditions = ALL, **changes: Any) -> Path:
    """A model file, with weights that let labels, words and codes show."""
    spec = ImageSpec(channels=3)
    kind = Card(
        **{
            "model": SHIFTED,
            "source": spec,
            "target": spec,
            "size": 16,
            "conditions": conditions,
            **changes,
        }
    )
    torch.manual_seed(0)
    model = build(
        Shifted, ModelSettings(), source=kind.source, target=kind.target, size=kind.size, conditions=conditions
    )
    with torch.no_grad():
        for weight in model.shifts.parameters():
            weight.normal_(0, 0.2)
    save_model(path, model, kind.model_copy(update={"inputs": model.inputs}))
    return path


def by_hand(path: Path, picture: np.ndarray, **condition: np.ndarray) -> np.ndarray:
    """What the file of a `Shifted` has to make of a picture `[H, W, 3]` uint8: `[H, W, 3]`, not rounded yet."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    first, second = tensors["generator.0.weight"], tensors["generator.2.weight"][:, :, 0, 0]
    height, width = picture.shape[:2]
    padded = np.pad(picture.astype(np.float64) / 127.5 - 1, ((1, 1), (1, 1), (0, 0)))
    hidden = np.zeros((height, width, len(first))) + tensors["generator.0.bias"]
    for row in range(3):
        for column in range(3):
            hidden += padded[row : row + height, column : column + width] @ first[:, :, row, column].T
    made = hidden.clip(0) @ second.T + tensors["generator.2.bias"]
    if "label" in condition:
        made += tensors["shifts.label.weight"] @ condition["label"]
    if "tokens" in condition:
        made += tensors["shifts.tokens.weight"][condition["tokens"]].mean(0)
    if "z" in condition:
        made += tensors["shifts.z.weight"] @ condition["z"]
    shares: np.ndarray = (np.tanh(made) + 1) * 127.5
    return shares
