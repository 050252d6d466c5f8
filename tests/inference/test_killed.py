"""A conversion whose process is killed, again and again, and then goes on: really killed, in the middle."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.files import TEMPORARY
from translate.inference.listing import RECORD

PROGRAM = """
import sys, time
from translate.card import Card
from translate.images import ImageSpec
from translate.inference.translator import Translator

class Inverter:
    device = "cpu"
    card = Card(model="pix2pix", source=ImageSpec(channels=3), target=ImageSpec(channels=3), size=64)

    def __call__(self, images, condition):
        time.sleep(0.01)
        return 255 - images

report = Translator(Inverter()).convert(sys.argv[1], sys.argv[2], batch=2, threads=3)
print(report.converted, report.existing, report.failed)
"""

COUNT = 60


def begin(source: Path, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(source), str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(out: Path) -> dict[str, tuple[int, int, int]]:
    """The outputs that have their names: inode, time and size of each."""
    found = {}
    for path in out.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            status = path.stat()
            found[path.relative_to(out).as_posix()] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def hidden(out: Path) -> list[str]:
    return [path.name for path in out.rglob(".*") if path.name != RECORD]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for n in range(COUNT):
        path = tmp_path / "in" / f"{n % 2}" / f"{n:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (90, 110, 3), dtype=np.uint8)).save(path)
    return tmp_path / "in"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that nobody can catch")
def test_killed_conversions_repeat_nothing_and_leave_nothing(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    draw = random.Random(time.time_ns())
    done: dict[str, tuple[int, int, int]] = {}
    for _ in range(4):
        process = begin(photos, out)
        enough = len(done) + draw.randrange(1, 10)
        while process.poll() is None and len(finished(out)) < enough:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, "it has to be killed before it is done"
        after = finished(out)
        assert enough <= len(after) < COUNT
        assert {name: after[name] for name in done} == done
        for name in after:  # whole, and right
            with Image.open(out / name) as made, Image.open(photos / name) as source:
                assert np.array_equal(np.asarray(made), 255 - np.asarray(source))
        assert all(TEMPORARY.fullmatch(name) for name in hidden(out))
        done = after
    left = "59" if "1/59.png" not in done else "58"
    half = out / f"{int(left) % 2}" / f".{left}-0123456789ab.png"  # kills seldom fall into the moment of writing
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half a picture")
    (out / ".mine").write_text("not of ours")
    stdout, _ = begin(photos, out).communicate(timeout=60)
    assert stdout.split() == [str(COUNT - len(done)), str(len(done)), "0"]
    after = finished(out)
    assert len(after) == COUNT
    assert {name: after[name] for name in done} == done
    assert hidden(out) == [".mine"]
    for name in after:
        with Image.open(out / name) as made, Image.open(photos / name) as source:
            assert np.array_equal(np.asarray(made), 255 - np.asarray(source))


def test_nothing_is_deleted_before_the_checks(photos: Path, tmp_path: Path) -> None:
    """A call that is refused changes nothing, not even what a killed one left."""
    half = photos / "0" / ".00-0123456789ab.png"
    half.write_bytes(b"half a picture")
    process = begin(photos, photos)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert half.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
