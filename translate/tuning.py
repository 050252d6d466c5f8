"""Settings of a command's own process: it starts sooner, and its networks are faster on a CPU. Imports no torch.

Only commands use them: a library must not change the process of the program that calls it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator, MutableMapping

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}  # rounds, some microseconds
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters, from glibc's malloc.h
MAX_KEPT = 2**31 - 1  # bytes of freed memory that the process keeps: the most that mallopt's int holds
MAX_HEAP_BLOCK = 2**25  # bytes, the most that every glibc accepts; larger blocks go back to the system when freed


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Have PyTorch's threads on a CPU wait actively for a moment, then sleep; to be called before torch is loaded.

    They wait for each other after every layer. By default GNU OpenMP's do so actively for milliseconds, which a process
    beside them turns into stalls: on two cores a training step then takes 3 to 60 times as long. Asleep at once, they
    are woken hundreds of times a step, which makes the step of a small network half as long again. What the user has
    set stays.
    """
    if not WAITING.keys() & environment.keys():
        environment.update(WAITING)


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of one pass or step for the next; returns whether it does.

    By default it returns freed memory at once, and the first touch of every page costs time again: a fifth of a U-Net's
    pass in float32, a tenth to a fifth of a training step. Other C libraries have no such setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, MAX_KEPT)) and bool(mallopt(MMAP_THRESHOLD, MAX_HEAP_BLOCK))


@contextlib.contextmanager
def collector_off(*, for_good: bool = False) -> Iterator[None]:
    """Within the block, which imports what a command needs, no cycles of objects are searched for and freed.

    Such a search walks through all objects, and begins anew after some hundred new ones. What is imported stays anyway:
    with `for_good` later searches leave it out, too, also those at the process's end. Of PyTorch's import both take
    a quarter of the time.
    """
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        if searched:
            gc.enable()
