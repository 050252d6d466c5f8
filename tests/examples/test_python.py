"""The lines of the documents that run an exported file without this software, as a new user would."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import ASKED, CONDITIONED, MODELS, ROOT, Exported, differences, pixels, suited
from tests.examples.odd import ODD, Save
from tests.parts import slow_but
from translate.images import ImageSpec, read, to_spec, write

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
LINES, ASK, READ, CARD = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def lay_out(folder: Path, exported: Path, picture: Path) -> None:
    """The files that the page speaks of."""
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "one.png").write_bytes(picture.read_bytes())
    (folder / "facades.onnx").write_bytes(exported.read_bytes())


def by_the_page(folder: Path, exported: Path, picture: Path) -> dict[str, Any]:
    """What its lines have made, by their names."""
    lay_out(folder, exported, picture)
    namespace: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(LINES, "the page", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", slow_but((CONDITIONED,), [*MODELS, CONDITIONED]))
def test_the_lines_give_the_same_pixels(name: str, models: Exported, pictures: list[Path], tmp_path: Path) -> None:
    exported, t = models[name]
    suitable = suited(pictures[-1], name, tmp_path)
    made = by_the_page(tmp_path / "here", exported, suitable)["made"]
    assert differences(made, t, suitable).max() <= 1
    file = tmp_path / "here" / "front-by-hand.png"
    assert file.exists() == (name != "16 bits")
    assert not file.exists() or np.array_equal(pixels(file), made)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["16 bits", "gray to gray"])
def test_the_lines_read_16_bits(name: str, models: Exported, tmp_path: Path) -> None:
    write(tmp_path / "deep.png", np.random.default_rng(0).integers(0, 65536, (33, 47, 1), dtype=np.uint16))
    exported, t = models[name]
    made = by_the_page(tmp_path / "here", exported, tmp_path / "deep.png")["made"]
    assert differences(made, t, tmp_path / "deep.png").max() <= 1


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_the_lines_give_the_condition(
    asked: dict[str, Any], models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    exported, t = models[CONDITIONED]
    page = by_the_page(tmp_path / "here", exported, pictures[-1])
    exec(compile(ASK, "the page", "exec"), page)
    inputs = {"image": page["image"], **page["condition_inputs"](page["card"], **asked)}
    (made,) = page["session"].run(["translated"], inputs)
    assert differences(made[0], t, pictures[-1], **asked).max() <= 1


@pytest.mark.parametrize(("save", "matters"), ODD.values(), ids=ODD)
def test_read_sees_what_translate_sees(save: Save, matters: bool, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels" / "one.png"
    save(Image.fromarray(pixels(pictures[-1])), path)
    namespace: dict[str, np.ndarray] = {}
    with contextlib.chdir(tmp_path):
        exec(compile(READ, "the page", "exec"), namespace)
    expected = to_spec(read(path), ImageSpec(channels=3), name="one.png").astype(int)
    (made,) = namespace["image"]
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= 1
    with Image.open(path) as image:
        naive = np.asarray(image.convert("RGB"))
    assert matters == (naive.shape != expected.shape or np.abs(naive - expected).max() > 1)


@pytest.mark.slow
def test_a_bare_environment(models: Exported, pictures: list[Path], tmp_path: Path) -> None:
    """Nothing but what the page installs; then what `translate` itself needs to run the file, and no PyTorch."""
    exported, t = models["colour"]
    lay_out(tmp_path / "here", exported, pictures[0])
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}

    def run(*words: str | Path, **more: str) -> str:
        done = subprocess.run(
            list(map(str, words)),
            cwd=tmp_path / "here",
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    run(sys.executable, "-m", "venv", tmp_path / "bare")
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (install,) = re.findall(r"^pip (install .*)$", PAGE, re.MULTILINE)
    run(python, "-m", "pip", *install.split())
    run(python, "-c", LINES)
    assert differences(pixels(tmp_path / "here" / "front-by-hand.png"), t, pictures[0]).max() <= 1
    assert run(python, "-c", CARD).strip() == "[255, 255, 255] None"

    needed = ("fire", "imagecodecs", "opencv-python-headless", "pydantic", "tifffile", "tqdm")
    run(python, "-m", "pip", "install", *needed)
    words = ("convert", "facades.onnx", "labels", "fronts", "--device", "cpu")
    run(python, "-m", "translate", *words, PYTHONPATH=str(ROOT))
    assert differences(pixels(tmp_path / "here" / "fronts" / "one.png"), t, pictures[0]).max() <= 1
    assert "torch" not in run(python, "-m", "pip", "list")
