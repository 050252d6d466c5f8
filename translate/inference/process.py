"""Settings of a command's own process: signals, thread switching, memory. Imports no torch.

Only the command uses them: a library must not change the process of the program that calls it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
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
    """Within the block Ctrl-C, SIGTERM and SIGHUP, the end of a terminal, are raised as `Interrupted`.

    One that is ignored stays so: Ctrl-C in a shell's background, SIGHUP under nohup. Does nothing outside the main
    thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    may_be_ignored = [signal.SIGINT, *([] if HANGUP is None else [HANGUP])]
    numbers = [signal.SIGTERM, *(number for number in may_be_ignored if signal.getsignal(number) != signal.SIG_IGN)]
    before = {number: signal.signal(number, _raise) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Hold:
    """Whether signals wait, and the first that does. Of the main thread alone, as signals are."""

    depth = 0
    waiting: int | None = None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within the block, which is to be short, a signal of `stoppable` waits: half of what belongs together is not done.

    Does nothing outside the main thread, which no signal disturbs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Hold.depth += 1
    try:
        yield
    finally:
        _Hold.depth -= 1
        if not _Hold.depth and _Hold.waiting is not None:
            number, _Hold.waiting = _Hold.waiting, None
            raise Interrupted("stopped", number=number)


def _raise(number: int, frame: FrameType | None) -> None:
    if number == HANGUP:
        signal.signal(number, signal.SIG_IGN)  # both the system and the shell send it
    if _Hold.depth:
        _Hold.waiting = number
    else:
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


@contextlib.contextmanager
def loading(*, for_good: bool = False) -> Iterator[None]:
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
