"""Many pictures: memory is bounded, the order of finishing does not matter, and all failures are reported."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate import images
from translate.inference import convert as convert_module
from translate.inference import files, pipeline
from translate.inference.files import Decoded, Written, decode, encode
from translate.inference.listing import Failure
from translate.inference.plan import Job
from translate.inference.report import FAILURES_FILE, MAX_LISTED
from translate.inference.translator import Translator

Make = Callable[..., Any]


def make_pictures(folder: Path, count: int, *, sizes: tuple[tuple[int, int], ...] = ((12, 9),)) -> Path:
    """PNG files in three folders, sizes (width, height) in turn; no two pictures are the same."""
    rng = np.random.default_rng(count)
    for n in range(count):
        width, height = sizes[n % len(sizes)]
        path = folder / f"{n % 3}" / f"{n:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


class Watch:
    """Counts the pictures that are alive: as pixels before the network, and as pixels to be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, pause: Callable[[], None] = lambda: None) -> None:
        self.alive = self.most = 0
        self.finished: list[str] = []
        self.pause = pause
        monkeypatch.setattr(convert_module, "decode", self.decode)
        monkeypatch.setattr(convert_module, "encode", self.encode)

    def decode(self, job: Job, **options: Any) -> Decoded | Failure:
        self.pause()
        made = decode(job, **options)
        if isinstance(made, Decoded):
            self._count(made.pixels)
        return made

    def encode(self, carried: Any, pixels: np.ndarray, **options: Any) -> Written | Failure:
        self.pause()
        self.finished.append(carried.job.name)
        return encode(carried, pixels, **options)

    def _count(self, pixels: np.ndarray) -> None:
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(pixels, self._gone)

    def _gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("count", [60, 240])
def test_pictures_in_memory_do_not_grow_with_the_folder(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A pass under way, the next one and what the threads hold, with one size; and nothing is kept."""
    watch = Watch(monkeypatch)
    source = make_pictures(tmp_path / "in", count)
    report = Translator(inverter()).convert(source, tmp_path / "out", batch=4, threads=2)
    assert report.converted == count
    assert 4 <= watch.most <= 24
    gc.collect()
    assert watch.alive == 0


def test_large_pictures_are_bounded_by_their_bytes(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen at a time are asked for, and no two are of one size, so that up to 32 would wait for company."""
    sizes = tuple((20, 20 + n) for n in range(48))
    source = make_pictures(tmp_path / "in", 48, sizes=sizes)
    most = {}
    for held in (2**28, 6000):  # bytes; the pictures have some 2,600
        monkeypatch.setattr(pipeline, "HELD_BYTES", held)
        with monkeypatch.context() as patch:
            watch = Watch(patch)
            out = tmp_path / str(held)
            assert Translator(inverter()).convert(source, out, batch=16, threads=2).converted == 48
            most[held] = watch.most
    assert most[2**28] >= 32
    assert most[6000] <= 14
    assert contents(tmp_path / "6000") == contents(tmp_path / str(2**28))


def test_the_order_of_finishing_does_not_matter(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that take a random time give the same bytes and the same report as one thread with one at a time."""
    source = make_pictures(tmp_path / "in", 40, sizes=((12, 9), (7, 5), (16, 16)))
    for name in ("0/broken.png", "1/broken.jpg", "2/broken.tif"):
        (source / name).write_text("no picture")
    for n in range(30, 40):
        (tmp_path / "random" / f"{n % 3}" / f"{n:04}.png").mkdir(parents=True)  # in the way of an output
        (tmp_path / "one" / f"{n % 3}" / f"{n:04}.png").mkdir(parents=True)
    one = Translator(inverter()).convert(source, tmp_path / "one", batch=1, threads=1)
    draw = random.Random(3)
    watch = Watch(monkeypatch, pause=lambda: time.sleep(draw.random() * 0.004))
    many = Translator(inverter()).convert(source, tmp_path / "random", batch=3, threads=6)
    assert watch.finished != sorted(watch.finished)  # else nothing was tried
    assert contents(tmp_path / "one") == contents(tmp_path / "random")
    assert len(contents(tmp_path / "one")) == 30
    assert one.failed == many.failed == 13
    assert [failure.path for failure in one.failures] == [failure.path for failure in many.failures]
    assert one.notes == many.notes


def test_waiting_for_the_disk_keeps_no_core(inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one thread that computes four files are flushed at once, and never do two compute."""
    source = make_pictures(tmp_path / "in", 24)
    together = threading.Barrier(4, timeout=20)
    lock = threading.Lock()
    computing = most = 0

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal computing, most
            with lock:
                computing += 1
                most = max(most, computing)
            time.sleep(0.001)
            try:
                return work(*args, **options)
            finally:
                with lock:
                    computing -= 1

        return run

    def save(path: Path, data: bytes) -> None:
        together.wait()  # which a single thread would do for ever
        images.save(path, data)

    monkeypatch.setattr(files, "read", counted(files.read))
    monkeypatch.setattr(images, "encode", counted(images.encode))
    monkeypatch.setattr(files, "save", save)
    report = Translator(inverter()).convert(source, tmp_path / "out", batch=4, threads=1)
    assert (report.converted, most) == (24, 1)


def test_a_report_names_a_thousand_failures_and_a_file_all(inverter: Make, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    names = [f"{n:05}.png" for n in range(2 * MAX_LISTED + 100)]
    for name in names:
        (source / name).write_text("no")
    Image.new("RGB", (4, 4)).save(source / "good.png")
    report = Translator(inverter()).convert(source, out)
    assert (report.converted, report.failed, report.exit_code) == (1, len(names), 1)
    assert [failure.path.name for failure in report.failures] == names[:MAX_LISTED]
    assert report.failures_file == out / FAILURES_FILE
    lines = (out / FAILURES_FILE).read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(source / name) for name in names]
    assert report.summary().endswith(f"  and 1,100 more: {out / FAILURES_FILE} names all of them")
    assert f"failed: {len(names):,} pictures" in report.summary()
    for name in names[3:]:
        (source / name).unlink()
    again = Translator(inverter()).convert(source, out)
    assert (again.existing, again.failed, again.failures_file) == (1, 3, None)
    assert not (out / FAILURES_FILE).exists()


def test_few_failures_write_no_file(inverter: Make, tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", 3)
    for n in range(20):
        (source / f"{n}.png").write_text("no")
    report = Translator(inverter()).convert(source, tmp_path / "out")
    assert (report.failed, len(report.failures), report.failures_file) == (20, 20, None)
    assert not (tmp_path / "out" / FAILURES_FILE).exists()
