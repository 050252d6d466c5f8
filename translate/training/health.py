"""What is known of a training's health beside its validation pictures: its losses, its gradients, the time it waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from translate.evaluation.base import Alarm
from translate.evaluation.training_alarms import SLOW_SECONDS, journal_alarms, waiting_alarm
from translate.outside import parsed
from translate.training.folder import RunFolder

LINES = 1000  # of the journal that are kept


class TrainingHealth:
    """The newest lines of the journal, and the time since the last validation."""

    def __init__(self, *, objective: str | None) -> None:
        """`objective`: of the games, if any."""
        self._objective = objective
        self._lines: deque[Mapping[str, Any]] = deque(maxlen=LINES)
        self._waited = self._seconds = 0.0

    def restore(self, folder: RunFolder) -> None:
        """Take in the journal of a resumed run, so that its alarms are those of one that was never stopped."""
        if folder.metrics.is_file():
            with folder.metrics.open(encoding="utf-8") as file:
                for text in file:
                    if isinstance(line := parsed(text), dict):
                        self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line of the journal; those without losses are not needed, nor what is no number."""
        losses, gradients = _numbers(line.get("losses")), _numbers(line.get("gradients"))
        if losses:
            self._lines.append({"step": line["step"], "losses": losses, "gradients": gradients})

    def time(self, *, waited: float, seconds: float) -> None:
        """Take in an interval of training, and how long of it the device waited for pictures."""
        self._waited, self._seconds = self._waited + waited, self._seconds + seconds

    def alarms(self, *, workers: int) -> list[Alarm]:
        """Alarms at a validation. Time is counted anew once there was enough of it."""
        slow = waiting_alarm(self._waited, self._seconds, workers=workers)
        if self._seconds >= SLOW_SECONDS:
            self._waited = self._seconds = 0.0
        return [*journal_alarms(list(self._lines), objective=self._objective), *([slow] if slow else [])]


def _numbers(values: object) -> dict[str, float]:
    named = values if isinstance(values, dict) else {}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}
