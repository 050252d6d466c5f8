"""`python -m benchmarks.gpu` is ready before there is a GPU: every part runs here at toy size."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.tables import Main

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("cv2", "imagecodecs", "albumentations", "albucore", "kornia", "onnxruntime")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without them."""
    for name in {*ABSENT, *(name for name in sys.modules if name.partition(".")[0] in ABSENT)}:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_every_part_runs_and_writes_its_files(bench: Callable[[str], Main], tmp_path: Path) -> None:
    """On a machine that has neither OpenCV nor what reads rare pictures."""
    words = ["--quick", "--device", "cpu", "--isolate", "false", "--out", str(tmp_path)]
    assert bench("gpu")(words) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    parts = ["steps", "graphs", "feeding", "recipe", "best", "deploying", "checks", "compiled"]
    assert list(found) == parts
    assert not {name: part["error"] for name, part in found.items() if part["error"]}
    ways = {row["way"] for row in found["steps"]["tables"]["steps"]}
    assert ways == {"plain float32, TF32", "float32, TF32", "bfloat16", "bfloat16, channels-last"}
    assert all(row["ms"] > 0 for row in found["steps"]["tables"]["steps"])
    assert [row["workers"] for row in found["feeding"]["tables"]["reading"]] == [0, 0]
    assert {row["what"] for row in found["feeding"]["tables"]["writing"]} == {"checkpoint", "model file"}
    for name in ("recipe", "best"):
        assert found[name]["tables"]["training"][0]["steps"] == 4
        assert (tmp_path / f"{name}.png").is_file()
    assert all(0 <= row["l1"] <= 2 for row in found["recipe"]["tables"]["validation"])
    assert {row["way"] for row in found["deploying"]["tables"]["conversion"]} >= {"torch eager", "torch float32"}
    assert found["checks"]["tables"]["tests"][0]["tests"] >= 2
    page = (tmp_path / "tables.md").read_text()
    assert all(f"## {part['title']}" in page for part in found.values())


def test_training_can_be_imported_without_libraries_that_only_reading_needs() -> None:
    """In a process of its own: modules that are imported twice would be two, and tests would patch the other one."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))\n"
        "import translate.training.run, translate.datasets.batches, translate.inference.translator\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_part_that_fails_hangs_or_crashes_ends_alone(
    bench: Callable[[str], Main], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows until then are kept, and the next part runs."""
    bench("gpu.__main__")
    gpu = importlib.import_module("benchmarks.gpu.__main__")

    def fails(flags, record, clock):
        record.row("rows", number=1)
        raise RuntimeError("no such kernel")

    def hangs(flags, record, clock):
        record.row("rows", number=2)
        time.sleep(600)

    def crashes(flags, record, clock):
        record.row("rows", number=3)
        os._exit(11)

    def works(flags, record, clock):
        record.row("rows", number=4, seconds=clock.left)

    makers = {"fails": fails, "hangs": hangs, "crashes": crashes, "works": works}
    monkeypatch.setattr(gpu, "PARTS", {name: gpu.Part(name, 1.0, run) for name, run in makers.items()})
    monkeypatch.setattr(gpu, "GRACE", 0.0)
    flags = gpu.Flags(out=tmp_path, device="cpu")
    for name in ("hangs", "crashes"):
        gpu.isolated(name, flags, 5.0 if name == "hangs" else 300.0)
    assert gpu.main(["--minutes", "20", "--only", "fails,works", "--device", "cpu", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    found |= {name: gpu.Record.read(tmp_path, name) for name in ("hangs", "crashes")}
    numbers = {name: part["tables"]["rows"][0]["number"] for name, part in found.items()}
    assert numbers == {"fails": 1, "hangs": 2, "crashes": 3, "works": 4}
    assert "no such kernel" in found["fails"]["error"]
    assert "ended with -15, after 5 s" in found["hangs"]["error"]
    assert "ended with 11" in found["crashes"]["error"]
    assert found["works"]["error"] is None
    assert "Failed: " in (tmp_path / "tables.md").read_text()
    assert gpu.main(["--only", "walks", "--out", str(tmp_path)]) == 2


def test_pictures_are_carried_at_load_size(bench: Callable[[str], Main], tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / "pairs" / part).mkdir(parents=True)
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[:, 20:] = 255
        Image.fromarray(pixels).save(tmp_path / "pairs" / part / "1.png")
    words = ["--pairs", str(tmp_path / "pairs"), "--out", str(tmp_path / "out"), "--size", "32"]
    assert bench("gpu.carry")(words) == 0
    with Image.open(tmp_path / "out" / "pairs" / "val" / "1.jpg") as image:
        carried = np.asarray(image)
    assert carried.shape == (32, 64, 3)
    assert carried[:, :31].max() < 10
    assert carried[:, 33:].min() > 245
    assert bench("gpu.carry")(["--unpaired", str(tmp_path / "pairs"), "--out", str(tmp_path / "out")]) == 2
