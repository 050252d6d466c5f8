"""The benchmarks run, and print the tables that docs/benchmarks.md explains. No time is asserted."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("train", "convert")
TINY = {
    "train": ["--size", "32", "--width", "4", "--rounds", "1", "--device", "cpu"],
    "convert": ["--size", "32", "--width", "4", "--rounds", "1", "--device", "cpu", "--images", "2"],
}

Main = Callable[[list[str]], int]
Table = list[dict[str, str]]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Main]:
    """The `main` of a benchmark. They are no part of the package, so that they are found in a clone only."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}").main


def tables(text: str) -> list[Table]:
    """The Markdown tables in a text; each row by its titles."""
    found: list[Table] = []
    titles: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            titles = []
        elif not titles:
            titles = cells
            found.append([])
        elif not set(line) <= set("|-"):
            found[-1].append(dict(zip(titles, cells, strict=True)))
    return found


def column(table: Table, title: str) -> list[str]:
    return [row[title] for row in table]


def numbers(table: Table, *titles: str) -> list[float]:
    """Those of some columns, all of them positive."""
    found = [float(row[title]) for row in table for title in titles]
    assert all(number > 0 for number in found)
    return found


def test_training_steps(benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark("train")(TINY["train"]) == 0
    text = capsys.readouterr().out
    steps, *stages = tables(text)
    assert text.startswith("pix2pix, 32 px, width 4, batch 1; ")
    assert column(steps, "step") == ["plain float32", "float32", "bfloat16", "bfloat16, channels-last"]
    numbers(steps, "ms", "pairs/s", "plain / this")
    assert steps[0]["plain / this"] == "1.00"
    assert len(stages) == 2
    for table in stages:
        assert len(table) == 8
        assert {"generator forward", "discriminator: Adam", "average"} < set(column(table, "stage"))
        assert abs(sum(float(share.removesuffix(" %")) for share in column(table, "share")) - 100) < 5
    assert "peak memory" in text


def check_conversion(stages: Table, whole: Table) -> None:
    assert column(stages, "stage alone") == ["decode", "network", "encode JPEG", "encode PNG"]
    numbers(stages, "images/s, 1 thread", "images/s", "threads")
    assert column(whole, "whole, to") == ["JPEG", "PNG"]
    numbers(whole, "naive images/s", "ours images/s", "naive / ours", "ours / slowest stage")


def test_conversion_of_drawn_pictures(benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark("convert")(TINY["convert"]) == 0
    text = capsys.readouterr().out
    stages, whole = tables(text)
    assert text.startswith("U-Net of width 4 in float32, 2 pictures of 32 px; ")
    check_conversion(stages, whole)
    assert int(whole[1]["levels apart"]) <= 1
    assert "peak memory" in text


def test_conversion_of_pictures_of_ones_own(
    benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of two sizes, in a sub-folder too; a third one is not asked for."""
    (tmp_path / "below").mkdir()
    for name, size in (("1.png", (20, 30)), ("below/2.jpg", (25, 17)), ("below/3.jpg", (400, 400))):
        Image.effect_noise(size, 60).save(tmp_path / name)
    assert benchmark("convert")([*TINY["convert"], "--input", str(tmp_path), "--precision", "bfloat16"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"U-Net of width 4 in bfloat16, 2 pictures from {tmp_path}; ")
    check_conversion(*tables(text))
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_a_picture_that_cannot_be_read_is_named(
    benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    assert benchmark("convert")([*TINY["convert"], "--input", str(tmp_path)]) == 2
    assert "00000.png: not a picture" in capsys.readouterr().err


WRONG = {
    "an unknown flag": (["--batches", "2"], "unknown flag --batches"),
    "a word": (["256"], "unexpected 256"),
    "no value": (["--rounds"], "--rounds needs a value"),
    "given twice": (["--rounds", "1", "--rounds", "2"], "--rounds is given twice"),
    "too small": (["--rounds", "0"], "--rounds got '0': must be greater than or equal to 1"),
    "no number": (["--size", "large"], "--size got 'large'"),
    "no device": (["--device", "cudda"], '(did you mean "cuda"?)'),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_are_one_line_and_nothing_is_measured(
    benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str], name: str, case: str
) -> None:
    words, message = WRONG[case]
    assert benchmark(name)(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"benchmarks.{name}: ")
    assert message in said.err
    assert said.err.count("\n") == 1


def test_folders_without_pictures(
    benchmark: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert benchmark("convert")(["--input", str(tmp_path)]) == 2
    assert f"--input {tmp_path}: no pictures found" in capsys.readouterr().err
    assert benchmark("convert")(["--input", str(tmp_path / "nowhere")]) == 2
    assert f"--input {tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_they_are_modules_to_be_run(name: str) -> None:
    words = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"python -m benchmarks.{name}: ")
    for flag in ("--size", "--rounds", "--device"):
        assert f"\n  {flag} " in done.stdout
