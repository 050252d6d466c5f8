"""What conversion says about pictures that are not of the model's kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from translate.card import Card
from translate.images import ImageSpec
from translate.inference.input_checks import input_checks
from translate.inference.translator import Translator

CELLS = ImageSpec(channels=1, dtype="uint16", low=200, high=3800)
LABELS = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0)))
UNIT = ImageSpec(channels=1, dtype="float32", low=0, high=1)
PHOTO = ImageSpec(channels=3)


def flat(value: object, spec: ImageSpec, *, strange: object, rows: int) -> np.ndarray:
    """800 x 40 pixels of `value`, the first `rows` of which are `strange`."""
    pixels = np.full((800, 40, spec.channels), value, spec.dtype)
    pixels[:rows] = strange
    return pixels


@pytest.mark.parametrize(
    ("spec", "value", "strange", "few", "words"),
    [
        (CELLS, 1000, 60000, 4, "beyond 200 to 3800, which the model was trained on: clipped"),
        (CELLS, 1000, 0, 4, "beyond 200 to 3800"),
        (UNIT, 0.5, -3, 4, "beyond 0 to 1"),
        (LABELS, (250, 9, 3), (0, 0, 255), 380, "no colour of the label maps"),
    ],
)
def test_a_good_part_of_strange_values_is_warned_of(
    card: Callable[..., Card], spec: ImageSpec, value: object, strange: object, few: int, words: str
) -> None:
    for rows, warned in ((0, 0), (few, 0), (few + 40, 1)):
        remarks = input_checks(flat(value, spec, strange=strange, rows=rows), card(source=spec))
        assert [words in remark for remark in remarks] == [True] * warned


def test_no_value_of_a_photo_is_strange(card: Callable[..., Card]) -> None:
    assert input_checks(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8), card(source=PHOTO)) == ()
    clear = CELLS.model_copy(update={"channels": 4})
    assert input_checks(flat((900, 900, 900, 65535), clear, strange=0, rows=0), card(source=clear)) == ()
    holed = CELLS.model_copy(update={"channels": 2})
    assert input_checks(flat(65535, holed, strange=0, rows=99), card(source=holed, derive="holes")) == ()


def test_it_is_in_the_report(inverter: Callable[..., object], card: Callable[..., Card], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", flat(60000, CELLS, strange=0, rows=0)[..., 0])
    t = Translator(inverter(card=card(source=CELLS, target=CELLS)))  # type: ignore[arg-type]
    (note,) = t.convert(tmp_path / "cells.tif", tmp_path / "out.tif").notes
    assert "beyond 200 to 3800" in note.text
