"""Shards: each input is converted by exactly one, under the name that it has without; their reports add up."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.card import Card
from translate.images import ImageSpec
from translate.inference.listing import RECORD
from translate.inference.options import ConvertSettings
from translate.inference.plan import make_plan
from translate.inference.process import Interrupted
from translate.inference.record import append
from translate.inference.shard_reports import merge_reports
from translate.inference.shards import KUBERNETES, PARALLEL, SLURM, VARIABLES, Shard, shard_of
from translate.inference.stream import convert_stream
from translate.inference.translator import Translator

Make = Callable[..., Any]
CARD = Card(model="pix2pix", source=ImageSpec(channels=3), target=ImageSpec(channels=3), size=64)


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *(f"SLURM_ARRAY_TASK_{what}" for what in ("MIN", "MAX", "COUNT", "STEP"))):
        monkeypatch.delenv(name, raising=False)


def draw(folder: Path, count: int, *, damaged: int | None = None) -> Path:
    """Pictures of one colour each, half of them in a folder below."""
    for number in range(count):
        path = folder / ("sub" if number % 2 else ".") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == damaged:
            path.write_bytes(b"no picture")
        else:
            Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


# Which inputs


@pytest.mark.parametrize("seed", range(6))
def test_every_input_is_of_exactly_one_shard_and_keeps_its_name_whatever_n_is(tmp_path: Path, seed: int) -> None:
    """Names that collide are those of one folder, or of a list; samples of one picture stay together."""
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 40)):
        name = rng.choice(["a", "b", "a.jpg", "a.b", "é中"]) + rng.choice([".png", ".jpg", ".bmp", ".gif", ".tif"])
        path = tmp_path / "in" / rng.choice(["", "x", "x/y", "z z"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    samples = rng.choice([None, 3])
    card = CARD.model_copy(update={"conditions": CARD.conditions.model_copy(update={"z": 4})})
    several = [[tmp_path / "in"], sorted((tmp_path / "in").iterdir())][seed % 2]
    source = several if seed % 2 else several[0]

    def jobs(**shard: str) -> list[tuple[Path, Path]]:
        settings = ConvertSettings.make({"format": rng.choice(["png"]), "samples": samples, **shard})
        plan = make_plan(source, tmp_path / "out", card=card, settings=settings)
        found.append((plan.listed, plan.checksum))
        return [(job.source, job.target) for job in plan.jobs]

    found: list[tuple[int, str]] = []
    whole = jobs()
    assert len({target for _, target in whole}) == len(whole)
    for count in (1, 2, 3, 7, len(whole) + 2):
        del found[:]
        parts = [jobs(shard=f"{number}/{count}") for number in range(1, count + 1)]
        assert sorted(job for part in parts for job in part) == sorted(whole)
        inputs = [{source for source, _ in part} for part in parts]
        assert sum(map(len, inputs)) == len(set().union(*inputs))
        assert max(map(len, inputs)) - min(map(len, inputs)) <= 1
        assert set(found) == {(len(whole), found[0][1])}


def test_shards_that_find_other_inputs_are_told_apart_by_their_checksum(tmp_path: Path) -> None:
    draw(tmp_path / "in", 3)

    def checksum() -> str:
        return make_plan(tmp_path / "in", tmp_path / "out", card=CARD, settings=ConvertSettings(shard="1/2")).checksum

    before = checksum()
    assert checksum() == before
    (tmp_path / "in" / "0.png").rename(tmp_path / "in" / "00.png")
    assert checksum() != before


def test_a_shard_takes_no_partial_file_that_another_may_be_writing(tmp_path: Path) -> None:
    names = ["short", "x" * 50 + "1", "x" * 50 + "2"]
    for name in names:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.png").touch()
        (tmp_path / "out" / f".{name[:40]}-0123456789a{names.index(name)}.png").touch()

    def partial(**shard: str) -> list[str]:
        settings = ConvertSettings.make(shard)
        plan = make_plan(tmp_path / "in", tmp_path / "out", card=CARD, settings=settings)
        return sorted(path.name[:3] for path in plan.partial_files)

    assert partial() == [".sh", ".xx", ".xx"]
    assert partial(shard="1/3") == [".sh"]
    assert partial(shard="2/3") == []


def test_outputs_that_another_shard_writes_meanwhile_are_no_inputs(tmp_path: Path) -> None:
    """Into a folder among the inputs, which does not exist when the first shard begins."""
    source, out = draw(tmp_path / "in", 3), tmp_path / "in" / "sub" / "out"

    def other_shard(name: str) -> None:
        out.mkdir(exist_ok=True)
        (out / f"made-{Path(name).name}").touch()

    plan = make_plan(source, out, card=CARD, settings=ConvertSettings(shard="1/2"), seen=other_shard)
    assert (plan.listed, [job.name for job in plan.jobs]) == (3, ["0.png", "sub/1.png"])


# What the flag may be


@pytest.mark.parametrize("value", ["2/3", (2, 3), [2, 3], Shard(2, 3), " 2 / 3"])
def test_a_shard_is_given_in_several_ways(value: Any) -> None:
    assert ConvertSettings.make({"shard": value}).shard == "2/3"
    assert ConvertSettings.make({"shard": "none"}).shard is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0/4", "shards are numbered from 1 to N: the 4 shards here are 1/4 to 4/4"),
        ("5/4", "shards are numbered from 1 to N"),
        ((0, 4), "shards are numbered from 1 to N"),
        ("x/4", "give I/N, such as 1/4"),
        ("1/x", "there are from 1 to 1,000,000 shards"),
        ("1/0", "there are from 1 to 1,000,000 shards"),
        ("-1/4", "give I/N, such as 1/4"),
        ("1.5/4", "give I/N, such as 1/4"),
        ("4", "of how many shards"),
        ("1/", "give I/N"),
        ("/4", "give I/N"),
        ("1/2/3", "give I/N"),
        ((1, 2, 3), "give I/N"),
        ("\u0661/4", "give I/N"),
        ("auto", "none of SLURM_ARRAY_TASK_ID .* is set: give I/N"),
        ("auto/4", "none of SLURM_ARRAY_TASK_ID .* is set: give I/4"),
        ("auto/0", "there are from 1 to 1,000,000 shards"),
    ],
)
def test_what_is_no_shard_is_refused_in_one_line(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        ConvertSettings.make({"shard": value})
    assert str(raised.value).startswith("--shard got ")
    assert "\n" not in str(raised.value)


def slurm(task: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("array", "first", "last", "step", "reported"),
    [
        (range(4), 0, 3, 1, 1),
        (range(1, 5), 1, 4, 1, 1),
        (range(100, 104), 100, 103, 1, 1),
        (range(1, 8, 2), 1, 7, 2, 2),
        ([1, 3, 5, 7], 1, 7, 2, 1),  # a list, for which a step of 1 may be reported
        ([9], 9, 9, 1, 1),
    ],
    ids=str,
)
def test_slurm_arrays_begin_anywhere_and_may_have_steps(
    array: Any, first: int, last: int, step: int, reported: int
) -> None:
    count = len(array)
    for value in ("auto", f"auto/{count}"):
        made = [shard_of(value, slurm(task, first, last, count, reported)) for task in array]
        assert made == [Shard(number, count) for number in range(1, count + 1)]


def test_indexed_jobs_begin_at_0_and_gnu_parallel_at_1() -> None:
    assert [shard_of("auto/3", {KUBERNETES: str(n)}) for n in range(3)] == [Shard(n, 3) for n in (1, 2, 3)]
    assert [shard_of("auto/3", {PARALLEL: str(n)}) for n in (1, 2, 3)] == [Shard(n, 3) for n in (1, 2, 3)]
    assert [shard_of("auto/3", {SLURM: str(n)}) for n in (1, 2, 3)] == [Shard(n, 3) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("value", "environ", "said"),
    [
        ("auto", {KUBERNETES: "0"}, "not of how many: give auto/N"),
        ("auto", {PARALLEL: "1"}, "not of how many: give auto/N"),
        ("auto", {SLURM: "1"}, "SLURM_ARRAY_TASK_COUNT.* is not set: give auto/N"),
        ("auto/3", {KUBERNETES: "3"}, "is 3, and goes from 0 to 2 for 3 shards"),
        ("auto/3", {PARALLEL: "4"}, "is 4, and goes from 1 to 3 for 3 shards"),
        ("auto/3", {PARALLEL: "0"}, "is 0, and goes from 1 to 3 for 3 shards"),
        ("auto/3", {SLURM: "0"}, "no place among 3 tasks from 1 to 3"),
        ("auto/3", {SLURM: "two"}, "SLURM_ARRAY_TASK_ID is 'two', no number"),
        ("auto/4", slurm(3, 3, 3, 1), "has 1 task, not 4"),  # one that failed is submitted again
        ("auto/4", slurm(3, 3, 7, 2), "has 2 tasks, not 4"),
        ("auto", slurm(3, 1, 7, 3), r"no place among 3 tasks from 1 to 7: submit the array as --array=1-3"),
        ("auto/4", {SLURM: "1", PARALLEL: "2"}, "SLURM_ARRAY_TASK_ID and PARALLEL_SEQ are set at once"),
        ("auto", {SLURM: "1", KUBERNETES: "2"}, "SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are set at once"),
    ],
)
def test_a_scheduler_that_does_not_say_which_shard_is_refused(value: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        shard_of(value, environ)


def test_a_conversion_reads_them_from_the_environment(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KUBERNETES, "1")
    report = Translator(inverter()).convert(draw(tmp_path / "in", 3), tmp_path / "out", shard="auto/2")
    assert (report.shard, report.converted) == (Shard(2, 2), 1)


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert shard_of("auto/2", {SLURM: "", PARALLEL: "2"}) == Shard(2, 2)


def test_a_shard_of_one_picture_is_refused(inverter: Make, tmp_path: Path) -> None:
    draw(tmp_path / "in", 1)
    t = Translator(inverter())
    with pytest.raises(ValueError, match=r"is for a folder or several inputs, and .*0\.png is one"):
        t.convert(tmp_path / "in" / "0.png", tmp_path / "out.png", shard="1/2")
    with pytest.raises(ValueError, match="is for a folder or several inputs"):
        convert_stream(t, None, tmp_path / "out.png", settings=ConvertSettings(shard="1/2"))
    with pytest.raises(ValueError, match="--in-place keeps no record"):
        t.convert(tmp_path / "in", tmp_path / "in", in_place=True, shard="1/2")


# What it leaves


def test_shards_at_once_make_the_files_of_one_conversion(inverter: Make, tmp_path: Path) -> None:
    """Into one folder that does not exist, begun in the same moment, each with a report and lines in the record."""
    source, out = draw(tmp_path / "in", 23, damaged=7), tmp_path / "out"
    Translator(inverter()).convert(source, tmp_path / "whole")
    together = threading.Barrier(4)

    def part(number: int) -> Any:
        t = Translator(inverter())
        together.wait()
        return t.convert(source, out, shard=(number, 4))

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(part, range(1, 5)))
    assert files(out) == files(tmp_path / "whole")
    assert [report.done for report in reports] == [6, 6, 6, 5]
    assert "shard 4/4: 5 of 23 pictures" in reports[3].summary()
    recorded = [json.loads(line) for path in out.rglob(RECORD) for line in path.read_text().splitlines()]
    assert sorted(line["input"] for line in recorded) == sorted(files(out))
    merged = merge_reports(out)
    assert (merged.converted, merged.failed, merged.existing, merged.listed) == (22, 1, 0, 23)
    assert (merged.missing, merged.problems, merged.exit_code) == ((), (), 1)
    assert "sub/7.png" in merged.failures[0].reason
    assert Translator(inverter()).convert(source, out).existing == 22  # the record knows all of them: no note
    assert not [path for path in out.rglob(".*") if path.name != RECORD]


def test_a_shard_skips_updates_and_resumes_its_own_alone(inverter: Make, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 9), tmp_path / "out"
    stopped = Translator(inverter(after=_stop_at(2)))
    with pytest.raises(Interrupted, match="of 5 pictures; the same command continues"):
        stopped.convert(source, out, shard="1/2", batch=1, threads=1)
    with pytest.raises(ValueError, match="no shard has written a report"):
        merge_reports(out)
    t = Translator(inverter())
    there = len(files(out))
    assert 0 < there < 5
    resumed = t.convert(source, out, shard="1/2")
    assert (resumed.converted, resumed.existing) == (5 - there, there)
    assert len(files(out)) == 5
    t.convert(source, out, shard="2/2")
    os.utime(source / "0.png", ns=(1, 1))  # of the first shard, and this one
    os.utime(source / "sub" / "1.png", ns=(1, 1))
    first, second = (t.convert(source, out, shard=(n, 2), update=True) for n in (1, 2))
    assert first.converted + second.converted == 2
    assert t.convert(source, out, shard="2/2", overwrite=True).converted == 4


def _stop_at(passes: int) -> Callable[[int], None]:
    def stop(passed: int) -> None:
        if passed > passes:
            raise KeyboardInterrupt

    return stop


def test_more_shards_than_pictures_is_no_error(inverter: Make, tmp_path: Path) -> None:
    source, out = draw(tmp_path / "in", 2), tmp_path / "out"
    t = Translator(inverter())
    reports = [t.convert(source, out, shard=(number, 3)) for number in (1, 2, 3)]
    assert [report.converted for report in reports] == [1, 1, 0]
    assert "shard 3/3: 0 of 2 pictures" in reports[2].summary()
    assert merge_reports(out).exit_code == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures found"):
        t.convert(tmp_path / "empty", out, shard="1/3")


def test_pixels_are_those_without_shards(inverter: Make, tmp_path: Path) -> None:
    """Derived seeds and batches depend on no neighbour: 16 bits, several samples of names that collide."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "a.tif", "b.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        deep = rng.integers(0, 65536, (5, 4), dtype=np.uint16)
        Image.fromarray(deep).save(tmp_path / "in" / name)
    t = Translator(inverter((1, "uint16"), (1, "uint16")))
    t.convert(tmp_path / "in", tmp_path / "whole", format="png")
    for number in (1, 2):
        t.convert(tmp_path / "in", tmp_path / "out", format="png", shard=(number, 2))
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert set(files(tmp_path / "out")) == {"a.png", "a.tif.png", "b.png"}


def test_lines_of_many_that_append_at_once_stay_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(tmp_path / RECORD, json.dumps([n] * 50)), range(300)))
    lines = [json.loads(line) for line in (tmp_path / RECORD).read_text().splitlines()]
    assert sorted(line[0] for line in lines) == list(range(300))
