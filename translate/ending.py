"""How a command ends that cannot do what it was asked for: one line, and the exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from translate.allow import NotAllowed
from translate.outside import visible

STOPPED, USAGE = 1, 2  # exit codes


def told(error: Exception, words: Sequence[str]) -> int:
    """Say what is wrong with the command of these `words`; returns the exit code."""
    if _told_by_another(error):
        time.sleep(10)  # the launcher ends all as soon as one has ended, and the first has to get its word in
    else:
        text = error.for_command(words) if isinstance(error, NotAllowed) else str(error)
        print(f"translate: {visible(text)}", file=sys.stderr)  # in one line, whatever names are in it
    return USAGE if isinstance(error, ValueError) else STOPPED


def is_for_users(error: Exception) -> bool:
    """Whether an error is ours to tell in one line; any other `RuntimeError` is a fault of this software."""
    if not isinstance(error, RuntimeError):
        return True
    from translate.export.verify import NotTheSame
    from translate.training.guard import TrainingStopped

    return isinstance(error, TrainingStopped | NotTheSame)


def _told_by_another(error: Exception) -> bool:
    """Whether another process of this machine, started together with this one, says the same."""
    if isinstance(error, ValueError):
        return os.environ.get("LOCAL_RANK", "0") != "0"
    from translate.training.guard import StoppedElsewhere

    return isinstance(error, StoppedElsewhere)
