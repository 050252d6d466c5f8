"""Of a large set with validation pictures the contents are checked while training goes on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.conditions import DataNeeds
from translate.datasets import background
from translate.datasets.background import BackgroundCheck
from translate.datasets.preparation import index, scan
from translate.datasets.prepare import Prepared, prepare
from translate.settings import DataSettings

COUNT = 40


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of any size is large, and a few of its files are decoded at once."""
    monkeypatch.setattr(scan, "MIN_GLANCED", 1)
    monkeypatch.setattr(scan, "DECODED_AT_ONCE", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs side by side as JPEG, gray and colour, and some for validation."""
    rng = np.random.default_rng(0)
    for split, count in (("train", COUNT), ("val", 3)):
        (tmp_path / "set" / split).mkdir(parents=True)
        for i in range(count):
            shape = (8, 16) if i % 5 == 0 else (8, 16, 3)
            path = tmp_path / "set" / split / f"{i}.jpg"
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
            index.os.utime(path, (10**9, 10**9))
    return tmp_path / "set"


def settings(folder: Path, **given: Any) -> DataSettings:
    return DataSettings.make({"data": folder, "size": 8, "layout": "side-by-side", **given})


def run(folder: Path, *, behind: bool = True, **given: Any) -> tuple[Prepared, list[str]]:
    lines: list[str] = []
    return prepare(settings(folder, **given), behind=behind, say=lines.append), lines


def check_of(folder: Path) -> tuple[BackgroundCheck, list[str]]:
    """The check of a set, and what it says."""
    lines: list[str] = []
    return BackgroundCheck(run(folder)[0], settings(folder), data_needs=DataNeeds(), say=lines.append), lines


def damage(path: Path) -> None:
    """Only decoding finds it."""
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc4")
    data[place + 5 : place + 21] = b"\xff" * 16
    path.write_bytes(data)


def test_a_glance_finds_the_same_set(folder, decoded):
    (folder / "train" / "7.jpg").write_bytes((folder / "train" / "7.jpg").read_bytes()[:-2])  # is cut short
    (folder / "train" / "8.jpg").write_bytes(b"no picture")
    Image.new("RGB", (9, 8)).save(folder / "train" / "9.jpg")  # cannot be halved
    now, plain = run(folder, behind=False)
    assert len(decoded) == COUNT + 3
    decoded.clear()
    found, lines = run(folder)
    assert 2 <= len(decoded) < COUNT / 2
    assert found == now
    assert (len(found.problems), now.unchecked) == (3, 0)
    assert found.unchecked == 2 * (COUNT + 3 - 1 - len(decoded))
    assert [line for line in lines if "while training goes on" not in line] == plain
    assert lines[-1].startswith(f"{found.unchecked} plain pictures")


@pytest.mark.parametrize(
    "given", [{"strict": True}, {"target_range": "percentile"}, {"source_nodata": 3}, {"target_kind": "labels"}]
)
def test_what_needs_pixels_is_decoded_at_once(folder, decoded, given):
    if "target_kind" in given:
        given = {**given, "target_palette": "#000000,#ffffff"}
    assert run(folder, **given)[0].unchecked == 0
    assert len(decoded) == COUNT + 3


def test_the_held_out_part_is_chosen_by_decoded_pictures(folder, decoded):
    for path in (folder / "val").iterdir():
        path.write_bytes(b"no picture")
    found, _ = run(folder)  # a glance first, since there seemed to be some
    assert found.unchecked == 0
    assert found == run(folder, behind=False)[0]
    assert found.val


def test_a_finding_is_said_and_known_at_the_next_start(folder, kept, decoded, tmp_path):
    damage(folder / "train" / "3.jpg")
    damage(folder / "val" / "1.jpg")
    (folder / "train" / "5.jpg").write_bytes(b"no picture")
    data, _ = run(folder)
    assert [problem.path.name for problem in data.problems] == ["5.jpg"]
    lines: list[str] = []
    check = BackgroundCheck(
        data, settings(folder), data_needs=DataNeeds(), beside=tmp_path / "run" / "cache", say=lines.append
    )
    check.begin()
    check.join()
    check.close()
    assert len(lines) == 3
    assert all(line.startswith("WARNING: ") and "damaged" in line and "training stops" in line for line in lines[:2])
    assert [Path(line.split(": ")[1]).name for line in lines[:2]] == ["3.jpg", "1.jpg"]
    assert lines[2] == f"contents of {data.unchecked} pictures checked: 2 cannot be used"
    assert len([*(tmp_path / "run" / "cache").iterdir()]) == 1
    decoded.clear()
    later, _ = run(folder)
    assert sorted(decoded) == ["1.jpg", "3.jpg", "5.jpg"]
    assert len(later.problems) == 3


def test_the_process_ends_with_the_run(folder, monkeypatch):
    monkeypatch.setattr(background, "COMMAND", "import time; time.sleep(1000)")
    check, lines = check_of(folder)
    check.begin()
    check.begin()  # of no effect
    process = check._process
    assert process is not None
    check.close()
    assert process.poll() is not None
    assert lines == []
    check.begin()
    assert check._process is process


def test_the_process_ends_with_the_one_that_started_it():
    process = subprocess.Popen(
        [sys.executable, "-c", "from translate.datasets.background import _end_with_input; _end_with_input()"],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def test_a_check_that_ends_early_is_told(folder, monkeypatch):
    monkeypatch.setattr(background, "COMMAND", "")
    check, lines = check_of(folder)
    check.begin()
    check.join()
    check.close()
    assert [line.partition(":")[0] for line in lines] == ["the check of contents has ended early"]


def test_of_a_set_that_is_known_nothing_is_started(folder):
    data, _ = run(folder, behind=False)
    check = BackgroundCheck(data, settings(folder), data_needs=DataNeeds(), say=print)
    check.begin()
    assert check._process is None
    check.close()
