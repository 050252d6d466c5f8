"""The example for Ray: what its workers make of files is what `translate convert` makes of the folder."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import ROOT, SMALL, UNET
from tests.export.conftest import make_card, make_spec, save_model
from translate.images import read, write
from translate.inference.translator import load

EXAMPLE = ROOT / "examples" / "ray_convert.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ray_convert", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model for 16-bit pictures, and such pictures: of colliding names, in sub-folders, transparent, and damaged."""
    card = make_card(make_spec(1, "uint16"), make_spec(1, "uint16"), settings={**SMALL, **UNET})
    save_model(tmp_path / "model.safetensors", card)
    rng = np.random.default_rng(0)
    for name in ("a.png", "a.tif", "sub é/b#1.png", "sub é/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "in" / name, rng.integers(0, 65536, (11, 13, 1), dtype=np.uint16))
    Image.new("LA", (9, 8), (80, 40)).save(tmp_path / "in" / "sub é" / "c.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "in" / ".hidden.png").touch()
    (tmp_path / "in" / "notes.txt").touch()
    return tmp_path


def assert_as_converted(folder: Path, out: Path) -> None:
    load(folder / "model.safetensors", device="cpu").convert(folder / "in", folder / "plain", format="png")
    expected = {path.relative_to(folder / "plain"): path for path in (folder / "plain").rglob("[!.]*.png")}
    assert {path.relative_to(out) for path in out.rglob("*") if path.is_file()} == set(expected)
    assert len(expected) == 4
    for name, path in expected.items():
        made, plain = read(out / name), read(path)
        assert made.pixels.dtype == np.uint16
        assert np.array_equal(made.pixels, plain.pixels)
        assert (made.alpha is None, plain.alpha is None) == (name.name != "c.png",) * 2
        if made.alpha is not None and plain.alpha is not None:
            assert np.array_equal(made.alpha, plain.alpha)
    assert len(np.unique(read(out / "a.png").pixels)) > 50


def test_workers_make_the_files_that_a_conversion_makes(example: ModuleType, folder: Path) -> None:
    model, source, out = str(folder / "model.safetensors"), str(folder / "in"), folder / "out"
    found = list(example.rows(model, source, str(out), format="PNG"))
    assert len(found) == 5
    work = example.Convert(model, format="PNG")
    made = [work({key: np.array([row[key] for row in part]) for key in part[0]}) for part in (found[:2], found[2:])]
    errors = [error for batch in made for error in batch["error"] if error]
    assert len(errors) == 1
    assert "bad.png" in errors[0]
    assert_as_converted(folder, out)
    left = list(example.rows(model, source, str(out), format="PNG"))
    assert [Path(row["source"]).name for row in left] == ["bad.png"]
    assert len(list(example.rows(model, source, str(out), format="PNG", overwrite=True))) == 5


@pytest.mark.slow
def test_ray_runs_it(
    example: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setitem(sys.modules, "ray_convert", example)
    words = [str(folder / "model.safetensors"), str(folder / "in"), str(folder / "out")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(EXAMPLE.parent)]))  # which its workers inherit
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        assert example.main([*words, "--format", "png", "--batch", "2", "--workers", "2"]) == 1
        assert "converted 4 of 5 pictures" in capsys.readouterr().out
        assert_as_converted(folder, folder / "out")
        (folder / "in" / "bad.png").unlink()
        assert example.main([*words, "--format", "png"]) == 0
        assert "nothing to convert" in capsys.readouterr().out
    finally:
        ray.shutdown()
