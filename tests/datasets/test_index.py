"""A set that was read once is not read again, unless something of it has changed."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.datasets.preparation import index
from translate.datasets.prepare import Prepared, prepare
from translate.settings import DataSettings

COUNT = index.MIN_FILES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs side by side, among them names that are hard to keep, last changed some time ago."""
    (tmp_path / "set" / "train").mkdir(parents=True)
    names = ["new\nline.png", "é中.png", " .png", *(f"{i}.png" for i in range(COUNT - 3))]
    rng = np.random.default_rng(0)
    for name in names:
        save(tmp_path / "set" / "train" / name, rng.integers(0, 256, (8, 16, 3), dtype=np.uint8))
    return tmp_path / "set"


def save(path: Path, pixels: np.ndarray, *, at: int = 10**9) -> None:
    Image.fromarray(pixels).save(path)
    os.utime(path, (at, at))


def run(folder: Path, *, beside: Path | None = None, **given: Any) -> tuple[Prepared, list[str]]:
    lines: list[str] = []
    settings = DataSettings.make({"data": folder, "size": 8, "layout": "side-by-side", **given})
    return prepare(settings, beside=beside, say=lines.append), lines


def test_a_second_start_reads_no_picture_and_finds_the_same(folder, kept, decoded):
    first = run(folder)
    assert sorted(decoded) == sorted(path.name for path in (folder / "train").iterdir())
    decoded.clear()
    assert run(folder) == first
    assert decoded == []
    assert run(folder, direction="BtoA")[0].fingerprint != first[0].fingerprint
    assert decoded == []  # halves are known as such, whichever side they are of


def test_what_has_changed_is_read_again_and_nothing_else(folder, kept, decoded, monkeypatch):
    before = run(folder)[0]
    decoded.clear()
    save(folder / "train" / "3.png", np.zeros((8, 16, 3), np.uint8), at=10**9 + 5)
    (folder / "train" / "4.png").unlink()
    save(folder / "train" / "later.png", np.full((8, 16, 3), 9, np.uint8))
    now = run(folder)[0]
    assert sorted(decoded) == ["3.png", "later.png"]
    assert now.fingerprint != before.fingerprint
    monkeypatch.setenv(index.VARIABLE, "off")
    assert run(folder)[0] == now
    assert len(decoded) == 2 + COUNT


def test_a_file_that_has_only_just_changed_is_not_trusted_the_next_time(folder, kept, decoded):
    later = time.time() + 1000  # a clock that is ahead: what was written last is the newest
    os.utime(folder / "train" / "0.png", (later, later))
    run(folder)
    decoded.clear()
    run(folder)
    assert decoded == ["0.png"]


def test_a_file_that_cannot_be_used_is_read_and_named_at_every_start(folder, kept, decoded):
    (folder / "train" / "0.png").write_bytes(b"no picture")
    first = run(folder)
    decoded.clear()
    assert run(folder) == first
    assert (decoded, len(first[0].problems)) == (["0.png"], 1)


@pytest.mark.parametrize("given", [{"max_pixels": 10**5}, {"source_range": "percentile"}, {"background": "black"}])
def test_another_way_to_look_at_pictures_is_another_index(folder, kept, decoded, given):
    run(folder)
    decoded.clear()
    run(folder, **given)
    assert len(decoded) == COUNT
    assert len([*kept.iterdir()]) == 2


def test_the_copy_beside_a_run_serves_where_the_cache_is_gone(folder, kept, decoded, tmp_path):
    first = run(folder)
    assert first[0].index is not None
    for _ in range(2):  # the second time there is one already
        index.keep_beside(first[0].index, tmp_path / "run" / "cache")
    first[0].index.unlink()
    decoded.clear()
    assert run(folder, beside=tmp_path / "run" / "cache") == first
    assert decoded == []


def test_many_pictures_are_kept_in_blocks(folder, kept, decoded, monkeypatch):
    monkeypatch.setattr(index, "BLOCK", 7)
    first = run(folder, source_range="percentile")
    decoded.clear()
    assert run(folder, source_range="percentile") == first
    assert decoded == []


@pytest.mark.parametrize("how", ["cut", "flipped", "foreign", "empty", "folder"])
def test_an_index_that_is_damaged_is_as_none(folder, kept, decoded, how):
    first = run(folder)
    decoded.clear()
    (path,) = kept.iterdir()
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes({"cut": bytes(data[:-1]), "foreign": b"PK\3\4" * 1000, "empty": b""}[how])
    found = run(folder)
    assert len(decoded) == COUNT
    assert found[0] == first[0]
    if how == "folder":
        assert any("no index of the pictures could be kept" in line for line in found[1])


def test_numbers_that_no_picture_has_are_refused_though_the_sum_is_right():
    rows = np.zeros(1, index.ROW)
    for name, value in {"height": 8, "width": 8, "bands": 3, "sampled_bands": 3, "values": 3, "flags": 8}.items():
        rows[name] = value
    assert index._sound(rows, 0, 3, max_pixels=64)
    for name, value in {"height": 9, "width": 0, "depth": 3, "bands": 65535, "values": 4, "place": 2**63}.items():
        wrong = rows.copy()
        wrong[name] = value
        assert not index._sound(wrong, 0, 3, max_pixels=64), name


def test_indexes_that_were_not_used_for_longest_make_room(tmp_path, monkeypatch):
    for age in range(4):
        path = tmp_path / f"{age}.index"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "other").write_bytes(bytes(1000))
    monkeypatch.setattr(index, "MAX_BYTES", 500)
    index._make_room(tmp_path, keep=tmp_path / "3.index")
    assert {path.name for path in tmp_path.iterdir()} == {"0.index", "1.index", "3.index", "other"}


@pytest.mark.parametrize(("given", "found"), [("off", None), ("OFF", None), ("/some/where", Path("/some/where"))])
def test_the_environment_says_where(given, found, monkeypatch):
    monkeypatch.setenv(index.VARIABLE, given)
    assert index.index_folder() == found


def test_by_default_it_is_in_the_place_for_caches(monkeypatch, tmp_path):
    monkeypatch.delenv(index.VARIABLE)
    for system, variable, rest in (("linux", "XDG_CACHE_HOME", "."), ("win32", "LOCALAPPDATA", ".")):
        monkeypatch.setattr(index.sys, "platform", system)
        monkeypatch.setenv(variable, str(tmp_path))
        assert index.index_folder() == tmp_path / rest / "translate-gan" / "index"
    monkeypatch.setattr(index.sys, "platform", "darwin")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index.index_folder() == tmp_path / "Library" / "Caches" / "translate-gan" / "index"
