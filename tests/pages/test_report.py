"""Reports of runs: what they say, that they need nothing, and that odd runs have one too."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import os
import re
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.pages.conftest import JOURNAL, TINY, Text, check_alone, write_run
from translate.cli import main
from translate.pages import report as report_file
from translate.pages.changed import changed_settings
from translate.pages.charts import charts_of
from translate.pages.pictures import PAGES, embedded, sample_pages
from translate.pages.report import alarms, best_steps, overview, try_report, write_report
from translate.pages.runs import read_run
from translate.training.run import train
from translate.training.session import Session


def page_of(path: Path) -> Text:
    return Text(write_report(path).read_text(encoding="utf-8"))


def test_a_report_says_what_the_run_holds(tmp_path):
    page = page_of(write_run(tmp_path / "houses"))
    words = re.sub(r"\s+", " ", page.words)
    for said in (
        "houses",
        "pix2pix",
        "finished, 200 steps",
        "worse than the source itself: 0.05",
        "L1 0.1 0.3 0.05",
        "KID (lite0) 0.1 ± 0.01 200 averaged 0.1",
        "collapse the outputs hardly differ from one to another 1 100",
        "--width 16 64",
        "files left out 1",
        "--size 64x64 256",
        f"translate convert {tmp_path / 'houses'} IN OUT",
        f"translate train --resume {tmp_path / 'houses'}",
    ):
        assert said in words, said
    assert "/home/me" not in words  # where the pictures lie is nobody's business
    assert "--lr" not in words  # the default
    steps = [attributes["data-step"] for tag, attributes in page.tags if tag == "figure" and "data-step" in attributes]
    assert steps == ["50", "100", "200"]


def test_a_report_needs_nothing_beside_it_and_runs_nothing_but_its_own(tmp_path):
    run = write_run(tmp_path / "run")
    check_alone(write_report(run).read_text(encoding="utf-8"))
    check_alone(overview(tmp_path)[0].read_text(encoding="utf-8"), links=("run/report.html",))


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\u202e"


def test_text_of_files_is_data(tmp_path):
    journal = [
        {"step": 1, "losses": {EVIL: 1.0}, "alarms": [EVIL], "validation": {EVIL: {"l1": 0.5}}},
        {"step": 2, "losses": {EVIL: 2.0}, "validation": {EVIL: {"l1": 0.4}}},
    ]
    text = "".join(json.dumps(record) + "\n" for record in journal)
    settings = {"data": EVIL, "device": EVIL, EVIL: EVIL}
    run = write_run(tmp_path / "run", journal=text, model=EVIL, settings=settings, versions={EVIL: EVIL})
    written = write_report(run).read_text(encoding="utf-8")
    page = Text(written)
    assert EVIL[:40] in page.words
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes]
    assert len([tag for tag, attributes in page.tags if tag == "script" and "type" not in attributes]) == 1
    assert "\x1b" not in html.unescape(written)
    assert "\u202e" not in written


@pytest.mark.parametrize(
    "broken",
    ["journal", "model", "samples", "nothing but config", "no validation", "imported", "noise", "earlier", "own class"],
)
def test_odd_runs_have_a_report(broken, tmp_path):
    run, said = tmp_path / "run", ""
    if broken == "journal":
        write_run(run, journal='{"step": 1, "losses": {"d": 1}}\n{"step": 2, "losses": 3, "alarms": 4}\nnonsense\n')
        said = "1 line that is no record of a step: left out"
    elif broken == "no validation":
        write_run(run, journal="".join(json.dumps(record) + "\n" for record in JOURNAL[:2]), figures={})
        said = "There are none: no validation with figures so far."
    elif broken == "imported":
        write_run(run, journal="", figures={}, imported={"source": "x"}, data={})
        said = "imported"
    elif broken == "noise":
        write_run(run, source=None, model="dcgan")
        said = f"translate sample {run} OUT"
    elif broken == "own class":
        write_run(run, model="my_models:Sharp")
        said = "--allow my_models:Sharp"
    else:
        write_run(run)
    if broken == "model":
        (run / "model.safetensors").write_bytes(b"\xff" * 100)
        said = "model.safetensors"
    elif broken == "samples":
        (run / "samples" / "step-00000100.png").write_bytes(b"none")
        said = "A picture could not be read: step-00000100.png"
    elif broken == "nothing but config":
        for path in [*run.glob("*.*[!n]"), *run.glob("samples/*")]:
            path.unlink() if path.name != "config.json" else None
        said = "no weights yet"
    elif broken == "earlier":
        config = json.loads((run / "config.json").read_text())
        config = {name: config[name] for name in ("model", "settings", "source", "target", "data")}
        config["settings"] |= {"generator": "resnet", "watch": 3, "blocks": 2}
        (run / "config.json").write_text(json.dumps(config))
        said = "--generator resnet unet"
    assert said in re.sub(r"\s+", " ", page_of(run).words)


def test_what_cannot_be_read_is_said_in_the_terminal_too(tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "one", journal='nonsense\n{"step": 1, "losses": {"d": 1}}\n{"step\n')
    (run / "model.safetensors").write_bytes(b"\xff" * 100)
    assert main(["report", str(run)]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert f"{run / 'model.safetensors'}: " in first
    assert second == f"{run}: metrics.jsonl: 2 lines that are no record of a step: left out"
    assert last.startswith("look at ")
    assert main(["report", str(tmp_path / "runs")]) == 2
    assert f"(for the runs in it: translate report --all {tmp_path / 'runs'})" in capsys.readouterr().err
    assert main(["report", str(run / "model.safetensors")]) == 2
    assert "model.safetensors is a file: give the run folder" in capsys.readouterr().err
    (run / "config.json").write_text("[")
    write_run(tmp_path / "runs" / "other")
    assert main(["report", "--all", str(tmp_path / "runs")]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"left out: {run / 'config.json'} is damaged: ")
    assert last.startswith("1 run: look at ")


def test_worst_and_best_are_shown_where_evaluate_left_them(tmp_path):
    run = write_run(tmp_path / "run")
    assert "Worst and best" not in page_of(run).words
    Image.new("RGB", (30, 20)).save(run / "evaluation.png")
    assert "Worst and best" in page_of(run).words
    (run / "evaluation.png").write_bytes(b"none")
    words = page_of(run).words
    assert "Worst and best" not in words
    assert "A picture could not be read: evaluation.png" in words


@pytest.mark.parametrize(
    "config", [None, "{", "[]", '{"model": "pix2pix"}', '{"model": "x", "settings": {}, "target": {}, "data": []}']
)
def test_what_is_no_run_is_refused_in_one_line(config, tmp_path, capsys):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert main(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line
    assert not (tmp_path / "report.html").exists()


def test_which_step_was_best_by_hand(tmp_path):
    run = read_run(write_run(tmp_path / "run"))
    found = {best.figure: best for best in best_steps(run, charts_of(run.series))}
    assert (found["l1"].step, found["l1"].weights, found["l1"].value, found["l1"].error) == (200, "averaged", 0.1, None)
    assert (found["kid_lite0"].value, found["kid_lite0"].error, found["kid_lite0"].last) == (0.1, 0.01, 0.1)
    assert run.baselines == {"l1": {"mean_target": 0.3, "source": 0.05}, "kid_lite0": {"source": 0.4}}
    assert run.figures == {"l1": 0.1, "kid_lite0": 0.1}
    assert alarms(run) == [("collapse", "the outputs hardly differ from one to another", [100])]


def test_real_pictures_are_no_baseline_to_beat(tmp_path):
    reached = {"real_kid_lite0": 0.001, "nearest_kid_lite0": 0.002, "source_kid_lite0": 0.3, "mean_target_l1": 0.1}
    figures = {"kid_lite0": 0.1, "l1": 0.2, **reached}
    page = page_of(write_run(tmp_path / "run", figures=figures))
    words = re.sub(r"\s+", " ", page.words)
    assert "KID (lite0) 0.1 source itself 0.3" in words  # the tile
    assert "worse than the mean target: 0.1" in words
    assert words.count("(this model is worse)") == 1
    assert "KID (lite0) 0.1 0.001 0.002 0.3" in words


def test_steps_of_a_run_follow_from_its_epochs(tmp_path):
    settings = {"steps": None, "epochs": 10.0, "data": "x", "recipe": "published-1"}
    run = read_run(write_run(tmp_path / "run", settings=settings))
    assert (run.done, run.steps) == (200, 1000)  # 200 steps are two epochs
    assert run.state == "200 of 1,000 steps"
    assert changed_settings(run.model, run.settings) == [("epochs", "10", "200")]


def test_many_and_large_sample_pages_are_kept_small(tmp_path):
    for step in range(1, 41):
        Image.new("L", (8, 8), step).save(tmp_path / f"step-{step:08d}.png")
    pages = sample_pages(tmp_path)
    assert len(pages.shown) == PAGES
    assert (pages.shown[0][0], pages.shown[-1][0], pages.left_out) == (1, 40, 40 - PAGES)
    noise = Image.frombytes("RGB", (300, 200), os.urandom(300 * 200 * 3))
    noise.save(tmp_path / "noise.png")
    small = embedded(tmp_path / "noise.png", budget=20_000)
    assert small.uri.startswith("data:image/jpeg;base64,")
    assert len(small.uri) <= 20_000
    assert (small.width, small.height) == (300, 200)  # shown as large as it was
    data = base64.b64decode(embedded(tmp_path / "step-00000007.png", budget=20_000).uri.partition(",")[2])
    assert data == (tmp_path / "step-00000007.png").read_bytes()
    assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == 7


def test_a_table_of_runs_links_to_their_reports(tmp_path):
    write_report(write_run(tmp_path / "sets" / "a #1"))
    write_run(tmp_path / "b", figures={"l1": 0.4, "ssim": 0.3, "recall_lite0": 0.5})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{}")
    path, count = overview(tmp_path)
    page = Text(path.read_text(encoding="utf-8"))
    assert (path, count) == (tmp_path / "report.html", 2)
    (link,) = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert link == "sets/a%20%231/report.html"
    words = re.sub(r"\s+", " ", page.words)
    assert "b pix2pix houses 200 200 0.4" in words
    assert "SSIM" not in words  # where the prominent ones are, no other fills the room: columns would have gaps
    assert "recall" not in words  # there is room for a few figures, and the rough ones are not among them
    assert f"{tmp_path / 'c'} is not a run folder" in words
    elsewhere, _ = overview(tmp_path, tmp_path / "sets" / "all.html")
    assert 'href="a%20%231/report.html"' in elsewhere.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["report"], "missing RUN"),
        (["report", "RUN", "--all", "."], "unexpected RUN"),
        (["report", "--all", "gone"], "--all gone: no such folder"),
        (["report", "--all", "empty"], "there is no run in it"),
        (["report", "RUN", "--out", "page.pdf"], "--out page.pdf: a page is a file called .html"),
        (["report", "RUN", "--outt", "page.html"], "--out"),
    ],
)
def test_wrong_words_are_refused(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(Path("RUN"))
    Path("empty").mkdir()
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_a_report_that_fails_does_not_fail_the_run(tmp_path, monkeypatch):
    said: list[str] = []
    run = write_run(tmp_path / "run")
    (run / "report.html").mkdir()
    try_report(run, say=said.append)
    monkeypatch.setattr(report_file, "report_text", lambda run: 1 / 0)
    try_report(run, say=said.append)
    assert len(said) == 2
    assert all(line.startswith("the report could not be written: ") for line in said)
    assert "ZeroDivisionError" in said[1]


def test_a_run_that_ends_has_its_report(trained):
    run, _ = trained
    text = Text((run.path / "report.html").read_text(encoding="utf-8")).words
    assert "finished, 6 steps" in text
    assert "Which step was best" in text
    assert run.history["losses.g_l1"][0][0] == 1
    assert {"validation.raw.l1", "validation.averaged.l1", "lr"} <= set(run.history.columns)
    assert run.curves().axes[0].get_title() == "training losses"


@pytest.mark.parametrize("how", ["a signal", "an error"])
def test_a_run_that_is_stopped_has_its_report(how, fronts, tmp_path, monkeypatch):
    plain = Session.advance

    def advance(session, batches):
        plain(session, batches)
        if session.done == 4 and how == "an error":
            raise ZeroDivisionError
        if session.done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "advance", advance)
    with pytest.raises(ZeroDivisionError) if how == "an error" else contextlib.nullcontext():
        train("pix2pix", data=fronts, out=tmp_path / "run", **TINY)
    assert "of 6 steps" in Text((tmp_path / "run" / "report.html").read_text(encoding="utf-8")).words
