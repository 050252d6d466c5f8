"""Pictures beside what a model makes of them, on one sheet. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from translate.card import Card
from translate.images.sheet import displayable, sheet, shrunk
from translate.inference.picture_types import Accepted, Result

LARGEST_CELL = 512  # pixels of a side to which larger pictures are shrunk on the sheet


def grid_of(
    card: Card,
    accepted: Sequence[Accepted],
    made: Sequence[Sequence[Sequence[Result]]],
    *,
    columns: Sequence[str] | None,
) -> Image.Image:
    """A sheet with a row for each picture: its source, and the output for each of its conditions.

    Args:
        made: of each that was accepted, for each condition, the results.
        columns: titles of the outputs; None for `output`, or numbers.

    Raises:
        ValueError: there are no pictures, or as many titles as outputs are not given.
    """
    rows = []
    for value, of_conditions in zip(accepted, made, strict=True):
        for place, item in enumerate(value.items):  # a tensor may hold several
            source = displayable(item.pixels, card.taken).repeat(card.scale, 0).repeat(card.scale, 1)
            outputs = [displayable(results[place].pixels, card.target) for results in of_conditions]
            rows.append([shrunk(cell, LARGEST_CELL) for cell in (source, *outputs)])
    if not rows:
        raise ValueError("a grid needs a picture at least")
    count = len(rows[0]) - 1
    numbers = [str(number) for number in range(1, count + 1)]
    titles = list(columns) if columns is not None else numbers if count > 1 else ["output"]
    if len(titles) != count:
        raise ValueError(f"columns has {len(titles)} titles, and there are {count} outputs of each picture")
    return sheet(rows, titles=["source", *titles])
