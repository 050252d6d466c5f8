"""Figures that have a better direction: the choices of `--best`. Imports no torch.

A measure of `translate.evaluation.measures` lists its figures here; those without a direction are in its class alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from translate.tables import Table

Direction = Literal["less", "more"]

PAIRED: dict[str, Direction] = {"l1": "less", "psnr": "more", "ssim": "more"}
CONDITION_SENSITIVITY: dict[str, Direction] = {"right": "less", "diversity": "more"}
HEALTH: dict[str, Direction] = {"drift": "less"}
PERCEPTUAL: dict[str, Direction] = {"perceptual": "less"}
SETS: dict[str, Direction] = {"kid": "less"}

OF_FEATURES: Table[Direction] = Table("figure on features", {**PERCEPTUAL, **SETS})
"""Measured on the features of a pretrained network, whose name follows: `kid_lite0`."""

BETTER: Table[Direction] = Table("figure", {**PAIRED, **CONDITION_SENSITIVITY, **HEALTH, **OF_FEATURES})

LAST = "last"
"""The choice of `--best` without a figure: always the newest weights."""

AUTO = "auto"
"""The choice of `--best` that is decided when a run starts, by what its pictures allow for."""


def best_choices() -> tuple[str, ...]:
    """The values of `--best`; those on features may have the name of a network behind them."""
    return (AUTO, *BETTER, LAST)


def plain(figure: str) -> str:
    """A figure without the name of the network that it was measured on: `kid` of `kid_lite0`."""
    name, _, network = figure.partition("_")
    return name if network and name in OF_FEATURES else figure


def among(figures: Iterable[str], figure: str) -> str | None:
    """The name that a figure has among `figures`, with or without that of a network; None if it is not there."""
    return next((name for name in figures if figure in (name, plain(name))), None)


def is_better(name: str, value: float, than: float) -> bool:
    """Whether `value` of the figure `name` is better than another."""
    return value < than if BETTER[plain(name)] == "less" else value > than
