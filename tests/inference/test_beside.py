"""Conversions where memory is short, or that have company."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.files import write_bytes
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


def test_a_second_conversion_of_the_same_outputs_is_refused_and_leaves_the_first_alone(
    inverter: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take what the first is writing for the partial files of a killed one."""
    refused = []
    flush = os.fsync

    def flush_after_another(file: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        with pytest.raises(ValueError, match=rf"process {os.getpid()} .* is converting to it") as caught:
            Translator(inverter()).convert(photos, tmp_path / "out")
        refused.append(caught)
        flush(file)

    monkeypatch.setattr(os, "fsync", flush_after_another)
    report = Translator(inverter()).convert(photos, tmp_path / "out", threads=1)
    assert refused
    assert (report.converted, report.failed) == (8, 0)
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 8


def test_what_is_written_survives_a_process_that_takes_it_for_a_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that knows no locks, say."""
    flush = os.fsync

    def flush_and_lose(file: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        for path in tmp_path.glob(".out-*"):
            path.unlink()

    monkeypatch.setattr(os, "fsync", flush_and_lose)
    write_bytes(tmp_path / "out.png", b"whole")
    assert (tmp_path / "out.png").read_bytes() == b"whole"
