"""What a run tells its loggers, and the thread of each, so that none slows, stops or blocks the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar, NamedTuple

from PIL import Image

from translate.outside import visible

MAX_WAITING = 1000  # events, of which the newest are dropped
MAX_PICTURES = 8  # of these: a sample page takes some MB
CLOSE_SECONDS = 5.0
"""What all loggers together may add to the end of a run."""


class Events:
    """What a run tells: curves, pages and settings. A subclass passes them on; this one ignores them."""

    def settings(self, values: Mapping[str, Any]) -> None:
        """Every setting of the run, as plain JSON values."""

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        """One point for each of the curves `group/name`."""

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        """One picture `name`, at this step."""

    def close(self) -> None:
        """Send what is left, and end."""


class Opening(NamedTuple):
    """What a logger begins with."""

    folder: Path  # of the run
    resumed: int | None  # the step after which a run goes on; None for a new one


class Logger(Events):
    """A target of events, in a thread of its own from `open` on. What it raises costs an event, never the run."""

    needs: ClassVar[tuple[str, ...]] = ()  # modules
    extra: ClassVar[str] = ""  # of this distribution, that brings them

    @classmethod
    def load(cls) -> None:
        """Import what it needs, in the main thread: a worker that is forked during an import may wait for ever.

        Raises:
            ImportError: it is not installed.
        """

    def open(self, opening: Opening) -> str | None:
        """Begin, or go on with, the record of a run. Returns its address, if it has one."""


class Background(Events):
    """Passes events to a logger in a thread of its own, which starts with the first of the curves or pages.

    By then the processes that read pictures are there, and take no half-finished thread along. No call waits: events
    that come while `MAX_WAITING` others wait are dropped, and counted.
    """

    def __init__(self, name: str, logger: Logger, opening: Opening, *, say: Callable[[str], object]) -> None:
        self.name, self._logger, self._opening, self._say = name, logger, opening, say
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._pictures = 0  # that wait; changed under the lock
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"log-to-{name}", daemon=True)
        self._lost = 0  # events that were dropped, or failed
        self._quiet = False  # nothing is passed on or said any more

    def settings(self, values: Mapping[str, Any]) -> None:
        self._queue.put(partial(self._logger.settings, dict(values)))

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        self._pass(partial(self._logger.scalars, group, dict(values), step=step))

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        if self._pass(partial(self._show, name, picture, step), full=self._pictures >= MAX_PICTURES):
            with self._lock:
                self._pictures += 1

    def close(self) -> None:
        """Let the thread end once it has passed on what waits. Does not wait for it: see `wait`."""
        if self._thread.ident is not None:
            self._queue.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for the end after `close`; a thread that is still at work then goes on in silence, or ends with us."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, seconds))
        waiting = self._queue.qsize() if self._thread.is_alive() else 0
        if self._thread.is_alive() and not self._quiet:
            self._say(f"{self.name} did not answer in time: {max(waiting, 1)} events and its end may be missing there")
        elif self._lost and not self._quiet:
            self._say(f"{self.name} lacks {self._lost} events of this run")
        self._quiet = True

    def _pass(self, call: Callable[[], None], *, full: bool = False) -> bool:
        """Whether the call was passed to the thread."""
        if self._quiet:
            return False
        if full or self._queue.qsize() >= MAX_WAITING:
            self._lose("takes events more slowly than the run makes them: what does not fit is left out")
            return False
        self._queue.put(call)
        if self._thread.ident is None:
            self._thread.start()
        return True

    def _show(self, name: str, picture: Image.Image, step: int) -> None:
        with self._lock:
            self._pictures -= 1
        self._logger.picture(name, picture, step=step)

    def _work(self) -> None:
        try:
            address = self._logger.open(self._opening)
        except Exception as error:  # of libraries and networks: there is no common class
            self._tell(f"{self.name} cannot be logged to ({_line(error)}); the run goes on without")
            self._quiet = True
            return
        if address:
            self._tell(f"{self.name}: {visible(address)}")
        while (call := self._queue.get()) is not None:
            try:
                call()
            except Exception as error:
                self._lose(f"did not take an event ({_line(error)})")
        try:
            self._logger.close()
        except Exception as error:
            self._lose(f"could not be closed ({_line(error)})")

    def _lose(self, why: str) -> None:
        with self._lock:
            self._lost += 1
            first = self._lost == 1
        if first:
            self._tell(f"{self.name} {why}; the run goes on")

    def _tell(self, text: str) -> None:
        if not self._quiet:
            self._say(text)


class Together(Events):
    """Several loggers as one."""

    def __init__(self, loggers: list[Background]) -> None:
        self._loggers = loggers

    def settings(self, values: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.settings(values)

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        for logger in self._loggers:
            logger.scalars(group, values, step=step)

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        for logger in self._loggers:
            logger.picture(name, picture, step=step)

    def close(self) -> None:
        """End all, and wait for them, `CLOSE_SECONDS` at most."""
        until = time.monotonic() + CLOSE_SECONDS
        for logger in self._loggers:
            logger.close()
        for logger in self._loggers:
            logger.wait(until - time.monotonic())


def _line(error: Exception) -> str:
    """An error of any library in one line."""
    text = " ".join(visible(str(error), lines=True).split()) or "no reason given"
    return f"{type(error).__name__}: {text[:300]}"
