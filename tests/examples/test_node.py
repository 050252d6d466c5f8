"""The Node.js client of the documents gives the pixels that PyTorch gives."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.conftest import MODELS, differences, pixels
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


def test_sideways_and_transparent_pictures_are_what_they_look_like(
    node: str, client: Client, models: Exported, pictures: list[Path], tmp_path: Path
) -> None:
    """The camera's remark on which side is up, and holes that are laid on white, as in training."""
    exported, t = models["colour"]
    picture = Image.fromarray(pixels(pictures[-1]))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "sideways.png", exif=exif)
    clear = picture.convert("RGBA")
    clear.paste((0, 0, 0, 0), (10, 10, 40, 30))
    clear.save(tmp_path / "clear.png")
    for name in ("sideways.png", "clear.png"):
        done = run(node, client("node"), exported, tmp_path / name, tmp_path / "out.png")
        assert done.returncode == 0, done.stderr
        made, expected = pixels(tmp_path / "out.png").astype(int), np.asarray(t(tmp_path / name).convert("RGB"))
        assert made.shape == expected.shape
        assert np.abs(made - expected).max() <= 1
