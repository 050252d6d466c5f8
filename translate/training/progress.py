"""How a run shows that it goes on: a bar on a terminal, elsewhere a line a minute, or JSON."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from translate.console import bar, duration
from translate.training.care import Care
from translate.training.session import Session

LINE_SECONDS = 60.0
"""Between two lines where there is no bar."""


class Progress:
    """The bar, or the lines that take its place where standard error is no terminal. Only one process shows them."""

    def __init__(
        self,
        session: Session,
        care: Care,
        *,
        first: bool,
        as_json: bool,
        title: str,
        say: Callable[[str], object],
    ) -> None:
        """`first`: whether this process is the one that shows something."""
        self.session, self.care, self.say = session, care, say
        self._bar = bar(first and not as_json, total=session.steps, initial=session.done, desc=title, unit="step")
        self._json, self._lines = as_json, first and bool(self._bar.disable)
        self._losses: Mapping[str, float] = {}  # of the newest line of the journal
        self._alarms: Mapping[str, str] = {}
        self._begin = self._told = _Moment(session, care)

    def step(self, *, last: bool) -> None:
        """A step has been made; `last`: of the run."""
        self._bar.update()
        if not self._lines or not (time.perf_counter() - self._told.time >= LINE_SECONDS or (last and self._json)):
            return
        now, before = _Moment(self.session, self.care), self._told
        self._told = now
        line = self._facts(now, before)
        self.say(json.dumps(line) if self._json else _in_words(line))

    def losses(self, values: Mapping[str, float], *, alarms: Mapping[str, str]) -> None:
        """The means of a line of the journal, and what is to be seen beside them."""
        self._losses, self._alarms = values, alarms
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()} | dict(alarms), refresh=False)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()

    def _facts(self, now: _Moment, before: _Moment) -> dict[str, Any]:
        """What a line tells, by the names of the JSON object."""
        session, made = self.session, now.step - self._begin.step
        training = now.time - before.time - (now.care - before.care)
        rate = (now.step - before.step) * session.per_step / training if training > 0 else 0.0
        left = (session.steps - now.step) * (now.time - self._begin.time) / made if made else None
        losses = self._losses or session.meter.means()
        return {
            "step": now.step,
            "steps": session.steps,
            "epoch": round(session.epoch, 4),
            "examples_per_second": round(rate, 2),
            "seconds": round(now.time - self._begin.time, 1),
            "seconds_left": None if left is None else round(left, 1),
            "care_share": round(self.care.share, 4),
            "lr": session.rate(),
            "losses": {name: value for name, value in losses.items() if math.isfinite(value)},
            "alarms": [name for text in self._alarms.values() for name in text.split(", ")],
        }


class _Moment:
    """Where a run is, and when."""

    def __init__(self, session: Session, care: Care) -> None:
        self.step, self.care, self.time = session.done, care.seconds, time.perf_counter()


def _in_words(line: Mapping[str, Any]) -> str:
    losses = ", ".join(f"{name} {value:.3g}" for name, value in line["losses"].items())
    left = "" if line["seconds_left"] is None else f", {duration(line['seconds_left'])} left"
    alarms = "".join(f"; ALARM {name}" for name in line["alarms"])
    return (
        f"step {line['step']} of {line['steps']}: {line['examples_per_second']:.3g} examples a second{left}; "
        f"{losses}{alarms}"
    )
