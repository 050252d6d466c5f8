"""Reports of shards: each has its own, and together they say what one conversion of all would."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.inference.test_shards import CARD, draw
from translate.cli import main
from translate.inference.report import Failures, Report
from translate.inference.shard_reports import merge_reports
from translate.inference.translator import Translator

Make = Callable[..., Any]


def converted(inverter: Make, source: Path, out: Path, count: int, *, only: tuple[int, ...] = ()) -> None:
    t = Translator(inverter())
    for number in only or range(1, count + 1):
        t.convert(source, out, shard=(number, count))


def test_a_missing_shard_is_named(inverter: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = draw(tmp_path / "in", 9), tmp_path / "out"
    converted(inverter, source, out, 4, only=(1, 3))
    merged = merge_reports(out)
    assert (merged.missing, merged.exit_code, merged.converted) == ((2, 4), 1, 5)
    assert main(["merge-reports", str(out)]) == 1
    said = capsys.readouterr().out
    assert "converted 5 pictures" in said
    assert "not finished: no report of 2/4, 4/4, for 4 of 9 pictures" in said
    converted(inverter, source, out, 4, only=(2, 4))
    assert main(["merge-reports", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["converted"], found["missing"], found["shards"]) == (9, [], 4)


def test_what_all_shards_see_is_counted_once(inverter: Make, tmp_path: Path) -> None:
    """Hidden files, a table's lines without a picture, folders that cannot be listed; and notes are added."""
    source, out = draw(tmp_path / "in", 6), tmp_path / "out"
    (source / "notes.txt").touch()
    (source / "gone").symlink_to(tmp_path / "nowhere", target_is_directory=True)
    Image.new("P", (4, 4)).save(source / "moving.gif")
    Image.new("P", (4, 4)).save(source / "other.gif")
    converted(inverter, source, out, 2)
    single = Translator(inverter()).convert(source, tmp_path / "whole")
    merged = merge_reports(out)
    assert replace(single, **_unlike(merged)) == replace(_plain(merged), **_unlike(merged))
    assert merged.ignored == 2
    assert [note.count for note in merged.notes] == [2]


def _unlike(merged: Any) -> dict[str, Any]:
    return {name: getattr(merged, name) for name in ("destination", "seconds", "shard")}


def _plain(merged: Any) -> Report:
    return Report(**{field.name: getattr(merged, field.name) for field in fields(Report)})


def test_reports_that_do_not_belong_together_are_told(inverter: Make, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 5), tmp_path / "out"
    converted(inverter, source, out, 2, only=(1,))
    Image.new("RGB", (4, 4)).save(source / "new.png")
    converted(inverter, source, out, 2, only=(2,))
    merged = merge_reports(out)
    assert merged.exit_code == 1
    assert "have found other inputs (5 and 6 pictures)" in merged.summary()
    converted(inverter, source, out, 2, only=(1,))
    Translator(inverter(card=CARD.model_copy(update={"step": 7}))).convert(source, out, shard="2/2")
    assert "were converted by other models or settings" in merge_reports(out).summary()


def test_reports_that_cannot_be_added_up_are_refused(inverter: Make, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 5), tmp_path / "out"
    converted(inverter, source, out, 2)
    converted(inverter, source, out, 3)
    with pytest.raises(ValueError, match="by 2 and by 3 shards: name the files"):
        merge_reports(out)
    two = sorted(out.glob("translate-report-*-of-2.json"))
    assert merge_reports(two).converted == 5
    with pytest.raises(ValueError, match="by 2 and by 3 shards: name those of one"):
        merge_reports(sorted(out.glob("translate-report-*.json")))
    with pytest.raises(ValueError, match="several reports of shard 1/2"):
        merge_reports([two[0], two[0]])
    with pytest.raises(ValueError, match="no shard has written a report to it"):
        merge_reports(source)
    with pytest.raises(ValueError, match="cannot be read"):
        merge_reports(tmp_path / "absent.json")
    with pytest.raises(ValueError, match="no reports are given"):
        merge_reports([])
    for text in ("{", "[]", json.dumps({**json.loads(two[0].read_text()), "shard": 3})):
        two[0].write_text(text)
        with pytest.raises(ValueError, match="not a report of a shard: "):
            merge_reports(two)


def test_a_shard_with_many_failures_has_a_file_of_its_own(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failures.__init__, "__kwdefaults__", {"listed": 2})
    for number in range(8):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    converted(inverter, tmp_path / "in", out, 2)
    names = ["translate-failures-1-of-2.txt", "translate-failures-2-of-2.txt"]
    assert sorted(path.name for path in out.glob("*.txt")) == names
    assert [len((out / name).read_text().splitlines()) for name in names] == [4, 4]
    merged = merge_reports(out)
    assert (merged.failed, len(merged.failures)) == (8, 4)
    assert "and 4 more failures" in merged.summary()
    draw(tmp_path / "in", 8)
    converted(inverter, tmp_path / "in", out, 2, only=(1,))
    assert [path.name for path in out.glob("*.txt")] == names[1:]  # the other one's stays


def test_names_that_are_no_text_are_kept_readable(inverter: Make, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = os.fsencode(tmp_path / "in") + b"/\xff\x1b.png"
    try:
        with open(path, "wb") as file:  # noqa: PTH123 - the name is no text
            file.write(b"no picture")
    except OSError:
        pytest.skip("this disk keeps only names in UTF-8")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    converted(inverter, tmp_path / "in", tmp_path / "out", 2)
    merged = merge_reports(tmp_path / "out")
    assert merged.failed == len(merged.failures) == 2
    assert "\x1b" not in merged.summary()
