"""Figures that have a better direction: the choices of `--best`; and the words for figures and baselines.

A measure of `translate.evaluation.measures` lists its figures here; those without a direction are in its class alone.
Imports no torch.
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
SETS: dict[str, Direction] = {
    "kid": "less",
    "precision": "more",
    "recall": "more",
    "density": "more",
    "coverage": "more",
}
LARGE_SETS: dict[str, Direction] = {"fid": "less"}
MULTI_SCALE: dict[str, Direction] = {"ms_ssim": "more"}
LABEL_MAPS: dict[str, Direction] = {"pixel_accuracy": "more", "class_accuracy": "more", "miou": "more"}

JUDGED: dict[str, Direction] = {f"fcn_{name}": direction for name, direction in LABEL_MAPS.items()}
CLASSIFIED: dict[str, Direction] = {"target_share": "more", "class_share": "more", "obeyed": "more"}
LPIPS: dict[str, Direction] = {"lpips": "less"}
FEW_LABELS: dict[str, Direction] = {"error": "less"}

OF_FEATURES: Table[Direction] = Table("figure on features", {**PERCEPTUAL, **SETS})
"""Measured on the features of a pretrained network, whose name follows: `kid_lite0`."""

BETTER: Table[Direction] = Table("figure", {**PAIRED, **CONDITION_SENSITIVITY, **HEALTH, **LABEL_MAPS, **OF_FEATURES})

DIRECTIONS: Table[Direction] = Table(
    "figure", {**BETTER, **MULTI_SCALE, **LARGE_SETS, **JUDGED, **CLASSIFIED, **LPIPS, **FEW_LABELS}
)
"""Those of `BETTER`, and those that many trainings cannot measure: pictures too small or few, or more is needed."""

NETWORK_FOLLOWS = (*OF_FEATURES, *LARGE_SETS, *CLASSIFIED, *LPIPS)
"""Figures that have the name of a network behind them."""

ROUGH = tuple(name for name in SETS if name != "kid")
"""Figures that the few pictures of a validation give only roughly: in the journal, and not in what a run prints."""

WORDS: dict[str, str] = {
    "l1": "L1",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "perceptual": "perceptual distance",
    "lpips": "LPIPS",
    "error": "classification error",
    "kid": "KID",
    "fid": "FID",
    "miou": "mean IoU",
    "fcn_pixel_accuracy": "FCN pixel accuracy",
    "fcn_class_accuracy": "FCN class accuracy",
    "fcn_miou": "FCN mean IoU",
    "target_share": "taken for targets",
    "class_share": "of the named ImageNet classes",
    "obeyed": "taken for the label asked for",
}
"""Figures as they are printed; others by their names."""

BASELINES: dict[str, str] = {
    "source": "the source itself",
    "bicubic": "the source enlarged (bicubic)",
    "colour_map": "the best recolouring",
    "mean_target": "the mean target",
    "nearest": "the nearest training target",
    "real": "training targets",
}
"""Baselines (`translate.training.baselines`) as they are printed."""

LAST = "last"
"""The choice of `--best` without a figure: always the newest weights."""

AUTO = "auto"
"""The choice of `--best` that is decided when a run starts, by what its pictures allow for."""


def best_choices() -> tuple[str, ...]:
    """The values of `--best`; those on features may have the name of a network behind them."""
    return (AUTO, *BETTER, LAST)


def plain(figure: str) -> str:
    """A figure without the name of the network that it was measured on: `kid` of `kid_lite0`."""
    return next((name for name in NETWORK_FOLLOWS if figure.startswith(f"{name}_")), figure)


def in_words(figure: str) -> str:
    """A figure as it is printed, with the network that it was measured on: "KID (lite0)"."""
    name = plain(figure)
    network = f" ({figure.removeprefix(f'{name}_')})" if name != figure else ""
    return WORDS.get(name, name.replace("_", " ")) + network


def direction(figure: str) -> Direction | None:
    """Whether less or more of a figure is better; None if neither is, or it is not known."""
    return DIRECTIONS.get(plain(figure))


def among(figures: Iterable[str], figure: str) -> str | None:
    """The name that a figure has among `figures`, with or without that of a network; None if it is not there."""
    return next((name for name in figures if figure in (name, plain(name))), None)


def is_better(name: str, value: float, than: float) -> bool:
    """Whether `value` of the figure `name` is better than another."""
    direction = BETTER.get(plain(name)) or DIRECTIONS[plain(name)]
    return value < than if direction == "less" else value > than
