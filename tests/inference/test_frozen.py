"""What was written by every past version loads, and gives the pixels that it gave.

A folder of `frozen/` is a version's: what its training left of a tiny run, what it exported of that, a picture, and its
translation then. A release that changes how files are written adds one; none is ever changed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.cli import main
from translate.inference.translator import load

VERSIONS = sorted((Path(__file__).parent / "frozen").iterdir())


@pytest.mark.parametrize("form", ["", "model.safetensors", "model.onnx"], ids=["run", "safetensors", "onnx"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_a_past_version_is_understood(
    version: Path, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = load(version / form, device="cpu")(version / "source.png")
    with Image.open(version / "translated.png") as image:
        expected = np.asarray(image).astype(int)
    assert np.abs(np.asarray(made) - expected).max() <= 1
    assert expected.std() > 30
    assert main(["info", str(version / form)]) == 0
    assert f"translate {version.name}" in capsys.readouterr().out
    words = ["convert", str(version / form), str(version / "source.png"), str(tmp_path / "out.png"), "--device", "cpu"]
    assert main(words) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert np.abs(np.asarray(image) - expected).max() <= 1
