"""What the parts of `python -m benchmarks.game` share: how much to do, what they hand back, and how plots are drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from translate.files import write_bytes

COLOURS = 96  # of a plot's palette
DPI = 80

Row = dict[str, Any]
"""A row of a part's table: by its title a text or a number."""


@dataclass(frozen=True)
class Work:
    """How much a part does, and where its plot goes."""

    out: Path
    seeds: tuple[int, ...] = (0,)
    share: float = 1.0  # of the training steps that the page is made with
    pictures: Path | None = None  # folder of OpenMoji, for the part that makes pictures

    def steps(self, count: int) -> int:
        """So many training steps at full length: at least 2."""
        return max(2, round(count * self.share))


def panels(count: int, *, width: float = 4.4, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """A figure of `count` axes side by side."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for one in axes:
        one.grid(alpha=0.25)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG, with a palette."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    save_small(Image.open(drawn).convert("RGB"), path)


def save_small(picture: Image.Image, path: Path) -> None:
    """Write a picture as a PNG of few colours."""
    data = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(data, format="png", optimize=True)
    write_bytes(path, data.getvalue())


def normal_density(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Of one Gaussian at each of `x`."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


def rounded(value: float, digits: int = 3) -> float:
    """With so many digits that count; for results that are compared with a text."""
    return float(f"{value:.{digits}g}")


def cells(rows: Sequence[Row]) -> tuple[list[list[str]], list[str]]:
    """Texts of a table, and its titles."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    return [[str(row.get(title, "")) for title in titles] for row in rows], titles
