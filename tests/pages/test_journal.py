"""What is read of a journal, and its table."""

import json

import pytest

from tests.pages.conftest import JOURNAL
from translate.pages.journal import History, read_journal, series_of


def test_damaged_and_foreign_lines_are_counted_and_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        json.dumps(JOURNAL[1]),
        "{",
        "[1]",
        '{"loss": 3}',
        '{"step": true}',
        '{"step": -1}',
        json.dumps(JOURNAL[0]),
    ]
    path.write_bytes("\n".join([*lines, "\xff" * 2_000_000, '{"step": 7, "lo']).encode("latin-1"))
    journal = read_journal(path)
    assert [record["step"] for record in journal.records] == [50, 100]
    assert journal.ignored == 5 + 2 + 1  # the long line is read in two parts
    assert read_journal(tmp_path / "none").records == ()


def test_series_are_the_numbers_by_their_path():
    odd = {"step": 300, "losses": {"d": float("nan"), "g_l1": "text", "x": True}, "alarms": ["collapse"]}
    series = series_of([*JOURNAL, odd])
    assert series["losses.d"] == [(50, 0.7), (100, 0.5), (200, 0.4)]
    assert series["validation.averaged.l1"] == [(100, 0.25), (200, 0.1)]
    assert series["errors.averaged.kid_lite0"] == [(200, 0.01)]
    assert "losses.x" not in series
    assert "step" not in series


def test_the_history_is_a_table():
    history = History(JOURNAL)
    assert len(history) == 4
    assert history[-1]["losses.g_l1"] == 20.0
    assert history["lr"] == [(50, 2e-4), (100, 1e-4)]
    assert history.columns[:3] == ["step", "epoch", "losses.d"]
    with pytest.raises(KeyError, match=r"losses\.d"):
        history["losses"]
    shown = History([{"step": 1, "alarms": ["<script>", "b"], "x": 0.123456789}])._repr_html_()
    assert "<td>&lt;script&gt;, b</td><td>0.12346</td>" in shown
    assert History([{"step": n} for n in range(1000)])._repr_html_().count("<tr>") == 1 + 60 + 1
