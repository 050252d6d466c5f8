"""The colours of the synthetic set: names, label classes, skies, and how a picture's colours are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from translate.tables import closest

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "white": (242, 241, 238),
    "cream": (230, 206, 150),
    "yellow": (240, 194, 60),
    "orange": (216, 108, 44),
    "red": (172, 52, 44),
    "pink": (228, 134, 152),
    "purple": (122, 68, 150),
    "blue": (58, 98, 168),
    "turquoise": (74, 164, 164),
    "green": (66, 118, 72),
    "brown": (112, 76, 52),
    "grey": (136, 140, 146),
    "black": (48, 50, 56),
}
"""Colours that captions name. Any two are at least 60 apart in RGB, so that shading does not confuse them."""

MATERIALS: tuple[str, ...] = ("brick", "plaster", "wood", "stone")
"""What walls are made of: the class label of a front."""

LABELS: dict[str, RGB] = {
    "sky": (0, 200, 255),
    "wall": (170, 170, 170),
    "brick": (255, 90, 90),
    "plaster": (255, 230, 0),
    "wood": (150, 80, 0),
    "stone": (90, 90, 150),
    "roof": (120, 0, 60),
    "chimney": (255, 0, 200),
    "window": (0, 40, 255),
    "shutter": (0, 160, 130),
    "door": (255, 140, 0),
    "balcony": (150, 60, 255),
    "trim": (255, 255, 255),
    "ground": (60, 60, 60),
    "grass": (160, 255, 60),
    "plant": (0, 110, 0),
}
"""Classes of the label maps. Walls are `wall` in free colours and a class for each material in fixed ones."""

COLOURED_PARTS: tuple[str, ...] = ("wall", "roof", "door", "shutter", "balcony")
"""Parts whose colour the caption names, where the front has them."""


@dataclass(frozen=True)
class Sky:
    """The weather: two colours of the sky, the tint it gives to everything else, and the colour of panes."""

    top: RGB
    horizon: RGB
    tint: tuple[float, float, float]
    glass: RGB


SKIES: dict[str, Sky] = {
    "clear": Sky((104, 164, 222), (206, 228, 240), (1.0, 1.0, 1.0), (84, 112, 140)),
    "overcast": Sky((158, 166, 176), (206, 210, 212), (0.95, 0.97, 0.99), (96, 106, 116)),
    "evening": Sky((104, 92, 152), (250, 182, 128), (1.02, 0.98, 0.95), (250, 204, 116)),
}


def region(labels: np.ndarray, part: str) -> np.ndarray:
    """Where a part is: `[H, W, 3]` uint8 label map -> `[H, W]` bool. `wall` is the walls of any material.

    Raises:
        ValueError: there is no such class.
    """
    if part not in LABELS:
        raise ValueError(f"no part {part!r} in a house front{closest(part, LABELS)}; there are {', '.join(LABELS)}")
    classes = ("wall", *MATERIALS) if part == "wall" else (part,)
    masks = [(labels == np.array(LABELS[name], np.uint8)).all(-1) for name in classes]
    return np.logical_or.reduce(masks)


def nearest_colour(rgb: np.ndarray | RGB) -> str:
    """Name of the palette entry nearest to one colour (0 to 255 each), by distance in RGB."""
    names = list(PALETTE)
    table = np.array([PALETTE[name] for name in names], np.float64)
    return names[int(np.square(table - np.asarray(rgb, np.float64)).sum(-1).argmin())]


def measured_colour(photo: np.ndarray, labels: np.ndarray, part: str) -> str | None:
    """The colour of a part in a picture, drawn or made: the palette entry nearest to its region's median.

    Args:
        photo: `[H, W, 3]` uint8.
        labels: `[H, W, 3]` uint8 label map of the same front.
        part: a class of `LABELS`.

    Returns:
        A name of `PALETTE`, or None where the label map has no such part.

    Raises:
        ValueError: there is no such class.
    """
    mask = region(labels, part)
    return nearest_colour(np.median(photo[mask], axis=0)) if mask.any() else None
