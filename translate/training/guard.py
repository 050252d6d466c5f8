"""How a training run ends early: by an error, `TrainingStopped`, or by a signal, `StopRequest`."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class TrainingStopped(RuntimeError):
    """A run could not go on. The message has the reason, what is safe on the disk, and what to try."""


class StoppedElsewhere(TrainingStopped):
    """The same in a process other than the first. The first process prints the message."""


ECHO_SECONDS = 2.0
"""A second signal within this time is taken for the first one, passed on by the launcher."""

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
"""Sent when a terminal closes, by system and shell, so often twice: a second one never ends the process."""


class StopRequest:
    """Ctrl-C, SIGTERM and SIGHUP, noted in `signal`; the loop reads it between two steps.

    A second Ctrl-C or SIGTERM ends the process. SIGHUP stays ignored where it was, as under nohup.
    """

    def __init__(self, *, echoes: bool = False) -> None:
        """`echoes`: a launcher passes on signals that this process gets from the terminal or service as well."""
        self.signal: int | None = None
        self._echoes = echoes
        self._since = 0.0

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[StopRequest]:
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
        elif number == HANGUP or time.monotonic() - self._since < ECHO_SECONDS:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not first:
            signal.raise_signal(number)
