"""The size that pictures are brought to, and whether the two sides of a pair can both be. Imports no torch."""

from __future__ import annotations

from typing import Literal

from translate.sizes import Size

Fit = Literal["stretch", "cover", "none"]


def load_shape(height: int, width: int, *, fit: Fit, size: Size) -> Size:
    """At which size a picture of `height` x `width` is cropped, `size` being what it is resized to or has to cover."""
    if fit == "stretch":
        return size
    if fit == "none":
        return Size(height, width)
    scale = max(size.height / height, size.width / width)
    return Size(max(size.height, round(height * scale)), max(size.width, round(width * scale)))


def mismatch(source: Size, target: Size, *, fit: Fit, size: Size, scale: int = 1) -> str | None:
    """Why a source and a target of these sizes do not become pictures of one size, or None where they do.

    `scale`: times that the target has to be as large as its source, exactly where it is more than 1.
    """
    if scale > 1:
        if all(scale * own == other for own, other in zip(source, target, strict=True)):
            return None
        return (
            f"the source is {source.width}x{source.height} pixels and the target {target.width}x{target.height}; "
            f"--scale {scale} needs a target of {scale * source.width}x{scale * source.height}"
        )
    height, width = load_shape(*target, fit=fit, size=size)
    own = load_shape(*source, fit=fit, size=size)
    # One side may have been rounded when the files were made: 500x333 belongs to 1000x667.
    allowed = 0.0 if fit == "none" else 1 + 0.02 * max(height, width)
    if max(abs(own[0] - height), abs(own[1] - width)) <= allowed:
        return None
    must = "the same size" if fit == "none" else "the same proportions"
    return (
        f"the source is {source.width}x{source.height} pixels and the target {target.width}x{target.height}; "
        f"--fit {fit} needs {must}, --fit stretch does not"
    )
