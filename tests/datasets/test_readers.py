"""Pictures are read in other processes as they are in this one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.datasets.pairs import View
from translate.datasets.preparation import readers
from translate.datasets.preparation.looking import How, Looked, Wanted, look
from translate.datasets.preparation.roles import source_side, target_side
from translate.settings import DataSettings


@pytest.fixture
def files(tmp_path: Path) -> list[Wanted]:
    """Halves of small pictures, among them some that are none."""
    rng = np.random.default_rng(0)
    found: list[Wanted] = []
    for i in range(9):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (6, 12 + (i == 4), 3), dtype=np.uint8)).save(path)
        found.append([("source", View(path, "left")), ("target", View(path, "right"))])
    (tmp_path / "7.png").write_bytes(b"no picture")
    return found


@pytest.fixture
def how(monkeypatch: pytest.MonkeyPatch) -> How:
    monkeypatch.setattr(readers, "MIN_FILES", 1)
    monkeypatch.setattr(readers, "TOGETHER_APART", 4)
    monkeypatch.setattr(readers, "_cores", lambda: 2)
    settings = DataSettings.make({"data": "."})
    source = source_side(settings)
    assert source is not None
    return How({"source": source, "target": target_side(settings)}, sample=256, max_pixels=1000)


def read(files: list[Wanted], how: How) -> list[tuple[list[int], Looked]]:
    rows = [[i] for i in range(len(files))]
    every = readers.in_parallel(rows, lambda some: [files[i] for (i,) in some], how)
    return [([i for (i,) in some], found) for some, found in every]


def check(found: list[tuple[list[int], Looked]], files: list[Wanted], how: How) -> None:
    assert [some for some, _ in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    for some, looked in found:
        wanted = look([files[i] for i in some], how)
        assert looked.files == wanted.files
        assert looked.packed.rows.tobytes() == wanted.packed.rows.tobytes()
        assert looked.packed.rest == wanted.packed.rest


def test_processes_find_what_this_one_finds_and_end(files, how, monkeypatch):
    started: list[readers._Readers] = []
    before = readers._Readers

    def start(how: How) -> readers._Readers:
        started.append(before(how))
        return started[0]

    monkeypatch.setattr(readers, "_Readers", start)
    monkeypatch.setattr(readers, "look", None)  # nothing is read here
    found = read(files, how)
    monkeypatch.undo()
    check(found, files, how)
    assert 1 <= len(started[0]._started) <= 2
    assert all(process.poll() is not None for process in started[0]._started)


def test_the_processes_of_a_training_share_the_cores(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    every = readers._cores()
    for ranks, cores in (("1", every), ("x", every), (str(every), 1), (str(2 * every), 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
        assert readers._cores() == cores


@pytest.mark.parametrize("trouble", ["no program", "it ends", "it prints"])
def test_without_a_process_the_files_are_read_here(files, how, monkeypatch, trouble):
    if trouble == "no program":
        monkeypatch.setattr(readers.sys, "executable", "/nowhere/python")
    else:
        monkeypatch.setattr(readers, "COMMAND", {"it ends": "", "it prints": "print('x' * 100)"}[trouble])
    check(read(files, how), files, how)
