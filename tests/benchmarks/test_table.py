"""The table of docs/benchmarks.md: its rows run and say what they measured. No time is asserted."""

import json
import math
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))  # benchmarks are no part of the package

from benchmarks import growth, turns
from benchmarks.table import __main__ as whole
from benchmarks.table import report, starting, steps
from tests.benchmarks.tables import column, tables

ROWS = ("pix2pix-64", "reading", "picture-unet", "folder-resnet")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """What a rehearsal of some rows writes down."""
    out = tmp_path_factory.mktemp("table") / "table.json"
    threads = torch.get_num_threads()
    assert whole.main(["--quick", "--rows", ",".join(ROWS), "--out", str(out)]) == 0
    assert torch.get_num_threads() == threads
    return out


def test_each_row_compares_ours_with_theirs(rehearsal):
    found = json.loads(rehearsal.read_text())
    assert tuple(found) == ("pix2pix-64", "reading", "folder-resnet", "picture-unet")  # in the table's own order
    for row in found.values():
        theirs, *others = row["lines"]
        assert theirs["way"].startswith("theirs")
        assert (theirs["ratio"], theirs["low"], theirs["high"]) == (1, 1, 1)
        assert any(line["target"] for line in others)
        for line in others:
            assert line["low"] <= line["ratio"] <= line["high"]
            assert line["ms"] > 0
            if line["floor_ms"]:
                assert line["share"] == pytest.approx(line["floor_ms"] / line["ms"])
                assert line["floor_ms"] == pytest.approx(1000 * line["gflop"] / line["peak"])


def test_ours_makes_the_same_pictures_as_theirs(rehearsal):
    found = json.loads(rehearsal.read_text())
    for row in ("picture-unet", "folder-resnet"):
        lines = {line["way"]: line["decibels"] for line in found[row]["lines"]}
        assert lines["ours"] == "equal" or lines["ours"] > 70
        assert lines["ours, --speed fast"] > 35  # of random weights, which enlarge what is rounded


def test_the_summary_has_every_way_with_a_target(rehearsal):
    found = json.loads(rehearsal.read_text())
    (rows,) = tables(report.summary(found))
    assert set(column(rows, "work")) - {""} == {row["lines"][0]["work"] for row in found.values()}
    assert {row["target"] for row in rows if row["ours"] == "bfloat16"} == {"2"}
    assert {row["ours"] for row in rows} >= {"bfloat16", "float32", "--cache memory", "--speed fast"}


def test_a_further_row_is_added_to_what_the_file_has(rehearsal, tmp_path, capsys, monkeypatch):
    begun = [starting.Begun("a command", 0.5, 40.0, "MB", (0.3, 50))]
    monkeypatch.setitem(whole.BEGINNINGS, "commands", lambda bench: begun)
    out = tmp_path / "table.json"
    out.write_bytes(rehearsal.read_bytes())
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- summary -->\n<!-- end -->\n\n<!-- starting -->\nreplaced\n<!-- end -->\nEnd.\n")
    assert whole.main(["--quick", "--rows", "commands", "--out", str(out), "--page", str(page)]) == 0
    assert set(json.loads(out.read_text())) == {*ROWS, "commands"}
    commands, summary = tables(capsys.readouterr().out)
    assert list(commands[0].values()) == ["a command", "0.50", "0.3", "", "40 MB", "50 MB"]
    assert len(summary) > len(ROWS)
    assert tables(page.read_text()) == [summary, commands]
    assert "replaced" not in page.read_text()
    page.write_text("# Page\n\n<!-- summary -->\n")
    assert whole.main(["--quick", "--rows", "commands", "--out", str(out), "--page", str(page)]) == 2
    assert "there is no line <!-- summary -->" in capsys.readouterr().err


def test_a_row_that_there_is_not_is_one_line(capsys):
    assert whole.main(["--quick", "--rows", "pix2pix-265"]) == 2
    said = capsys.readouterr()
    assert 'did you mean "pix2pix-256"?' in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert whole.main(["--data", "/nowhere"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_work_of_a_step_is_that_of_its_networks():
    """It grows with the pixels, and is that of one pair times the batch."""
    small, large = (steps.flops(steps.Case("pix2pix", size, 8, batch=1)) for size in (64, 128))
    assert 3.5 < large / small < 4.5
    assert steps.flops(steps.Case("pix2pix", 64, 8, batch=3)) == 3 * small


@pytest.mark.slow
def test_a_candidate_has_a_process_with_an_environment_of_its_own(monkeypatch):
    monkeypatch.delenv("OF_THE_CANDIDATE", raising=False)
    make = partial(partial, os.getenv, "OF_THE_CANDIDATE")
    ours = turns.Candidate("ours", make, environment={"OF_THE_CANDIDATE": "7"})
    measured, beside = turns.take_turns([ours], rounds=2, warmup=1, beside={"sleep": lambda: None})
    assert (measured["ours"].made, len(measured["ours"].turns)) == ("7", 2)
    assert len(beside["sleep"]) == 3 * turns.BESIDE
    assert "OF_THE_CANDIDATE" not in os.environ


def refuse():
    raise ValueError("not here")


def test_a_candidate_that_cannot_be_made_says_why():
    with pytest.raises(ValueError, match="not here"):
        turns.take_turns([turns.Candidate("ours", refuse)], rounds=1, warmup=0, isolate=False)


def test_ratios_are_of_neighbouring_turns():
    assert turns.Ratio.of([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == (3.0, 2.0, 4.0)


def test_decibels_of_pictures():
    black = np.zeros((2, 3), np.uint8)
    assert report.psnr(black + np.uint8(255), black) == 0
    assert report.psnr(black, black) == math.inf
    assert report.psnr(None, black) is None


def test_growth_is_drawn_from_what_was_measured(tmp_path, capsys):
    words = ["--out", str(tmp_path), "--only", "pixels", "--sides", "32,64", "--rounds", "1"]
    assert growth.main(words) == 0
    (rows,) = tables(capsys.readouterr().out)
    assert (rows[0]["cost of"], rows[0]["sizes"]) == ("a training step", "1,024 to 4,096")
    plot = tmp_path / growth.PLOT
    plot.unlink()
    assert growth.main(["--out", str(tmp_path), "--draw"]) == 0
    assert plot.stat().st_size > 1000
    assert growth.main(["--out", str(tmp_path / "nothing"), "--draw"]) == 2
    assert "has no figures" in capsys.readouterr().err


def test_slopes_of_powers():
    points = [growth.Point(size, 3.0 * size**2) for size in (1, 10, 100)]
    assert growth.slope(points) == pytest.approx(2)
    assert growth.slope(points[:1]) == 0
