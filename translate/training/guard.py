"""What can end a training run early: a signal, a loss that is not finite, memory or disk that runs out."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class TrainingStopped(RuntimeError):
    """A run that could not go on. The message says why, what is safe on the disk, and what to try."""


class ToldByAnother(TrainingStopped):
    """The same in a process beside the first, which tells the user."""


ECHO = 2.0  # seconds


HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
"""The end of a terminal. Several come at once, from the system and the shell, so that none of them ends the process."""


class StopRequest:
    """Ctrl-C, SIGTERM and SIGHUP as a question that the loop asks between two steps.

    A second Ctrl-C or SIGTERM ends the process. SIGHUP stays ignored where it was, as under nohup.
    """

    def __init__(self, *, echoes: bool = False) -> None:
        """`echoes`: there is a launcher, which passes on what a terminal or service has sent to this process, too."""
        self.signal: int | None = None
        self._echoes = echoes
        self._since = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Catch the signals within the block. Does nothing off the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
            numbers.append(HANGUP)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None
        if first:
            self.signal, self._since = number, time.monotonic()
            if self._echoes or number == HANGUP:
                return
        elif number == HANGUP or time.monotonic() - self._since < ECHO:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not first:
            signal.raise_signal(number)
