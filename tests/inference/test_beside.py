"""Conversions where memory is short, or that have company."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.images import color
from translate.inference.translator import Translator

Make = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight pictures that begin with different shades."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(8):
        Image.fromarray(np.full((16, 16, 3), 20 * n, np.uint8)).save(folder / f"{n}.png")
    return folder


def test_an_output_that_does_not_fit_in_memory_is_a_failure_of_that_picture(
    inverter: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the memory ends: joining the alpha, converting to a profile, encoding."""
    real = color.from_srgb

    def greedy(pixels: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, bytes | None]:
        if pixels[0, 0, 0] == first:
            raise MemoryError
        return real(pixels, icc)

    first = 255 - np.asarray(Image.open(photos / "0.png"))[0, 0, 0]
    monkeypatch.setattr(color, "from_srgb", greedy)
    report = Translator(inverter()).convert(photos, tmp_path / "out")
    (failure,) = report.failures
    assert failure.reason == f"{photos / '0.png'}: its output does not fit in memory"
    assert report.converted == 7


def test_two_conversions_into_one_folder(
    inverter: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second takes what the first is writing for the leftovers of a killed one."""
    reports = []
    flush = os.fsync

    def flush_after_another(file: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        reports.append(Translator(inverter()).convert(photos, tmp_path / "out"))
        flush(file)

    monkeypatch.setattr(os, "fsync", flush_after_another)
    reports.append(Translator(inverter()).convert(photos, tmp_path / "out", threads=1))
    assert [report.failed for report in reports] == [0, 0]
    assert len(list((tmp_path / "out").iterdir())) == 8
