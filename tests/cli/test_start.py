"""Commands that only tell something start in a fraction of a second: they read a table instead of importing PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from translate.cli import COMMANDS
from translate.command_help import HELP
from translate.command_settings import SECTIONS, sections, training_classes
from translate.command_table import FILE, described, known_to_any, made, table
from translate.help import rows
from translate.models import MODELS
from translate.settings import RunSettings

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "kornia",
    "cv2",
    "onnxruntime",
    "pandas",
    "matplotlib",
    "numpy",
    "PIL",
    "scipy",
)


@pytest.fixture(autouse=True)
def real_default(monkeypatch):
    """That of the one field for which `tests/conftest.py` sets another."""
    monkeypatch.setattr(RunSettings.model_fields["metric_features"], "default", "auto")


def test_the_table_that_help_reads_is_current():
    assert FILE.read_text(encoding="utf-8") == made(), "settings have changed: python -m translate.command_table"


def test_the_table_says_of_every_command_and_model_what_their_settings_say():
    assert set(SECTIONS) <= set(COMMANDS) == set(HELP)
    for command, model in [*((command, None) for command in COMMANDS), *(("train", model) for model in MODELS)]:
        assert described(command, model) == [(title, rows(cls)) for title, cls in sections(command, model)]
    assert table().models == {name: model.summary for name, model in MODELS.items()}
    assert known_to_any() == {n for model in MODELS for cls in training_classes(model) for n in cls.known_names()}


def test_help_and_what_is_refused_come_without_pytorch():
    told = [["models"], ["--version"], ["--help"], *([command, "--help"] for command in COMMANDS)]
    told += [["train", model, "--help-all"] for model in MODELS] + [["train", "pix2pix", "--recipe", "sharp", "--help"]]
    refused = [["train", "pix2pixx"], ["train", "cut", "--epchs", "3"], ["train"], ["modls"], ["convert", "one"]]
    script = (
        "import contextlib, io, json, sys\n"
        "from translate.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "        code = main(words)\n"
        "    print(json.dumps([code, sorted(set(json.loads(sys.argv[2])) & set(sys.modules))]))\n"
    )
    words = [sys.executable, "-c", script, json.dumps(told + refused), json.dumps(HEAVY)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in results] == [0] * len(told) + [2] * len(refused)
    for asked, (_, loaded) in zip(told + refused, results, strict=True):
        assert not loaded or asked == ["convert", "one"], f"translate {' '.join(asked)} imports {loaded}"
        assert "torch" not in loaded, f"translate {' '.join(asked)} imports PyTorch"
