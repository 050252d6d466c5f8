"""Small models whose pixels spread over the whole range, so that a difference would show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.parts import made_once
from translate.card import Card
from translate.images import ImageSpec
from translate.inference.translator import load
from translate.models import build, deployed_state, model_class
from translate.networks.blocks import ReferredNorm2d

FULL = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def make_spec(channels: int = 3, dtype: str = "uint8", **changes: Any) -> ImageSpec:
    return ImageSpec(**{"channels": channels, "dtype": dtype, "high": FULL[dtype], **changes})


def make_card(source: ImageSpec | None = None, target: ImageSpec | None = None, **changes: Any) -> Card:
    values = {"model": "pix2pix", "source": source or make_spec(), "target": target or make_spec(), "size": 32}
    return Card(**{**values, **changes})


def spread_out(network: nn.Module) -> nn.Module:
    """Weights that keep the size of what passes through, and running statistics unlike the initial ones."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, (1.5 / weight[0].numel()) ** 0.5, generator=generator)
            else:
                weight.normal_(0 if name.endswith("bias") else 1, 0.2, generator=generator)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3, generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
            if isinstance(layer, ReferredNorm2d):
                layer.mean.normal_(0, 0.3, generator=generator)
                layer.variance.uniform_(0.5, 2, generator=generator)
    return network.eval().requires_grad_(False)


def save_model(path: Path, card: Card) -> Path:
    cls = model_class(card.model, allow=card.model)
    settings = cls.settings_class.make(card.settings)
    model = build(cls, settings, source=card.source, target=card.target, size=card.size, conditions=card.conditions)
    spread_out(model)
    save_file(deployed_state(model), path, metadata=card.to_metadata())
    return path


@pytest.fixture(scope="session")
def spec() -> Callable[..., ImageSpec]:
    """Makes a spec: `spec(channels, dtype, ...)`."""
    return make_spec


@pytest.fixture(scope="session")
def card() -> Callable[..., Card]:
    """Makes a card: `card(source=ImageSpec, target=ImageSpec, ...)`."""
    return make_card


@pytest.fixture(scope="session")
def spread() -> Callable[[nn.Module], nn.Module]:
    """Gives a network weights that let its outputs vary."""
    return spread_out


@pytest.fixture(scope="session")
def saved() -> Callable[[Path, Card], Path]:
    """Writes an untrained model file, as training writes it."""
    return save_model


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pix2pix from gray to colour as `.safetensors`, and what was exported of it."""

    def make(folder: Path) -> None:
        small = {"width": 4, "depth": 2, "discriminator_width": 4, "patch": 16}
        file = save_model(folder / "model.safetensors", make_card(make_spec(1), make_spec(3), settings=small, step=7))
        load(file, device="cpu").export(folder / "model.onnx")

    folder = made_once(tmp_path_factory, "pair", make)
    return folder / "model.safetensors", folder / "model.onnx"
