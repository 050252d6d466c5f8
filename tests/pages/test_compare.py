"""Comparisons of runs: figures against an independent computation, refusals, and what the pages hold."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import translate
from tests.pages.conftest import TINY, Text, check_alone, picture, write_run
from translate.cli import main
from translate.evaluation.intervals import paired_interval
from translate.pages.comparison import Comparison, Difference, Example, FigureRow
from translate.pages.pictures import alike
from translate.pages.runs import read_run
from translate.training.compare import CompareSettings, compare_runs
from translate.training.run import Run, train


@pytest.fixture(scope="module")
def compared(trained: tuple[Run, Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the pages of two runs, and what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    settings = CompareSettings(out=folder / "all.html", ab=folder / "choose.html", count=3, device="cpu")
    return folder, compare_runs([run.path for run in trained], settings, say=lambda _: None)


def test_figures_are_those_of_the_pictures_that_a_user_gets(compared, trained, fronts):
    each: list[list[float]] = []
    for run in trained:
        t = translate.load(run.path, device="cpu")
        pairs = [np.asarray(Image.open(path), np.float64) for path in sorted((fronts / "val").iterdir())]
        made = [np.asarray(t(Image.fromarray(pair[:, :32].astype(np.uint8))), np.float64) for pair in pairs]
        each.append([np.abs(a - b[:, 32:]).mean() / 255 for a, b in zip(made, pairs, strict=True)])
    said = next(line for line in compared[1].splitlines() if line.startswith("L1"))
    first, second, difference, low, high = map(float, re.findall(r"-?\+?\d\.\d+", said))
    assert (first, second) == pytest.approx([np.mean(values) for values in each], rel=1e-3)
    assert difference == pytest.approx(second - first, abs=2e-3)
    interval = paired_interval(each[1], each[0])
    assert interval is not None
    assert (low, high) == pytest.approx(interval, abs=2e-3)


def test_the_text_has_settings_and_every_figure(compared):
    said = compared[1].splitlines()
    assert re.fullmatch(r"settings that differ +narrow +wide", said[0])
    assert any(re.fullmatch(r"width +4 +6", line) for line in said)
    assert any(re.fullmatch(r"seed +0 +1", line) for line in said)
    assert not any(line.startswith(("out ", "data ")) for line in said)
    assert any(line.startswith("4 pictures (val)") for line in said)
    for figure in ("L1", "PSNR", "SSIM", "perceptual distance (lite0)", "KID (lite0)"):
        (line,) = [line for line in said if line.startswith(figure)]
        assert re.search(r"\([+-][\d.]+ to [+-][\d.]+\) (better|worse|no difference shown)$", line), figure


def test_the_page_shows_the_same_pictures_of_each(compared):
    text = (compared[0] / "all.html").read_text(encoding="utf-8")
    check_alone(text)
    page = Text(text)
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert len(shown) == 3 * 4
    assert [alt.partition(" of ")[0] for alt in shown[:4]] == ["source", "narrow", "wide", "target"]
    for words in ("Settings that differ", "loss: g_l1", "L1 on unseen pictures", "3 of the 4 pictures"):
        assert words in page.words, words


def test_the_page_of_choices_does_not_tell_whose_an_output_is(compared):
    text = (compared[0] / "choose.html").read_text(encoding="utf-8")
    check_alone(text)
    page = Text(text)
    assert not re.search(r"narrow|wide", page.words)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["runs"] == ["narrow", "wide"]
    assert len(data["items"]) == 3
    assert {uri[:15] for item in data["items"] for uri in (item["source"], *item["outputs"])} == {"data:image/png;"}


def test_outputs_of_a_picture_are_files_of_one_kind():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    kinds = {shown.uri[:15] for shown in alike([noise, picture(7, size=64)], budget=10_000)}
    assert kinds == {"data:image/jpeg"}  # a PNG of the flat one would be small


@pytest.mark.parametrize(
    ("difference", "better", "text", "verdict"),
    [
        (Difference(-0.1, -0.15, -0.05), "less", "-0.100 (-0.150 to -0.050)", "better"),
        (Difference(-0.1, -0.15, -0.05), "more", "-0.100 (-0.150 to -0.050)", "worse"),
        (Difference(0.3, -0.1, 0.7), "more", "+0.30 (-0.10 to +0.70)", "no difference shown"),
        (Difference(3.0, 1.0, 5.0), None, "+3.0 (+1.0 to +5.0)", ""),
        (Difference(0.25, None, None), "less", "+0.25", ""),
        (Difference(0.0, 0.0, 0.0), "less", "+0.0000 (+0.0000 to +0.0000)", "no difference shown"),
    ],
)
def test_a_difference_is_judged_by_its_interval(difference, better, text, verdict):
    assert difference.text == text
    assert difference.verdict(better) == verdict


def test_names_of_files_are_data(tmp_path):
    evil = '<img src=x onerror="alert(1)">\x1b'
    settings = {"init_from": "/home/me/first/run", "device": f"cpu\n{evil}", "data": "/home/me/x"}
    runs = [read_run(write_run(tmp_path / "a")), read_run(write_run(tmp_path / "b", settings=settings))]
    example = Example(evil, picture(0), (picture(100), picture(200)), None)
    row = FigureRow("l1", "less", (0.1, 0.2), (None, None), (Difference(0.1, 0.05, 0.15),))
    found = Comparison(tuple(runs), (evil, "b"), (row,), (example,), 1, "val")
    for text in (found.page(), found.choices_page()):
        check_alone(text)
        assert not [tag for tag, attributes in Text(text).tags if "onerror" in attributes]
        assert "\x1b" not in text
    said = found.describe()
    assert "\x1b" not in said
    assert not any(line.startswith("<img") for line in said.splitlines())  # a value's line end begins no line
    assert dict(found.settings)["init_from"] == ["", "run"]  # where it lay is left out
    assert "/home/me" not in said


def refused(words: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["compare", *map(str, words)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_runs_that_do_not_compare_are_refused_saying_why(trained, fronts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = trained[0].path
    small = train("pix2pix", data=fronts, out=tmp_path / "small", **{**TINY, "size": 24, "steps": 1}).path
    back = train("pix2pix", data=fronts, direction="BtoA", out=tmp_path / "back", **{**TINY, "steps": 1}).path
    other = Path(shutil.copytree(one, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    config["data"]["fingerprint"] = "of other pictures"
    (other / "config.json").write_text(json.dumps(config))
    assert "the size of training: 32 pixels, and 24 pixels" in refused([one, small], capsys)
    assert "--direction: AtoB, and BtoA" in refused([one, back], capsys)
    assert "were not trained on the same pictures: give --data FOLDER" in refused([one, other], capsys)
    assert "the same run is named twice" in refused([one, one], capsys)
    assert "missing RUN" in refused([one], capsys)
    assert "two runs are chosen between, not 3" in refused([one, other, small, "--ab", "x.html"], capsys)
    assert "--ab x.html changes nothing with --count 0" in refused([one, other, "--ab", "x.html", "--count", 0], capsys)
    assert "not a run folder" in refused([one, fronts], capsys)
    assert "a page is a file called .html" in refused([one, other, "--out", "x"], capsys)
    assert not list(tmp_path.glob("*.html"))

    assert main(["compare", str(one), str(other), "--count", "0"]) == 0  # settings and curves need no pictures
    assert "look at comparison.html" in capsys.readouterr().out
    assert "<img" not in Path("comparison.html").read_text(encoding="utf-8")
    words = ["compare", str(one), str(other), "--data", str(fronts), "--split", "test", "--out", "again.html"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "3 pictures (test)" in said
    assert "+0.0000 (+0.0000 to +0.0000) no difference shown" in said  # a copy of itself
