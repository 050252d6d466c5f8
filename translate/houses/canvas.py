"""Two aligned layers that fronts are painted on: which paint lies where, and how much light falls on it.

Labels and photo are both read off the same paint layer, so their edges agree by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from translate.houses.palette import LABELS, RGB
from translate.houses.textures import texture

SUPER = 3
"""Canvas pixels to a side of a picture pixel. Odd, so that there is a middle one, which decides the label."""

PAINTS: dict[str, str] = {
    "wall": "wall",
    "brick": "brick",
    "plaster": "plaster",
    "wood": "wood",
    "stone": "stone",
    "roof": "roof",
    "chimney": "chimney",
    "glass": "window",
    "frame": "window",
    "shutter": "shutter",
    "door": "door",
    "knob": "door",
    "balcony": "balcony",
    "trim": "trim",
    "ground": "ground",
    "step": "ground",
    "grass": "grass",
    "leaves": "plant",
    "trunk": "plant",
}
"""Paint -> class of the label map. The sky is a run of further paints from `SKY` up, one for each tone."""

SKY, SKY_TONES = 128, 128
NUMBER = {paint: number for number, paint in enumerate(PAINTS)}

_CLASS = np.zeros((256, 3), np.uint8)
for _paint, _number in NUMBER.items():
    _CLASS[_number] = LABELS[PAINTS[_paint]]
_CLASS[SKY : SKY + SKY_TONES] = LABELS["sky"]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in canvas pixels; right and bottom are outside."""


class Canvas:
    """A sheet to paint on, SUPER times as large as the picture.

    Places are shares of the picture's shorter side, counted from the corner of the house's own square, which
    stands in the middle of a wide picture and at the bottom of a tall one.
    """

    def __init__(self, height: int, width: int, *, seed: int) -> None:
        self.unit = min(height, width)
        self.height, self.width = SUPER * height, SUPER * width
        self.paint = np.zeros((self.height, self.width), np.uint8)
        self.light = np.ones((self.height, self.width), np.float32)
        self._origin = ((width - self.unit) / 2, float(height - self.unit))
        self._seed = seed

    def length(self, share: float) -> int:
        """Canvas pixels of a length, at least one."""
        return max(1, round(share * self.unit * SUPER))

    def whole(self, share: float) -> int:
        """Canvas pixels of a length in whole picture pixels, at least one: such parts have crisp edges."""
        return SUPER * max(1, round(share * self.unit))

    def x(self, share: float) -> int:
        """Canvas column of a place, on the edge of a picture pixel and inside the canvas."""
        return min(max(SUPER * round(self._origin[0] + share * self.unit), 0), self.width)

    def y(self, share: float) -> int:
        """Canvas row of a place, on the edge of a picture pixel and inside the canvas."""
        return min(max(SUPER * round(self._origin[1] + share * self.unit), 0), self.height)

    def clip(self, box: Box) -> Box:
        """The part of a box that lies on the canvas."""
        left, top, right, bottom = box
        return max(left, 0), max(top, 0), min(max(right, 0), self.width), min(max(bottom, 0), self.height)

    def rectangle(self, box: Box, paint: str, *, light: float = 1.0) -> None:
        """Covers a box with paint; the light on it starts anew."""
        left, top, right, bottom = self.clip(box)
        self.paint[top:bottom, left:right] = NUMBER[paint]
        self.light[top:bottom, left:right] = light

    def polygon(self, points: Sequence[tuple[float, float]], paint: str, *, light: float = 1.0) -> None:
        """Covers a polygon of (x, y) canvas points; the light on it starts anew."""
        corners = [np.array(points).round().astype(np.int32)]
        cv2.fillPoly(self.paint, corners, NUMBER[paint])
        cv2.fillPoly(self.light, corners, light)

    def ellipse(
        self,
        centre: tuple[int, int],
        radii: tuple[int, int],
        paint: str,
        *,
        light: float = 1.0,
        half: bool = False,
    ) -> None:
        """Covers an ellipse, or only its upper `half`; the light on it starts anew."""
        for layer, value in ((self.paint, NUMBER[paint]), (self.light, light)):
            cv2.ellipse(layer, centre, radii, 0, 180 if half else 0, 360, value, cv2.FILLED)

    def shade(self, box: Box, top: float, bottom: float, *, only: str | None = None) -> None:
        """Multiplies the light by a ramp from the box's upper to its lower edge, on one paint or on all."""
        start, end = box[1], box[3]
        box = self.clip(box)
        ramp = top + (bottom - top) * (np.arange(box[1], box[3], dtype=np.float32) + 0.5 - start) / max(end - start, 1)
        self._multiply(box, ramp[:, None], only)

    def cover(self, box: Box, kind: str, *, only: str | None = None) -> None:
        """Multiplies the light by a texture, on one paint or on all."""
        left, top, right, bottom = box = self.clip(box)
        self._multiply(box, self.piece(kind)[top:bottom, left:right], only)

    def piece(self, kind: str) -> np.ndarray:
        """This front's own piece of a texture, as large as the canvas."""
        sheet = texture(kind, self.height, self.width, self.unit * SUPER)
        spare_x, spare_y = sheet.shape[1] - self.width, sheet.shape[0] - self.height
        x, y = self._seed % 997 * spare_x // 997, self._seed // 997 % 991 * spare_y // 991
        return sheet[y : y + self.height, x : x + self.width]

    def _multiply(self, box: Box, factor: np.ndarray, only: str | None) -> None:
        left, top, right, bottom = box
        part = self.light[top:bottom, left:right]
        where = True if only is None else self.paint[top:bottom, left:right] == NUMBER[only]
        np.multiply(part, factor, out=part, where=where)

    def labels(self) -> np.ndarray:
        """The label map `[H, W, 3]` uint8, nothing but colours of `LABELS`."""
        return _CLASS[self.paint[SUPER // 2 :: SUPER, SUPER // 2 :: SUPER]]

    def photo(self, colours: Mapping[str, RGB], sky: np.ndarray, tint: tuple[float, float, float]) -> np.ndarray:
        """The picture `[H, W, 3]` uint8.

        Args:
            colours: of every paint.
            sky: `[SKY_TONES, 3]` colours.
            tint: factors of red, green and blue; not for the sky, which has them already.
        """
        table = np.zeros((256, 3), np.float32)
        for paint, number in NUMBER.items():
            table[number] = np.multiply(colours[paint], tint)
        table[SKY : SKY + SKY_TONES] = sky
        size = (self.width // SUPER, self.height // SUPER)
        planes = []
        for channel in range(3):  # plane by plane stays in the cache: twice as fast as interleaved colours
            plane = cv2.LUT(self.paint, np.ascontiguousarray(table[:, channel]))
            np.multiply(plane, self.light, out=plane)
            np.minimum(plane, 255, out=plane)  # before averaging, or one bright canvas pixel would outshine its pixel
            planes.append(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
        return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
