"""Settings of a command's own process: signals, thread switching, freed memory. Imports no torch.

They are for the command alone: a program that calls the library has a process and threads of its own.
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

TURN = 5e-6  # seconds

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters, from glibc's malloc.h
KEPT = 2**29  # bytes of freed memory that the process keeps at most
LARGEST = 2**25  # bytes, the most that every glibc takes; pieces above it come from the system one by one, and go back


class Interrupted(KeyboardInterrupt):
    """A conversion was stopped by a signal. The message says what was done and how to go on."""

    def __init__(self, message: str = "", *, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGTERM is raised as `Interrupted`, as Ctrl-C is raised as `KeyboardInterrupt`.

    So is SIGHUP, the end of a terminal, but not where it is ignored, as under nohup. Does nothing off the main thread,
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
    """A thread that wants the interpreter gets it after 5 microseconds, not 5 milliseconds as usual.

    The network takes it back after each of its operations, many times a pass, and would wait for the lines of Python
    between reading and writing. A folder is converted 1.1 to 1.2 times as fast; nothing that computes is slowed. It is
    for the command, whose process is its own: a program that calls the library has threads of others.
    """
    with _turns(TURN):
        yield


def keep_freed_memory() -> bool:
    """Have glibc keep the memory of one pass for the next; says whether it does. For a command's process.

    It gives freed memory back as soon as it can and pays for the first touch of every page again: a fifth of the time
    of a U-Net's pass in float32. A library must not decide that for its program, and other systems have other ways.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT)) and bool(mallopt(MMAP_THRESHOLD, LARGEST))
