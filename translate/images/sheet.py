"""Grids of pictures for a person to look at. Imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image

from translate.images.missing import missing
from translate.images.spec import ImageSpec

GAP = 4
LINE = 12  # of a title
INK = (40, 40, 40)
PAPER = (255, 255, 255)


def displayable(raw: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Pixels `[H, W, C]` of any depth and channel count as 8-bit RGB `[H, W, 3]`, the value range filling the screen's.

    Two channels are taken as gray and alpha, four as colour and alpha; of five or more the first three are shown. Where
    there is no data is the middle of the range, as for the network.
    """
    unit = np.clip((raw.astype(np.float32) - spec.lows.astype(np.float32)) / spec.spans.astype(np.float32), 0, 1)
    if spec.nodata is not None:
        unit = np.where(missing(raw, spec.nodata), np.float32(0.5), unit)
    if unit.shape[2] in (2, 4):
        alpha = unit[..., -1:]
        unit = unit[..., :-1] * alpha + (np.asarray(spec.background[: unit.shape[2] - 1], np.float32) / 255) * (
            1 - alpha
        )
    colour = np.repeat(unit, 3, axis=2) if unit.shape[2] == 1 else unit[..., :3]
    return np.round(colour * 255).astype(np.uint8)


def shrunk(cell: np.ndarray, largest: int) -> np.ndarray:
    """An RGB picture `[H, W, 3]` uint8 in its proportions, no side of more than `largest` pixels."""
    if max(cell.shape[:2]) <= largest:
        return cell
    image = Image.fromarray(cell)
    image.thumbnail((largest, largest), Image.Resampling.BOX)
    return np.asarray(image)


def sheet(rows: Sequence[Sequence[np.ndarray]], *, titles: Sequence[str]) -> Image.Image:
    """A grid of RGB pictures `[H, W, 3]` uint8, one example a row and a title a column; cells fit the largest.

    A title may go on over the columns after it that have none; a longer one is broken between words.
    """
    from PIL import ImageDraw  # with fonts, which conversions do not need

    height = max(cell.shape[0] for row in rows for cell in row)
    width = max(cell.shape[1] for row in rows for cell in row)
    titled = [i for i, title in enumerate(titles) if title] + [len(titles)]
    room = {i: (after - i) * (width + GAP) for i, after in itertools.pairwise(titled)}
    broken = {i: _broken(titles[i], pixels) for i, pixels in room.items()}
    header = GAP + LINE * max((len(lines) for lines in broken.values()), default=1)
    page = Image.new("RGB", (len(titles) * (width + GAP) + GAP, header + len(rows) * (height + GAP) + GAP), color=PAPER)
    draw = ImageDraw.Draw(page)
    for column in range(len(titles)):
        left = GAP + column * (width + GAP)
        for number, line in enumerate(broken.get(column, ())):
            draw.text((left, 2 + LINE * number), line, fill=INK)
        for number, row in enumerate(rows):
            page.paste(Image.fromarray(row[column]), (left, header + GAP + number * (height + GAP)))
    return page


def _broken(title: str, room: int) -> list[str]:
    """The lines of a title, each as many words as fit into so many pixels."""
    from PIL import ImageDraw

    measure = ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength
    first, *words = title.split()
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if measure(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
