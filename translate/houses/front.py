"""From the parameters of a house to its label map and its rendered front."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from translate.houses.building import building, door_box, wall_box
from translate.houses.canvas import SKY, SKY_TONES, Canvas
from translate.houses.house import House, caption
from translate.houses.palette import MATERIALS, PALETTE, RGB, SKIES

PLAIN_COLOURS: dict[str, RGB] = {
    "chimney": (150, 84, 66),
    "frame": (244, 243, 238),
    "knob": (226, 196, 120),
    "trim": (226, 221, 208),
    "ground": (168, 162, 154),
    "step": (196, 190, 180),
    "grass": (122, 160, 78),
    "leaves": (74, 118, 58),
    "trunk": (104, 80, 60),
}
"""Paints that look alike on every front; glass and sky follow the weather, the rest the house."""


@dataclass(frozen=True)
class Example:
    """One front: the pair, its material and its caption."""

    labels: np.ndarray  # [H, W, 3] uint8, colours of LABELS only
    photo: np.ndarray  # [H, W, 3] uint8
    material: str  # one of MATERIALS
    caption: str


def draw(house: House, size: int | tuple[int, int] = 256) -> Example:
    """The front at any size: the same house at 16 and at 1024 pixels, in milliseconds up to about 500.

    Args:
        house: what to draw.
        size: side in pixels, or (height, width).

    Raises:
        ValueError: a side is below one pixel.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"a front needs at least one pixel a side, got {height}x{width}")
    canvas = Canvas(height, width, seed=house.texture)
    _sky(canvas)
    _garden(canvas, house)
    building(canvas, house)
    _plants(canvas, house)
    return Example(canvas.labels(), _photo(canvas, house), house.material, caption(house))


def _photo(canvas: Canvas, house: House) -> np.ndarray:
    sky = SKIES[house.sky]
    named = {"roof": house.roof, "door": house.door, "shutter": house.shutter, "balcony": house.balcony}
    colours = {
        **PLAIN_COLOURS,
        **dict.fromkeys(("wall", *MATERIALS), PALETTE[house.wall]),
        **{paint: PALETTE[name or "white"] for paint, name in named.items()},  # absent: white, but nowhere
        "glass": sky.glass,
    }
    tones = np.linspace(sky.top, sky.horizon, SKY_TONES)
    return canvas.photo(colours, tones, sky.tint)


def _sky(canvas: Canvas) -> None:
    """Tones run from the zenith's colour to the horizon's; clouds are tones nearer to the horizon's."""
    horizon = max(canvas.y(0.9), 1)
    tones = np.minimum(np.arange(canvas.height) * SKY_TONES // horizon, SKY_TONES - 1).astype(np.uint8)
    np.minimum(tones[:, None] + canvas.piece("clouds"), SKY_TONES - 1, out=canvas.paint)
    canvas.paint += SKY


def _garden(canvas: Canvas, house: House) -> None:
    top, path = canvas.y(house.ground), canvas.y(0.5 * house.ground + 0.5)
    canvas.rectangle((0, top, canvas.width, canvas.height), "ground")
    canvas.cover((0, top, canvas.width, canvas.height), "paving")
    if house.lawn:
        lawn = (0, top, canvas.width, path)
        canvas.rectangle(lawn, "grass")
        canvas.cover(lawn, "grass")
        canvas.shade(lawn, 0.9, 1.05)
        left, _, right, _ = door_box(canvas, house)
        spread = (right - left) // 3
        steps = [(left, top), (right - 1, top), (right + spread, path), (left - spread, path)]
        canvas.polygon(steps, "ground")
        canvas.cover((left - spread, top, right + spread, path), "paving", only="ground")
    canvas.shade((0, top, canvas.width, top + canvas.length(0.035)), 0.72, 1.0)


def _plants(canvas: Canvas, house: House) -> None:
    uniform = random.Random(house.texture).random
    ground = canvas.y(house.ground)
    left, _, right, _ = wall_box(canvas, house)
    for place in house.bushes:
        x, radius = left + round(place * (right - left)), canvas.length(0.034 + 0.018 * uniform())
        blobs = [
            (x + round(radius * (uniform() * 1.6 - 0.8)), ground - round(radius * 0.55 * uniform())) for _ in range(5)
        ]
        _foliage(canvas, blobs, round(radius * 0.75))
    if house.tree:
        size = 0.1 * house.tree_size
        away = -0.75 * size if house.tree == "left" else house.width + 0.75 * size
        x, foot = canvas.x(house.left + away), ground + canvas.length(0.02)
        crown, radius = foot - canvas.length(3.1 * size), canvas.length(size)
        trunk = canvas.length(0.011 * house.tree_size)
        canvas.rectangle((x - trunk, crown, x + trunk, foot), "trunk")
        canvas.shade((x - trunk, crown, x + trunk, foot), 0.7, 1.05)
        spread = [(uniform() * 2 - 1, uniform() * 2 - 1) for _ in range(9)]
        blobs = [(x + round(0.5 * radius * dx), crown + round(0.75 * radius * dy)) for dx, dy in spread]
        _foliage(canvas, blobs, round(0.6 * radius))


def _foliage(canvas: Canvas, blobs: list[tuple[int, int]], radius: int) -> None:
    """Leaves: each blob dark below and sunlit above."""
    radius = max(radius, 1)
    for x, y in sorted(blobs, key=lambda blob: blob[1]):
        canvas.ellipse((x, y), (radius, radius), "leaves", light=0.88)
    for x, y in sorted(blobs, key=lambda blob: blob[1]):
        lit = max(round(radius * 0.7), 1)
        canvas.ellipse((x, y - radius // 4), (lit, lit), "leaves", light=1.1)
    xs, ys = [x for x, _ in blobs], [y for _, y in blobs]
    box = (min(xs) - radius, min(ys) - radius, max(xs) + radius + 1, max(ys) + radius + 1)
    canvas.cover(box, "leaves", only="leaves")
    canvas.shade(box, 1.12, 0.82, only="leaves")
