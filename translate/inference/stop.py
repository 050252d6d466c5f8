"""Ends a conversion in order when the process is told to. Imports no torch."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows


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
