"""The building of a front, from the chimney to the door step; its windows are drawn next door."""

from __future__ import annotations

from translate.houses.canvas import SUPER, Box, Canvas
from translate.houses.house import House
from translate.houses.windows import column_middle, glass, window


def building(canvas: Canvas, house: House) -> None:
    """Paints the house from back to front."""
    _chimney(canvas, house)
    _roof(canvas, house)
    _walls(canvas, house)
    for storey in range(house.storeys):
        for column in range(house.columns):
            if (storey, column) != (0, house.door_column):
                window(canvas, house, storey, column)
    _door(canvas, house)
    if house.balcony:
        _balcony(canvas, house)


def wall_box(canvas: Canvas, house: House) -> Box:
    """The walls without the roof."""
    top = canvas.y(house.ground - house.storeys * house.storey_height)
    return canvas.x(house.left), top, canvas.x(house.left + house.width), canvas.y(house.ground)


def door_box(canvas: Canvas, house: House) -> Box:
    """The leaf of the door without its frame."""
    pitch = house.width / house.columns
    width = canvas.whole(min(0.5 * pitch, 0.11))
    left = canvas.x(column_middle(house, house.door_column) - width / SUPER / canvas.unit / 2)
    bottom = canvas.y(house.ground)
    return left, bottom - canvas.whole(0.70 * min(house.storey_height, 0.3)), left + width, bottom


def _chimney(canvas: Canvas, house: House) -> None:
    if house.chimney is None:
        return
    left, eaves, right, _ = wall_box(canvas, house)
    ridge = eaves - canvas.whole(house.roof_height)
    inset = (right - left) // 5
    wide = canvas.whole(0.055)
    x = left + inset + round(house.chimney * max(right - left - 2 * inset - wide, 0)) // SUPER * SUPER
    slope = abs(2 * house.chimney - 1) if house.roof_shape == "gable" else 0.0
    top = ridge + round(slope * (eaves - ridge) * 0.5) - canvas.whole(0.045)
    box = (x, top, x + wide, eaves)
    canvas.rectangle(box, "chimney")
    canvas.cover(box, "brick")
    lip = canvas.length(0.008)
    canvas.rectangle((x - lip, top, x + wide + lip, top + canvas.length(0.014)), "chimney", light=1.2)
    canvas.shade((x, top + canvas.length(0.014), x + wide, top + canvas.length(0.034)), 0.7, 1.0)


def _roof(canvas: Canvas, house: House) -> None:
    left, eaves, right, _ = wall_box(canvas, house)
    ridge = eaves - canvas.whole(house.roof_height)
    over = canvas.length(0.0 if house.roof_shape == "flat" else 0.025)
    wide, high = right - left + 2 * over, eaves - ridge
    inset = {
        "flat": 0.0,
        "mansard": min(0.35 * high, 0.2 * wide),
        "hip": min(1.1 * high, 0.4 * wide),
        "gable": 0.5 * wide,
    }
    start, end, top = left - over, right + over - 1, inset[house.roof_shape]
    corners = [(start, eaves - 1), (start + top, ridge), (end - top, ridge), (end, eaves - 1)]
    canvas.polygon(corners, "roof")
    box = (left - over, ridge, right + over, eaves)
    canvas.cover(box, "tiles", only="roof")
    canvas.shade(box, 1.1, 0.94, only="roof")
    for number in range(house.dormers):
        middle = left + (right - left) * (2 * number + 1) // (2 * house.dormers)
        _dormer(canvas, middle, ridge + high // 4, eaves - high // 8)


def _dormer(canvas: Canvas, middle: int, top: int, bottom: int) -> None:
    half = max((bottom - top) * 2 // 5, SUPER)
    gable = [(middle - half - SUPER, top), (middle, top - half * 2 // 3), (middle + half + SUPER, top)]
    canvas.polygon(gable, "trim", light=0.85)
    canvas.rectangle((middle - half, top, middle + half, bottom), "trim")
    rim = max(half // 4, SUPER)
    glass(canvas, (middle - half + rim, top + rim // 2, middle + half - rim, bottom - rim))


def _walls(canvas: Canvas, house: House) -> None:
    left, top, right, bottom = box = wall_box(canvas, house)
    canvas.rectangle(box, house.material if house.colours == "fixed" else "wall")
    canvas.cover(box, house.material)
    canvas.shade(box, 1.05, 0.97)
    canvas.shade((left, bottom - canvas.length(0.05), right, bottom), 1.0, 0.86)
    if house.band:
        for storey in range(1, house.storeys):
            y = canvas.y(house.ground - storey * house.storey_height)
            canvas.rectangle((left, y - canvas.whole(0.012), right, y), "trim")
            canvas.shade((left, y, right, y + canvas.length(0.02)), 0.75, 1.0)
    cornice = canvas.whole(0.016)
    out = canvas.length(0.01)
    canvas.rectangle((left - out, top, right + out, top + cornice), "trim")
    canvas.shade((left - out, top, right + out, top + cornice), 1.06, 0.9)
    canvas.shade((left, top + cornice, right, top + cornice + canvas.length(0.045)), 0.6, 1.0)


def _door(canvas: Canvas, house: House) -> None:
    left, top, right, bottom = door_box(canvas, house)
    rim, width, height = canvas.whole(0.012), right - left, bottom - top
    if house.window_shape == "arched":
        half = width // 2
        canvas.ellipse((left + half, top), (half + rim - 1, half + rim - 1), "trim", half=True)
        canvas.ellipse((left + half, top), (half - 1, half - 1), "glass", half=True, light=1.1)
    canvas.rectangle((left - rim, top - rim, right + rim, bottom), "trim")
    canvas.rectangle((left, top, right, bottom), "door")
    canvas.shade((left, top, right, top + canvas.length(0.02)), 0.7, 1.0)
    groove = canvas.length(0.005)
    for share_top, share_bottom in ((0.12, 0.46), (0.56, 0.9)):
        for share_left, share_right in ((0.14, 0.44), (0.56, 0.86)):
            x0, x1 = left + round(share_left * width), left + round(share_right * width)
            y0, y1 = top + round(share_top * height), top + round(share_bottom * height)
            canvas.shade((x0, y0, x1, y1), 0.9, 0.98)
            canvas.shade((x0, y0, x1, y0 + groove), 0.75, 0.75)
            canvas.shade((x0, y1 - groove, x1, y1), 1.25, 1.25)
    knob = canvas.length(0.007)
    canvas.ellipse((right - round(0.1 * width) - knob, top + round(0.52 * height)), (knob, knob), "knob")
    start, end, foot = left - 2 * rim, right + 2 * rim, bottom + canvas.whole(0.014)
    canvas.rectangle((start, bottom, end, foot), "step", light=1.06)
    canvas.shade((start, foot, end, foot + canvas.length(0.015)), 0.7, 1.0)


def _balcony(canvas: Canvas, house: House) -> None:
    pitch = house.width / house.columns
    middle, half = column_middle(house, house.balcony_column), 0.5 * min(0.96 * pitch, 0.24)
    floor = canvas.y(house.ground - (house.balcony_storey + 0.07) * house.storey_height)
    left, right = canvas.x(middle - half), canvas.x(middle + half)
    high = canvas.whole(0.36 * house.storey_height)
    railing = (left, floor - high, right, floor)
    canvas.rectangle(railing, "balcony", light=1.08)
    bar = max(canvas.length(0.02), 3)
    for x in range(left + bar // 2, right, bar):
        canvas.shade((x, floor - high, x + max(bar // 4, 1), floor), 0.62, 0.62)
    canvas.rectangle((left, floor - high, right, floor - high + canvas.length(0.010)), "balcony", light=1.25)
    canvas.shade(railing, 1.04, 0.94)
    slab = canvas.whole(0.014)
    canvas.rectangle((left - SUPER, floor, right + SUPER, floor + slab), "trim")
    canvas.shade((left, floor + slab, right, floor + slab + canvas.length(0.05)), 0.58, 1.0)
