"""What commands take to start is measured in processes of their own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.tables import Main, column, tables


def test_the_memory_of_a_process_is_its_own_and_not_that_of_who_measures(bench: Callable[[str], Main]) -> None:
    bench("start")  # from now on it is found
    cost = importlib.import_module("benchmarks.start").cost
    held = b"1" * 2**28  # more than the process below has
    code, seconds, peak = cost(["-c", "import sys; x = b'1' * 2**26; sys.exit(3)"])
    assert code == 3
    assert 0 < seconds < 60
    assert 64 < peak < 200 < len(held) / 2**20


def test_what_cannot_be_measured_is_told_in_a_line(
    bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in ((["--rounds", "0"], "--rounds got '0'"), (["--modls", "x"], 'did you mean "--models"?')):
        assert bench("start")(words) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert message in said.err


@pytest.mark.slow
def test_the_table_of_starts(bench: Callable[[str], Main], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bench("start")(["--rounds", "1"]) == 0
    (found,) = tables(capsys.readouterr().out)
    assert column(found, "command")[:2] == ["translate --version", "translate models"]
    *without, torch = map(float, column(found, "peak MB"))
    assert max(without) < torch / 2, "these need no PyTorch"
    assert bench("start")(["--rounds", "1", "--models", str(tmp_path / "nowhere.onnx")]) == 2
    assert "fails: try it alone" in capsys.readouterr().err
