"""The size that pictures are brought to, and whether the two sides of a pair can both be. Imports no torch."""

from __future__ import annotations

from typing import Literal

Fit = Literal["stretch", "cover", "none"]
Size = tuple[int, int]
"""Height and width, in pixels."""


def load_shape(height: int, width: int, *, fit: Fit, side: int) -> Size:
    """Height and width at which a picture of `height` x `width` is cropped."""
    if fit == "stretch":
        return side, side
    if fit == "none":
        return height, width
    scale = side / min(height, width)
    return max(side, round(height * scale)), max(side, round(width * scale))


def mismatch(source: Size, target: Size, *, fit: Fit, side: int) -> str | None:
    """Why a source and a target of these sizes do not become pictures of one size, or None where they do."""
    height, width = load_shape(*target, fit=fit, side=side)
    own = load_shape(*source, fit=fit, side=side)
    # One side may have been rounded when the files were made: 500x333 belongs to 1000x667.
    allowed = 0.0 if fit == "none" else 1 + 0.02 * max(height, width)
    if max(abs(own[0] - height), abs(own[1] - width)) <= allowed:
        return None
    must = "the same size" if fit == "none" else "the same proportions"
    return (
        f"the source is {source[1]}x{source[0]} pixels and the target {target[1]}x{target[0]}; "
        f"--fit {fit} needs {must}, --fit stretch does not"
    )
