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


class StopRequest:
    """Ctrl-C and SIGTERM as a question that the loop asks between two steps; a second one ends the process."""

    def __init__(self, *, echoes: bool = False) -> None:
        """`echoes`: there is a launcher, which passes on what a terminal or service has sent to this process, too."""
        self.signal: int | None = None
        self._echoes = echoes
        self._since = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Catch both signals within the block. Does nothing off the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            if self._echoes:
                return
        elif time.monotonic() - self._since < ECHO:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._echoes:
            signal.raise_signal(number)
