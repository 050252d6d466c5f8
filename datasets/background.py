"""Decodes what was only glanced at while training goes on: in one process of the lowest priority. No torch."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from translate.conditions import DataNeeds
from translate.datasets.pairs import Problem
from translate.datasets.preparation.index import keep_beside
from translate.datasets.preparation.readers import end, receive, send, start, streams
from translate.datasets.prepare import Prepared, prepare
from translate.outside import visible
from translate.settings import DataSettings

COMMAND = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import serve; serve()"  # no code of other places
LOWEST = 19  # of nice: it gets what the training leaves


class BackgroundCheck:
    """Decodes all pictures of a set that no index knows, and says which cannot be read as it finds them.

    Nothing of the training depends on it. What it found out is in the index for the next start.

    Args:
        given: settings, and what `prepare` was given beside.
        beside: folder of the run, which gets a copy of the index.
    """

    def __init__(
        self,
        data: Prepared,
        settings: DataSettings,
        *,
        data_needs: DataNeeds,
        beside: Path | None = None,
        say: Callable[[str], object],
    ) -> None:
        given = {"kind": data.kind, "data_needs": data_needs, "conditions": data.conditions, "scale": data.scale}
        self._request = settings.replace(strict=False), given
        self._known = {problem.path for problem in data.problems}
        self._pictures, self._beside, self._say = data.unchecked, beside, say
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self) -> None:
        """Start, unless there is nothing to check, or it was started before. Call it once all workers are forked."""
        if not self._pictures or self._thread is not None or self._closed:
            return
        self._process = start(COMMAND, self._request)
        self._thread = threading.Thread(target=self._relay, name="translate-check", daemon=True)
        self._thread.start()

    def _relay(self) -> None:
        """Say what the process finds, until it ends."""
        found = 0
        try:
            if self._process is None or self._process.stdout is None:
                raise EOFError
            while isinstance(message := receive(self._process.stdout), Problem):
                if message.path not in self._known:
                    found += 1
                    self._say(visible(f"WARNING: {message.path}: {message.reason}; {AT_A_FINDING}"))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            message = None
        if self._closed:
            return
        if message is None:
            self._say("the check of contents has ended early: a damaged picture stops the training when it comes to it")
            return
        self._say(f"contents of {self._pictures:,} pictures checked: {found or 'none'} cannot be used")
        if message and self._beside:
            with contextlib.suppress(OSError):  # it saves time, and nothing depends on it
                keep_beside(Path(message), self._beside)

    def join(self) -> None:
        """Wait until all is checked."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._closed = True
        if self._process is not None:
            end(self._process)
        self.join()


AT_A_FINDING = (
    "training stops when it comes to this picture, with its state saved, and goes on without it by "
    "--resume RUN --accept-changed-data"
)


def serve() -> None:
    """What the process does: it ends with its input, which is the end of the one that started it."""
    requests, answers = streams()
    settings, given = receive(requests)
    threading.Thread(target=_end_with_input, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(LOWEST)
    with contextlib.suppress(BrokenPipeError):
        try:
            found = prepare(
                settings, **given, alone=True, on_problem=lambda problem: send(answers, problem), say=lambda line: None
            )
            send(answers, str(found.index or ""))
        except (ValueError, OSError):  # the set has gone, or changed: training will say
            send(answers, None)


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)
