"""Lock files: held by one process at a time, and free once it has ended, however that came."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from translate.locks import InUse, content_if_held, locked

HOLD = """
import os, sys, time
from pathlib import Path
from translate.locks import locked
with locked(Path(sys.argv[1]), what="the thing", say=print):
    if len(sys.argv) > 2 and os.fork():
        time.sleep(60)  # the child says it, once it is there
    print("held", flush=True)
    time.sleep(60)
"""


def held_by_another(path: Path, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def take(path: Path) -> None:
    with locked(path, what="the thing", say=pytest.fail):
        assert content_if_held(path)


def test_a_lock_says_who_holds_it_and_is_free_after_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    with held_by_another(path) as process:
        with pytest.raises(InUse, match=rf"the thing is in use by process {process.pid} on .+ \(since .+\): wait"):
            take(path)
        process.kill()
    assert path.exists(), "nobody could clear up"
    assert content_if_held(path) is None
    take(path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs forks")
def test_children_of_a_killed_holder_hold_nothing(tmp_path: Path) -> None:
    """As the processes that read pictures, which end some seconds after one that was killed."""
    path = tmp_path / ".lock"
    with held_by_another(path, "fork") as process:
        process.kill()
        process.wait()
        take(path)
        if process.stdout is not None:
            process.stdout.close()


def test_what_a_crash_or_reboot_left_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text('{"process": 1, "host": "elsewhere", "since": "2020-01-01 00:00:00"}')
    take(path)
    assert not path.exists()


def test_two_in_one_process_are_two(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock", what="it", say=str), pytest.raises(InUse):
        take(tmp_path / ".lock")
    take(tmp_path / ".lock")


def test_folders_that_stay_empty_go_again(tmp_path: Path) -> None:
    take(tmp_path / "a" / "b" / ".lock")
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a" / "b" / ".lock", what="it", say=str):
        (tmp_path / "a" / "b" / "run.txt").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run.txt"]
