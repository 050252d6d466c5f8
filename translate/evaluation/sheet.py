"""Figures of a run to look at: sample sheets and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from translate.files import atomic
from translate.images.sheet import displayable, sheet, shrunk

__all__ = ["displayable", "plot_curves", "save_figure", "save_image", "sheet", "shrunk"]


def save_image(path: Path, image: Image.Image) -> None:
    """Write a PNG atomically."""
    with atomic(path) as temporary:
        image.save(temporary, format="PNG")


def save_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def plot_curves(axes: Sequence[Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Draw a run's losses on `axes[0]`, and the PSNR of raw and averaged weights on unseen pairs on `axes[1]`."""
    train = [r for r in records if "losses" in r]
    for name in train[0]["losses"] if train else ():
        axes[0].plot([r["step"] for r in train], [r["losses"][name] for r in train], label=name, linewidth=1)
    axes[0].set(title="training losses", xlabel="step", yscale="symlog")
    axes[0].legend(fontsize="small")
    validated = [r for r in records if "validation" in r]
    for name in validated[0]["validation"] if validated else ():
        points = [(r["step"], r["validation"][name]["psnr"]) for r in validated if "psnr" in r["validation"][name]]
        if points:  # there is no PSNR without pairs
            axes[1].plot(*zip(*points, strict=True), label=name, linewidth=1, marker=".")
    axes[1].set(title="PSNR on unseen pictures, dB", xlabel="step")
    axes[1].legend(fontsize="small")
