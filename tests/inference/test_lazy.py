"""`import translate` is quick, and offers its names all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

import translate
from translate.inference.translator import Translator, load


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_import_loads_nothing_heavy() -> None:
    done = run(
        "import sys, translate\n"
        "assert {'train', 'load', 'Translator', '__version__'} <= set(dir(translate))\n"
        "heavy = {'torch', 'numpy', 'PIL', 'cv2', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert translate.__version__\n"
    )
    assert done.returncode == 0, done.stderr


def test_names_are_the_real_ones() -> None:
    assert translate.load is load
    assert translate.Translator is Translator
    names = {"train", "load", "evaluate", "inspect", "merge_reports", "Translator", "__version__"}
    assert set(translate.__all__) == names
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        translate.lod  # noqa: B018
