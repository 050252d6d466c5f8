"""The page that shows how a model of noise learns: pictures of the same codes and conditions all along a run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from PIL import Image

from translate.batch import quantize
from translate.conditions import Request
from translate.datasets.prepare import Prepared
from translate.evaluation.sheet import displayable, sheet, shrunk
from translate.inference.backend import together
from translate.inference.sample import COLUMNS, draw_code
from translate.models import Model
from translate.training.answers import answers_of

LARGEST_CELL = 128  # pixels of a side to which pictures are shrunk


@torch.no_grad()
def fixed_page(models: Mapping[str, Model], data: Prepared, *, rows: int) -> Image.Image | None:
    """`rows` of eight pictures of each of `models`, beside each other; None of no rows.

    They are the first of seed 0, as `translate sample` makes them. With labels or texts a row has one of these, and
    all rows the same eight codes.
    """
    if not rows:
        return None
    conditions = data.conditions
    labels = conditions.labels or (None,)
    texts = list(dict.fromkeys(pair.text for pair in (*data.val, *data.train) if pair.text)) if conditions.text else []
    told = bool(conditions.labels or texts)
    cells = []
    for row in range(rows):
        numbers = range(1, COLUMNS + 1) if told else range(1 + row * COLUMNS, 1 + (row + 1) * COLUMNS)
        label, text = labels[row % len(labels)], texts[row % len(texts)] if texts else None
        asked = [Request(label=label, text=text, z=draw_code(conditions.z, 0, number)) for number in numbers]
        given = together([conditions.encode(one) for one in asked])
        line = []
        for model in models.values():
            device = next(model.parameters()).device
            conditioned = answers_of(model, conditioned=True).conditioned
            assert conditioned is not None
            made = conditioned(None, {name: torch.from_numpy(value).to(device) for name, value in given.items()})
            line += [displayable(pixels, data.target) for pixels in quantize(made, data.target).cpu().numpy()]
        cells.append([shrunk(cell, LARGEST_CELL) for cell in line])
    return sheet(cells, titles=[title for name in models for title in (name, *[""] * (COLUMNS - 1))])
