"""A command keeps the memory that it frees, and its threads wait briefly; who calls the library is left alone."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from translate import cli
from translate.tuning import WAITING, collector_off, wait_briefly

SCRIPT = """
import resource, sys
import numpy as np
from translate.tuning import keep_freed_memory

keeps = sys.argv[1] == "keep" and keep_freed_memory()

def work():
    held = [np.ones(2**21) for _ in range(8)]  # 16 MiB each
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

faults = []
for _ in range(5):
    work()
print(int(keeps), faults[-1] - faults[-2])
"""


def faults(word: str) -> tuple[bool, int]:
    """Whether memory is kept, and the pages first touched in a fifth round of the same work."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, word], capture_output=True, text=True, timeout=60, check=True)
    keeps, count = done.stdout.split()
    return bool(int(keeps)), int(count)


def test_a_process_keeps_what_it_will_need_again() -> None:
    keeps, kept = faults("keep")
    if not keeps:
        pytest.skip("this system's C library is not glibc")
    _, freed = faults("leave")
    assert freed > 10 * max(kept, 10)


def test_threads_wait_briefly_unless_the_user_has_set_how() -> None:
    for given in ({}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "0"}):
        environment = dict(given)
        wait_briefly(environment)
        assert environment == (given or WAITING)


def test_a_command_tunes_its_own_process_and_a_caller_keeps_its_own(monkeypatch) -> None:
    done: list[str] = []
    for name in ("end_by_second_signal", "keep_freed_memory"):
        monkeypatch.setattr(cli, name, lambda name=name: done.append(name))
    monkeypatch.setattr(cli, "wait_briefly", lambda environment: done.append("wait_briefly"))
    assert cli.main(["--version"]) == 0
    assert done == []
    monkeypatch.setattr(sys, "argv", ["translate", "--version"])
    assert cli.main() == 0
    assert sorted(done) == ["end_by_second_signal", "keep_freed_memory", "wait_briefly"]


def test_while_a_command_is_loaded_no_cycles_are_searched_for() -> None:
    assert gc.isenabled()
    with collector_off():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_off():
            pass
        assert not gc.isenabled()  # as it was
    finally:
        gc.enable()


def test_what_a_command_of_its_own_process_has_loaded_is_left_out_of_searches() -> None:
    before = gc.get_freeze_count()
    try:
        with collector_off(for_good=True):
            own: list[object] = []
            own.append(own)
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
