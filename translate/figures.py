"""Figures of a validation that have a better direction: the choices of `--best`. Imports no torch.

A measure of `translate.evaluation.measures` lists its figures here; those without a direction are in its class alone.
"""

from __future__ import annotations

from typing import Literal

from translate.tables import Table

Direction = Literal["less", "more"]

PAIRED: dict[str, Direction] = {"l1": "less", "psnr": "more", "ssim": "more"}
CONDITION_SENSITIVITY: dict[str, Direction] = {"right": "less", "diversity": "more"}
HEALTH: dict[str, Direction] = {"drift": "less"}

BETTER: Table[Direction] = Table("figure", {**PAIRED, **CONDITION_SENSITIVITY, **HEALTH})

LAST = "last"
"""The choice of `--best` without a figure: always the newest weights."""


def best_choices() -> tuple[str, ...]:
    """The values of `--best`."""
    return (*BETTER, LAST)


def is_better(name: str, value: float, than: float) -> bool:
    """Whether `value` of the figure `name` is better than another."""
    return value < than if BETTER[name] == "less" else value > than
