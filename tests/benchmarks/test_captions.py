"""The colours that captions name, for a model of single pictures; for one of pairs the README test runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.tables import Main, column, tables
from tests.conditioned import words
from translate.card import Card
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.models import build
from translate.models.stargan import StarGANSettings
from translate.training.folder import save_model


def test_fronts_that_other_captions_change(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], captioned_fronts: Path, tmp_path: Path
) -> None:
    """A model of single pictures gets a front and other words: what the front has of them by chance stands beside."""
    settings = StarGANSettings.make(
        {"condition": "text", "width": 1, "discriminator_width": 1, "blocks": 1, "patch": 1}
    )
    colour, conditions = ImageSpec(channels=3), Conditions(text=words())
    model = build("stargan", settings, source=colour, target=colour, size=32, conditions=conditions)
    card = Card(
        model="stargan",
        settings=settings.as_json(),
        source=colour,
        target=colour,
        size=32,
        conditions=conditions,
    )
    save_model(tmp_path / "model.safetensors", model, card)
    given = ["--model", str(tmp_path / "model.safetensors"), "--data", str(captioned_fronts), "--split", "val"]
    assert bench("captions")([*given, "--device", "cpu"]) == 0
    (rows,) = tables(capsys.readouterr().out)
    assert column(rows, "drawn by") == ["another house's caption", "its own caption", "nothing: the front as it is"]
    assert all(0 <= float(share.rstrip(" %")) < 60 for share in column(rows, "all"))
