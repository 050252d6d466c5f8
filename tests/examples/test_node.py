"""The Node.js client of the documents gives the pixels that PyTorch gives."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import MODELS, differences, pixels
from tests.examples.odd import ODD, Save
from translate.images import read, to_spec
from translate.inference.translator import Translator

Client = Callable[[str], Path]
Exported = dict[str, tuple[Path, Translator]]


def run(node: str, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [node, folder / "translate.mjs", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_pixels(
    name: str, node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    exported, t = models[name]
    for picture in pictures:
        done = run(node, client("node"), exported, picture, tmp_path / "out.png")
        assert done.returncode == 0, done.stderr
        assert differences(pixels(tmp_path / "out.png"), t, picture).max() <= 1


@pytest.mark.parametrize(("save", "matters"), ODD.values(), ids=ODD)
def test_pictures_are_what_they_look_like(
    save: Save, matters: bool, node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    """As the camera noted, on white and in sRGB, as in training. Colour engines round differently here and there."""
    exported, t = models["colour"]
    save(Image.fromarray(pixels(pictures[-1])), tmp_path / "odd.png")
    expected = t(to_spec(read(tmp_path / "odd.png"), t.card.source, name="odd.png")).astype(int)
    done = run(node, client("node"), exported, tmp_path / "odd.png", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    made = pixels(tmp_path / "out.png")
    assert made.shape == expected.shape
    assert np.abs(made - expected).mean() < 0.5
    with Image.open(tmp_path / "odd.png") as image:
        naive = t(np.asarray(image.convert("RGB")))
    assert matters == (naive.shape != expected.shape or np.abs(naive - expected).mean() > 2)
