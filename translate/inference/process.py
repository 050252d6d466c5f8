"""Settings of a command's own process: signals, thread switching, freed memory. Imports no torch.

Only the command uses them: a library must not change the process of the program that calls it.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from translate.borrowed import Borrowed

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows

SWITCH_SECONDS = 5e-6  # after which another thread gets the interpreter

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters, from glibc's malloc.h
MAX_KEPT = 2**29  # bytes of freed memory that the process keeps
MAX_HEAP_BLOCK = 2**25  # bytes, the most that every glibc accepts; larger blocks go back to the system when freed


class Interrupted(KeyboardInterrupt):
    """A conversion was stopped by a signal. The message says what was done and how to go on."""

    def __init__(self, message: str = "", *, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGTERM is raised as `Interrupted`, as Ctrl-C is raised as `KeyboardInterrupt`.

    So is SIGHUP, the end of a terminal, unless it is ignored, as under nohup. Does nothing outside the main thread,
    where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM]
    if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
        numbers.append(HANGUP)
    before = {number: signal.signal(number, _raise) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    if number == HANGUP:
        signal.signal(number, signal.SIG_IGN)  # both the system and the shell send it
    raise Interrupted("stopped", number=number)


_turns = Borrowed(sys.getswitchinterval, sys.setswitchinterval)


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Within the block a waiting thread gets the interpreter after 5 microseconds instead of 5 milliseconds.

    The network needs it after each of its operations, many times a pass, and would wait for the Python code that reads
    and writes pictures. A folder is converted 1.1 to 1.2 times as fast.
    """
    with _turns(SWITCH_SECONDS):
        yield


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of one pass for the next; returns whether it does.

    By default it returns freed memory at once, and the first touch of every page costs time again: a fifth of a U-Net's
    pass in float32. Other C libraries have no such setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, MAX_KEPT)) and bool(mallopt(MMAP_THRESHOLD, MAX_HEAP_BLOCK))
