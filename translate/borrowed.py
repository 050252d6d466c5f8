"""Settings of the whole process, changed for a block and then restored.

Calls may overlap, in threads: the first one changes a setting and the last one gives it back.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Borrowed(Generic[T]):
    """One setting. Overlapping users want the same value, or the first one's holds."""

    def __init__(self, read: Callable[[], T], write: Callable[[T], object]) -> None:
        """`read` gives what the setting is, in a form that `write` takes."""
        self._read, self._write = read, write
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A process forked while another thread held the lock would wait for it for ever.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def __call__(self, value: T) -> Iterator[None]:
        """For the block the setting is `value`."""
        with self._lock:
            if not self._users:
                self._before = self._read()
                self._write(value)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._write(self._before)


def environment(name: str) -> Borrowed[str | None]:
    """A variable of the environment; None: it is not set."""

    def write(value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    return Borrowed(lambda: os.environ.get(name), write)
