"""Pairs are spoiled on purpose, and what is found of them is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.tables import Main, column, tables


@pytest.mark.slow
def test_the_table_of_what_is_found(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], fronts: Path
) -> None:
    assert bench("inspection")(["--data", str(fronts), "--rounds", "1", "--pixels", "3"]) == 0
    (found,) = tables(capsys.readouterr().out)
    assert column(found, "spoiled") == ["nothing", "exchanged", "strangers", "shifted", "right ones beside them"]
    assert column(found, "cases")[1:4] == ["1", "1", "1"]
    assert column(found, "false alarms")[::4] == ["0", "0"]
    assert bench("inspection")([]) == 2
