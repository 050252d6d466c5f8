"""When a run validates and saves: by its steps, and by the share of its time that this may take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntFlag

from translate.settings import RunSettings

Clock = Callable[[], float]

REMEMBERED = 5
"""Costs of the last times of which the largest is what the next one is expected to cost."""


class Due(IntFlag):
    """What is to be done after a step; a number, which the first process tells the others."""

    NOTHING = 0
    VALIDATION = 1  # with the sample page and the model files
    CHECKPOINT = 2


class Budget:
    """Seconds that care may take: at most `share` of the time from the end of the first care on.

    The first is allowed at any time, since nothing is known of its cost. A later one is allowed if the share would be
    kept with it, should it cost as much as the dearest of the last ones. One that costs more is paid back by waiting.
    """

    def __init__(self, share: float, *, clock: Clock) -> None:
        self.spent = 0.0  # since the end of the first care
        self._share, self._clock = share, clock
        self._since: float | None = None  # the end of the first care
        self._costs: deque[float] = deque(maxlen=REMEMBERED)

    def allows(self) -> bool:
        """Whether there is time for care now."""
        if self._since is None:
            return True
        cost = max(self._costs)
        return self.spent + cost <= self._share * (self._clock() - self._since + cost)

    def charge(self, seconds: float, *, once: float = 0.0) -> None:
        """Care has been taken; `once`: seconds of it that no later one will take."""
        if self._since is None:
            self._since = self._clock()
        else:
            self.spent += seconds
        self._costs.append(max(0.0, seconds - once))

    def charge_more(self, seconds: float) -> None:
        """The last care took so much in addition, as is known only now."""
        if self._costs:
            self._costs[-1] += seconds
            self.spent += seconds


class Care:
    """The schedule of validations and checkpoints of a run.

    Steps that the person gave are kept exactly. Where the run has its defaults, a step of the interval makes care due,
    and it is postponed until the budget allows for it; it is never lost. Both kinds are then taken together, so that
    the cheaper one cannot use up the time of the other.
    """

    def __init__(self, run: RunSettings, *, usual: int, clock: Clock | None = None) -> None:
        """`usual`: steps between validations where the person gave none; `clock`: seconds, `time.perf_counter`."""
        clock = clock or time.perf_counter
        self.validate_every = run.validate_every or usual
        self.checkpoint_every = run.checkpoint_every or self.validate_every
        self._minutes = run.checkpoint_minutes
        self._by_time = Due.NOTHING
        for name in run.by_time:
            self._by_time |= Due[name.upper()]
        self._clock = clock
        self._budget = Budget(run.care_share, clock=clock)
        self._waiting = self._due = Due.NOTHING
        self._charged = False  # the care of this step goes on the budget
        self._writes_charged = False  # so does the writing of the newest files
        self._seconds = dict.fromkeys((Due.VALIDATION, Due.CHECKPOINT), 0.0)  # of this step
        self.seconds = 0.0  # of all care since `start`
        self.start()

    def start(self) -> None:
        """The first step is about to be made."""
        self._began = self._saved = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since `start`."""
        return self._clock() - self._began

    @property
    def share(self) -> float:
        """Share of the time since `start` that care has taken, whatever made it due."""
        return self.seconds / self.elapsed if self.seconds else 0.0

    def at_interval(self, step: int) -> bool:
        """Whether a validation would be due at this step by the steps alone. The same in every process."""
        return step % self.validate_every == 0

    def due(self, step: int, *, last: bool) -> Due:
        """What is due after this step; asked once for each, by the first process alone."""
        if last:
            self._waiting, self._due = Due.NOTHING, Due.VALIDATION | Due.CHECKPOINT
            return self._due
        if self.at_interval(step):
            self._waiting |= Due.VALIDATION
        if step % self.checkpoint_every == 0:
            self._waiting |= Due.CHECKPOINT
        due = self._waiting & ~self._by_time
        self._charged = bool(self._waiting & self._by_time) and self._budget.allows()
        if self._charged:
            due = self._waiting
        if self._clock() - self._saved > 60 * self._minutes:
            due |= Due.CHECKPOINT
        self._waiting, self._due = self._waiting & ~due, due
        return due

    @property
    def postponed(self) -> bool:
        """Whether the steps have made something due that the budget has not allowed for yet."""
        return bool(self._waiting)

    @contextmanager
    def timed(self, kind: Due) -> Iterator[None]:
        """What happens in the block is part of the care of this step."""
        begin = self._clock()
        try:
            yield
        finally:
            self._seconds[kind] += self._clock() - begin

    def saved(self) -> None:
        """A checkpoint has been handed over."""
        self._saved = self._clock()

    def settle(self, *, once: float = 0.0, beside: float = 0.0) -> float:
        """After the care of a step: count it. Returns the seconds in which training stood still.

        Args:
            once: seconds of the validation that no later one will take.
            beside: seconds that the writing of earlier files took from the training beside it.
        """
        taken, self._seconds = self._seconds, dict.fromkeys(self._seconds, 0.0)
        if beside and self._writes_charged:
            self._budget.charge_more(beside)
        if self._due:
            self._writes_charged = self._charged
        if self._charged:
            own = sum(seconds for kind, seconds in taken.items() if kind & self._by_time)
            self._budget.charge(own, once=once if Due.VALIDATION & self._by_time else 0.0)
            self._charged = False
        self.seconds += sum(taken.values()) + beside
        return sum(taken.values())
