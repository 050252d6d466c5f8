"""Windows of a front: glass, bars, frames, sills and shutters."""

from __future__ import annotations

import numpy as np

from translate.houses.canvas import NUMBER, SUPER, Box, Canvas
from translate.houses.house import House

WINDOW_SHARES: dict[str, tuple[float, float]] = {
    "tall": (0.40, 0.64),
    "square": (0.46, 0.50),
    "wide": (0.66, 0.44),
    "arched": (0.40, 0.66),
}
"""Width and height of a window as shares of its column and its storey."""


def column_middle(house: House, column: int) -> float:
    """The place of a column of windows, as a share of the shorter side."""
    return house.left + house.width * (column + 0.5) / house.columns


def window(canvas: Canvas, house: House, storey: int, column: int) -> None:
    """One window of the walls, with what belongs to it."""
    left, top, right, bottom = box = _window_box(canvas, house, storey, column)
    arch = (right - left) // 2 if house.window_shape == "arched" else 0
    rim = canvas.whole(0.010)
    if arch:
        canvas.ellipse((left + arch, top + arch), (arch + rim - 1, arch + rim - 1), "trim", half=True)
    else:
        canvas.rectangle((left - rim, top - rim, right + rim, top), "trim")
    if house.shutter:
        _shutters(canvas, box)
    glass(canvas, box, arch=arch)
    sill = (left - rim, bottom, right + rim, bottom + rim)
    canvas.rectangle(sill, "trim", light=1.05)
    canvas.shade((sill[0], sill[3], sill[2], sill[3] + canvas.length(0.022)), 0.66, 1.0)


def _window_box(canvas: Canvas, house: House, storey: int, column: int) -> Box:
    pitch = house.width / house.columns
    wide, high = (share * house.window_scale for share in WINDOW_SHARES[house.window_shape])
    width, height = canvas.whole(wide * min(pitch, 0.28)), canvas.whole(high * min(house.storey_height, 0.3))
    left = canvas.x(column_middle(house, column) - width / SUPER / canvas.unit / 2)
    bottom = canvas.y(house.ground - (storey + 0.22) * house.storey_height)
    return left, bottom - height, left + width, bottom


def _shutters(canvas: Canvas, window: Box) -> None:
    left, top, right, bottom = window
    wide = max((right - left) // (2 * SUPER), 1) * SUPER
    slat = max(canvas.length(0.011), 3)
    for x in (left - wide, right):
        leaf = (x, top, x + wide, bottom)
        canvas.rectangle(leaf, "shutter", light=1.07)
        for y in range(top, bottom, slat):
            canvas.shade((x, y, x + wide, y + max(slat // 3, 1)), 0.78, 0.78)
        canvas.shade((x, bottom, x + wide, bottom + canvas.length(0.014)), 0.78, 1.0)


def glass(canvas: Canvas, box: Box, *, arch: int = 0) -> None:
    """Frame, panes with a reflection, and bars. All follows from the shape of `box`, which labels show.

    `arch`: radius of a round top, 0 for none.
    """
    left, top, right, bottom = box
    bar = canvas.length(0.0065)
    height = bottom - top
    wide = 3 * (right - left) > 4 * height
    if arch:
        canvas.ellipse((left + arch, top + arch), (arch - 1, arch - 1), "frame", half=True)
        inside = max(arch - 1 - bar, 1)
        canvas.ellipse((left + arch, top + arch), (inside, inside), "glass", half=True)
    canvas.rectangle((left, top + arch, right, bottom), "frame")
    canvas.rectangle((left + bar, top + (arch or bar), right - bar, bottom - bar), "glass")
    canvas.shade(box, 0.82, 1.22, only="glass")
    canvas.shade((left, top, right, top + canvas.length(0.02)), 0.66, 1.0, only="glass")
    _reflection(canvas, box)
    if wide:
        third = (right - left) // 3
        upright: tuple[int, ...] = (left + third, right - third)
    else:
        upright = ((left + right) // 2,)
        y = top + round((0.36 if 3 * height > 4 * (right - left) else 0.5) * height)
        canvas.rectangle((left, y, right, y + bar), "frame")
    for x in upright:
        canvas.rectangle((x - bar // 2, top + (bar if arch else 0), x - bar // 2 + bar, bottom), "frame")


def _reflection(canvas: Canvas, box: Box) -> None:
    left, top, right, bottom = canvas.clip(box)
    part = canvas.light[top:bottom, left:right]
    across = (np.arange(part.shape[1]) / max(part.shape[1], 1))[None, :]
    down = (np.arange(part.shape[0]) / max(part.shape[0], 1))[:, None]
    slant = across + 0.7 * down
    glass = canvas.paint[top:bottom, left:right] == NUMBER["glass"]
    np.multiply(part, 1.28, out=part, where=glass & (slant > 0.55) & (slant < 0.85))
