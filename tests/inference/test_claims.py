"""Conversions at one time: never of the same outputs, whatever folders they are given. Real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.inference.listing import RECORD

PROGRAM = """
import sys, time
from pathlib import Path
from translate.card import Card
from translate.images import ImageSpec
from translate.inference.translator import Translator

class Inverter:
    device = "cpu"
    card = Card(model="pix2pix", source=ImageSpec(channels=3), target=ImageSpec(channels=3), size=64)

    def __call__(self, images, condition):
        print("begun", flush=True)
        while not Path(sys.argv[3]).exists():
            time.sleep(0.01)
        return 255 - images

try:
    print(Translator(Inverter()).convert(sys.argv[1], sys.argv[2], batch=1).converted)
except ValueError as error:
    print(error)
"""


def hidden(folder: Path) -> list[Path]:
    """What is left, but for the record of what was done."""
    return [path for path in folder.rglob(".*") if path.name != RECORD]


class Conversion:
    """One in a process of its own, that waits until it may go on."""

    def __init__(self, source: Path, out: Path, go_on: Path) -> None:
        self._go_on = go_on
        words = [sys.executable, "-c", PROGRAM, str(source), str(out), str(go_on)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def begun(self) -> Conversion:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"
        return self

    def result(self) -> str:
        self._go_on.touch()
        stdout, _ = self.process.communicate(timeout=60)
        return stdout.replace("begun\n", "").strip()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png", "sub/deep/c.png", "other/a.png", "other/d.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(path)
    return tmp_path / "in"


def beside(photos: Path, tmp_path: Path, first: tuple[str, str], second: tuple[str, str]) -> tuple[str, str, int]:
    """What both conversions say, and the number of the first's process; the second starts while the first works."""
    (tmp_path / "go").unlink(missing_ok=True)
    (tmp_path / "out" / "sub").mkdir(parents=True, exist_ok=True)
    one = Conversion(photos / first[0], tmp_path / first[1], tmp_path / "go").begun()
    (tmp_path / "at once").touch()
    other = Conversion(photos / second[0], tmp_path / second[1], tmp_path / "at once").result()
    return one.result(), other, one.process.pid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (("", "out"), ("", "out"), "out/a.png"),
        pytest.param(("", "out"), ("other", "out"), "out/a.png", marks=pytest.mark.slow),
        pytest.param(("a.png", "out/"), ("", "out"), "out/a.png", marks=pytest.mark.slow),
        (("", "out"), ("sub", "out/sub"), "out/sub/b.png"),
        pytest.param(("sub", "out/sub"), ("", "out"), "out/sub/b.png", marks=pytest.mark.slow),
        pytest.param(("sub/deep", "out/sub/deep"), ("sub", "out/sub"), "out/sub/deep/c.png", marks=pytest.mark.slow),
    ],
)
def test_the_same_outputs_at_one_time_are_refused(photos, tmp_path, first, second, named):
    first_result, refused, number = beside(photos, tmp_path, first, second)
    assert first_result.isdigit()
    assert refused.startswith(f"{tmp_path / named}: process {number} on ")
    assert refused.endswith("is converting to it: wait for its end, or name another folder")
    assert not hidden(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"), [(("sub", "out"), ("other", "out")), (("a.png", "out/"), ("other/d.png", "out/"))]
)
def test_parts_of_a_job_share_a_folder(photos, tmp_path, first, second):
    first_result, other, _ = beside(photos, tmp_path, first, second)
    assert first_result.isdigit()
    assert other.isdigit()
    assert not hidden(tmp_path)


def test_a_killed_conversion_claims_nothing(photos, tmp_path):
    killed = Conversion(photos, tmp_path / "out", tmp_path / "go").begun()
    killed.process.kill()
    killed.process.communicate()
    assert list(tmp_path.rglob(".translate-conversion-*"))
    assert Conversion(photos, tmp_path / "out", tmp_path / "go").result() == "5"
    assert not hidden(tmp_path)


def test_of_many_that_begin_together_one_converts(photos, tmp_path):
    """Three of them, as a service may start by mistake."""
    (tmp_path / "out").mkdir()
    started = [Conversion(photos, tmp_path / "out", tmp_path / "go") for _ in range(3)]
    (tmp_path / "go").touch()
    results = [one.result() for one in started]
    assert all(text.isdigit() or "is converting to it" in text for text in results)
    assert sum(int(text) for text in results if text.isdigit()) >= 5
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5
    assert not hidden(tmp_path)
