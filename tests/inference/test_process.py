"""Memory that is freed and asked for again is not touched for the first time again."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from translate.inference.process import loading

SCRIPT = """
import resource, sys
import numpy as np
from translate.inference.process import keep_freed_memory

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


def test_while_a_command_is_loaded_no_cycles_are_searched_for() -> None:
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()  # as it was
    finally:
        gc.enable()


def test_what_a_command_of_its_own_process_has_loaded_is_left_out_of_searches() -> None:
    before = gc.get_freeze_count()
    try:
        with loading(for_good=True):
            own: list[object] = []
            own.append(own)
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
