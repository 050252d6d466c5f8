"""A fault of this software in one picture is that picture's failure, wherever it is: the folder goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate import images
from translate.inference import files
from translate.inference.translator import Translator

Make = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight pictures of two sizes."""
    (tmp_path / "in").mkdir()
    for n in range(8):
        Image.fromarray(np.full((16, 16 + n % 2, 3), n, np.uint8)).save(tmp_path / "in" / f"{n}.png")
    return tmp_path / "in"


def of_one(work: Callable[..., Any], bad: Callable[..., bool]) -> Callable[..., Any]:
    """`work`, which fails as only a fault of this software would, where `bad` says so."""

    def tried(*args: Any, **options: Any) -> Any:
        if bad(*args):
            raise KeyError("unforeseen")
        return work(*args, **options)

    return tried


@pytest.mark.parametrize("place", ["read", "network", "notes", "encode", "save"])
@pytest.mark.parametrize("batch", [1, 8])
def test_a_fault_in_one_picture_is_that_pictures(
    inverter: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, batch: int
) -> None:
    """Wherever it is: the others are converted, and it is named."""
    white = Image.new("RGB", (16, 16), "white")
    white.save(photos / "bad.png")
    backend = inverter()
    if place == "network":
        monkeypatch.setattr(
            type(backend),
            "__call__",
            of_one(type(backend).__call__, lambda self, images, *_: (images == 255).all((1, 2, 3)).any()),
        )
    elif place == "notes":
        monkeypatch.setattr(
            files, "input_checks", of_one(files.input_checks, lambda pixels, card: (pixels == 255).all())
        )
    else:
        owner = files if place != "encode" else images
        monkeypatch.setattr(owner, place, of_one(getattr(owner, place), lambda path, *_, **__: path.name == "bad.png"))
    report = Translator(backend).convert(photos, tmp_path / "out", batch=batch)
    assert (report.converted, report.failed, report.exit_code) == (8, 1, 1)
    (failure,) = report.failures
    assert failure.reason.startswith(f"{photos / 'bad.png'}: a fault of this software")
    assert "KeyError: 'unforeseen'" in failure.reason
    monkeypatch.setenv("TRANSLATE_TRACEBACK", "1")
    with pytest.raises(KeyError, match="unforeseen"):
        Translator(backend).convert(photos, tmp_path / "again", batch=batch)


def test_a_bug_in_the_network_is_told_of_every_picture(inverter: Make, photos: Path, tmp_path: Path) -> None:
    report = Translator(inverter(after=lambda passes: 1 // 0)).convert(photos, tmp_path / "out")
    assert (report.converted, report.failed, report.exit_code) == (0, 8, 1)
    assert all("ZeroDivisionError" in failure.reason for failure in report.failures)
