"""Sheets of pictures to look at, and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from translate.files import atomic
from translate.images.sheet import displayable, sheet, shrunk

__all__ = ["displayable", "save_figure", "save_image", "sheet", "shrunk"]


def save_image(path: Path, image: Image.Image) -> None:
    """Write a PNG atomically."""
    with atomic(path) as temporary:
        image.save(temporary, format="PNG")


def save_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
