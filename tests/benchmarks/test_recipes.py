"""Recipes are compared on pictures that no training saw; what is finished is not done again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.recipes import Flags
from tests.benchmarks.tables import Main, column, tables

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--size", "32", "--width", "4", "--steps", "2", "--device", "cpu"]
ROWS = "published patch=16; sharp patch=16; sharp patch=16 lambda-l1=5"


@pytest.fixture(scope="module")
def side_by_side(fronts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Side-by-side pairs with numbers: 12 to train on, 4 to validate on."""
    folder = tmp_path_factory.mktemp("numbered")
    for part in ("train", "val"):
        (folder / part).mkdir()
        for number, path in enumerate(sorted((fronts / part).iterdir()), 1):
            Image.open(path).save(folder / part / f"{number}.png")
    return folder


def test_rows_are_read_from_a_file_without_its_remarks(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("# three seeds; of one row\nfirst [0,1]: published batch=2  # a; b\n\nsharp; sharp lambda_l1=5\n")
    rows = Flags(data=tmp_path, out=tmp_path, rows=str(path)).each_row
    assert [(row.name, row.changes, row.seeds) for row in rows] == [
        ("first", "published batch=2", (0, 1)),
        ("sharp", "sharp", ()),
        ("sharp lambda_l1=5", "sharp lambda_l1=5", ()),
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "game").glob("*.txt")), ids=lambda path: path.name)
def test_each_row_of_the_page_can_be_trained(path: Path) -> None:
    assert Flags(data=path.parent, out=path.parent, rows=str(path)).each_row


@pytest.mark.slow
def test_the_table_the_results_and_the_sheet(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], side_by_side: Path, tmp_path: Path
) -> None:
    words = ["--data", str(side_by_side), "--out", str(tmp_path), "--rows", ROWS, "--hold-back", "5", *TINY]
    assert bench("recipes")(words) == 0
    text = capsys.readouterr().out
    assert "9 unseen pairs" in text  # 4 of val, and the 5 largest numbers of train
    held = {path.name for path in (tmp_path / "pictures" / "val").iterdir()}
    assert held == {*(f"{n}.png" for n in range(1, 5)), *(f"train-{n}.png" for n in range(8, 13))}
    assert {path.name for path in (tmp_path / "pictures" / "train").iterdir()} == {f"{n}.png" for n in range(1, 8)}
    (table,) = tables(text)
    rows = [" ".join(row.split()) for row in ROWS.split(";")]
    assert column(table, "training") == ["floor", *(f"{row}, seed 0" for row in rows)]
    for row in table[1:]:
        assert 0 < float(row["L1"]) < 1
        assert "±" in row["KID Lite1"]
        assert 0 < float(row["perceptual Lite1"]) < 2
    assert len({row["L1"] for row in table[1:]}) == 3
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["floor", *(f"{row}, seed 0" for row in rows)]
    page = Image.open(tmp_path / "sheet-0.png")
    assert page.size == (
        5 * 36 + 4,
        4 + 3 * 12 + 9 * 36 + 4,
    )  # titles of three lines; nine pictures

    runs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/model.safetensors")}
    assert len(runs) == 3
    assert bench("recipes")(words) == 0
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    assert tables(capsys.readouterr().out) == [table]


@pytest.mark.slow
def test_a_run_that_was_killed_is_gone_on_with(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], side_by_side: Path, tmp_path: Path
) -> None:
    words = ["--data", str(side_by_side), "--rows", "published patch=16", "--out", str(tmp_path / "out"), *TINY]
    assert bench("recipes")(words) == 0
    whole = json.loads((tmp_path / "out" / "results.json").read_text())
    (run,) = (tmp_path / "out" / "runs").iterdir()
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    (run / "model.safetensors").unlink()
    (tmp_path / "out" / "results.json").unlink()
    assert bench("recipes")(words) == 0
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    for name, figures in whole.items():
        assert {k: v for k, v in again[name].items() if k != "pairs_per_second"} == {
            k: v for k, v in figures.items() if k != "pairs_per_second"
        }
    capsys.readouterr()
    words[words.index("--steps") + 1] = "3"
    assert bench("recipes")(words) == 2
    assert "has results of --steps 2: choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--rows", "shrap"], "no recipe is called"),
        (["--rows", "sharp; deep: published discriminator=multiscale"], "deep: --scales 3 with --patch 70 needs"),
        (["--rows", "sharp patch"], "patch is no change of a setting"),
        (["--hold-back", "12"], "--hold-back 12: .*train has 12 files"),
        (["--seeds", "one"], "--seeds"),
    ],
)
def test_wrong_flags_are_one_clear_line(
    bench: Callable[[str], Main],
    capsys: pytest.CaptureFixture[str],
    side_by_side: Path,
    tmp_path: Path,
    changes: list[str],
    message: str,
) -> None:
    assert bench("recipes")(["--data", str(side_by_side), "--out", str(tmp_path / "out"), *changes]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()
