"""Done is what was made of this input by this model with these settings, whatever is called so."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.inference.listing import RECORD
from translate.inference.plan import UNRECORDED
from translate.inference.record import Maker, Record, Stamp, append
from translate.inference.report import Report
from translate.inference.translator import Translator

Make = Callable[..., Any]


def draw(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (shade, shade, shade)).save(path, quality=100)
    return path


def shade(path: Path) -> int:
    with Image.open(path) as image:
        return int(np.asarray(image)[0, 0, 0])


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / RECORD).read_text().splitlines()]


def kept(report: Report) -> list[str]:
    """What is told of outputs that are kept, without the advice."""
    return [f"{note.text.split(' (--')[0]}: {note.first}" for note in report.notes if note.text.startswith("kept")]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    draw(tmp_path / "in" / "a.jpg", 10)
    return tmp_path / "in", tmp_path / "out"


def test_a_name_is_not_taken_for_another_pictures_translation(inverter: Make, folders: tuple[Path, Path]) -> None:
    """`a.jpg` became `a.png`; then there is an `a.png`, whose output has that name."""
    source, out = folders
    translator = Translator(inverter())
    translator.convert(source, out, format="png")
    assert [(line["output"], line["input"]) for line in lines(out)] == [("a.png", "a.jpg")]
    draw(source / "a.png", 200)
    report = translator.convert(source, out, format="png")
    assert kept(report) == ["kept, though made of another input, or another state of it: a.png"]
    assert "--update makes it anew" in report.summary()
    assert (report.converted, report.existing) == (1, 1)
    assert (shade(out / "a.png"), shade(out / "a.jpg.png")) == (245, 245)
    report = translator.convert(source, out, format="png", update=True)
    assert (report.converted, report.existing, kept(report)) == (1, 1, [])
    assert (shade(out / "a.png"), shade(out / "a.jpg.png")) == (55, 245)
    assert translator.convert(source, out, format="png", update=True).existing == 2


def test_each_thing_that_an_output_depends_on_is_told_apart(inverter: Make, folders: tuple[Path, Path]) -> None:
    source, out = folders
    translator = Translator(inverter())
    translator.convert(source, out)
    done = (out / "a.jpg").stat().st_mtime_ns

    def again(translator: Translator = translator, **options: Any) -> list[str]:
        report = translator.convert(source, out, **options)
        assert (report.converted, report.existing) == (0, 1)
        assert (out / "a.jpg").stat().st_mtime_ns == done
        return kept(report)

    assert again() == []
    assert again(batch=1, threads=1, max_pixels=1000) == []
    assert again(Translator(inverter(), tile=128)) == ["kept, though made of other settings: a.jpg"]
    assert again(quality=50) == ["kept, though made of other settings: a.jpg"]
    assert again(resize=4) == ["kept, though made of other settings: a.jpg"]
    other = Translator(inverter(step=7))
    assert again(other) == ["kept, though made of another model, or other weights of it: a.jpg"]
    assert other.convert(source, out, update=True).converted == 1
    done = (out / "a.jpg").stat().st_mtime_ns
    assert again(other) == []
    draw(source / "a.jpg", 77)
    assert again(other) == ["kept, though made of another input, or another state of it: a.jpg"]
    assert other.convert(source, out, update=True).converted == 1
    assert shade(out / "a.jpg") == 255 - 77


def test_outputs_without_a_record_are_kept_and_told(inverter: Make, folders: tuple[Path, Path]) -> None:
    source, out = folders
    draw(source / "deeper" / "b.png", 20)
    draw(out / "deeper" / "b.png", 3)
    for options in ({}, {"update": True}):
        report = Translator(inverter()).convert(source, out, **options)
        assert kept(report) == ["kept, though no record says what it was made of: deeper/b.png"]
        assert shade(out / "deeper" / "b.png") == 3
    assert UNRECORDED in report.summary()
    report = Translator(inverter()).convert(source, out, overwrite=True)
    assert (report.converted, kept(report)) == (2, [])
    assert [line["input"] for line in lines(out / "deeper")] == ["deeper/b.png"]
    assert kept(Translator(inverter()).convert(source, out)) == []


def test_what_a_record_holds_is_never_trusted(inverter: Make, folders: tuple[Path, Path]) -> None:
    """Cut, damaged and absurd lines: no error, and at most an output that no record knows."""
    source, out = folders
    translator = Translator(inverter())
    translator.convert(source, out)
    good = (out / RECORD).read_bytes()
    rng = random.Random(0)
    odd = [
        "[" * 60_000,
        "{",
        "null",
        "7",
        '"a"',
        "\x00",
        "é",
        '{"output": 3}',
        json.dumps(lines(out)[0] | {"size": 1.5}),
    ]
    bad = (
        [line.encode() + b"\n" for line in odd] + [good[:cut] for cut in range(0, len(good) - 2, 7)] + [b"x" * 200_000]
    )
    for _ in range(100):
        changed = bytearray(good)
        changed[rng.randrange(len(good))] = rng.randrange(256)
        bad.append(bytes(changed))
    for content in bad:
        (out / RECORD).write_bytes(content)
        assert translator.convert(source, out).existing == 1
        (out / RECORD).write_bytes(content + b"\n" + good)
        assert kept(translator.convert(source, out)) == []
    (out / RECORD).write_bytes(good[:-20])  # the last line of a process that was killed
    draw(source / "b.jpg", 30)
    translator.convert(source, out)
    assert json.loads((out / RECORD).read_bytes().splitlines()[-1])["output"] == "b.jpg"
    assert kept(translator.convert(source, out)) == ["kept, though no record says what it was made of: a.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes on Windows")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_record_that_is_no_file_is_one_line(inverter: Make, folders: tuple[Path, Path], kind: str) -> None:
    source, out = folders
    out.mkdir()
    (out.parent / "elsewhere").write_text("not ours\n")
    if kind == "link":
        (out / RECORD).symlink_to(out.parent / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(out / RECORD)
    else:
        (out / RECORD).mkdir()
    with pytest.raises(
        ValueError, match=r"\.translate-done\.jsonl: cannot be read: it is no regular file: take it away"
    ):
        Translator(inverter()).convert(source, out)
    assert (out.parent / "elsewhere").read_text() == "not ours\n"


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for n in range(50):
            append(tmp_path / RECORD, json.dumps({"number": number, "n": n, "more": "x" * 300}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path)) == 200


def test_the_last_line_of_an_output_counts(tmp_path: Path) -> None:
    for model in ("one", "other"):
        maker = Maker(model, {"quality": 3}, lambda name: {})
        for n in range(20):
            maker.write(tmp_path / f"{n}.png", f"é\udcff{n}", Stamp(n, 2**62 + n))
    record = Record(tmp_path)
    assert all(record.find(f"{n}.png") == maker.made(f"é\udcff{n}", Stamp(n, 2**62 + n)) for n in range(20))
    assert record.find("20.png") is None


def test_what_was_replaced_in_place_has_no_line(inverter: Make, folders: tuple[Path, Path]) -> None:
    source, _ = folders
    Translator(inverter()).convert(source, source, in_place=True)
    assert shade(source / "a.jpg") == 245
    assert not (source / RECORD).exists()


def test_outputs_that_are_inputs_again_count_no_record(inverter: Make, folders: tuple[Path, Path]) -> None:
    source, out = folders
    Translator(inverter()).convert(source, out)
    assert Translator(inverter()).convert(out, out.parent / "twice").ignored == 0
