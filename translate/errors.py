"""How a command reports an error: one line, and the exit code. Imports no torch."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from translate.allow import NotAllowed
from translate.outside import visible

STOPPED, USAGE = 1, 2  # exit codes


def report_error(error: Exception, words: Sequence[str]) -> int:
    """Print the error of the command of these `words` in one line; returns the exit code."""
    if _reported_elsewhere(error):
        time.sleep(10)  # the launcher ends all processes as soon as one has ended, and the first has to print
    else:
        text = error.for_command(words) if isinstance(error, NotAllowed) else str(error)
        print(f"translate: {visible(text)}", file=sys.stderr)  # one line, also if a file's name holds line ends
    return USAGE if isinstance(error, ValueError) else STOPPED


def is_for_users(error: Exception) -> bool:
    """Whether an error is reported in one line; any other `RuntimeError` is a fault of this software."""
    if not isinstance(error, RuntimeError):
        return True
    from translate.export.verify import NotTheSame
    from translate.training.guard import TrainingStopped

    return isinstance(error, TrainingStopped | NotTheSame)


def _reported_elsewhere(error: Exception) -> bool:
    """Whether another process of this machine, started together with this one, prints the same."""
    if isinstance(error, ValueError):
        return os.environ.get("LOCAL_RANK", "0") != "0"
    from translate.training.guard import StoppedElsewhere

    return isinstance(error, StoppedElsewhere)
