"""Mean losses of an interval of training, gathered on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

CHECKED_TOGETHER = 1024  # steps whose values are looked at in one reading from the device, if nobody asks before


class Meter:
    """Means of named scalars since the last `reset`, and the first step with a value that is not finite.

    Summed on the device, so that no step waits for a number to be read; all values of a step at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._every: dict[str, None] = {}  # all names, in the order in which they came
        self._names: tuple[str, ...] = ()  # of the last step's values, whose sums are `_sums`
        self._sums: Tensor | None = None
        self._others: dict[str, Tensor] = {}  # sums of values that the last step had not
        self._unchecked: list[tuple[int, Tensor]] = []  # steps with their values
        self._bad: int | None = None

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Add the values of one step, without a copy to the CPU."""
        self.count += 1
        names = tuple(values)
        now = torch.stack([value.reshape(()) for value in values.values()])  # a copy: a graph writes over its outputs
        if names != self._names:
            self._rename(names, like=now)
        self._sums = now if self._sums is None else self._sums + now
        self._unchecked.append((step, now))
        if len(self._unchecked) == CHECKED_TOGETHER:
            self._check()

    @property
    def sums(self) -> dict[str, Tensor]:
        """The sums so far, scalars on the device."""
        own = {} if self._sums is None else dict(zip(self._names, self._sums.unbind(), strict=True))
        found = {**self._others, **own}
        return {name: found[name] for name in self._every}

    def _rename(self, names: tuple[str, ...], *, like: Tensor) -> None:
        """Steps have other values from now on."""
        sums = self.sums
        self._others = {name: value for name, value in sums.items() if name not in names}
        self._sums = torch.stack([sums.get(name, like.new_zeros(())) for name in names]) if sums else None
        self._names = names
        self._every |= dict.fromkeys(names)

    def bad_step(self) -> int | None:
        """The first step since the last `reset` with a value that is not finite, if any. Waits for the device."""
        self._check()
        return self._bad

    def _check(self) -> None:
        """Look for values that are not finite. Waits for the device."""
        if self._unchecked and self._bad is None:
            finite = torch.cat([now for _, now in self._unchecked]).isfinite().tolist()
            for step, now in self._unchecked:
                own, finite = finite[: len(now)], finite[len(now) :]
                if self._bad is None and not all(own):
                    self._bad = step
        self._unchecked = []

    def means(self) -> dict[str, float]:
        """The means so far. Waits for the device."""
        sums = self.sums
        read = torch.stack([value.reshape(()) for value in sums.values()]).tolist() if sums else []
        return {name: value / self.count for name, value in zip(sums, read, strict=True)}

    def reset(self) -> None:
        """Start a new interval."""
        self.__init__()  # type: ignore[misc]

    def state_dict(self) -> dict[str, Any]:
        """The unfinished interval, so that a resumed run logs the same means."""
        return {"count": self.count, "sums": {name: value.cpu() for name, value in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        """Continue an interval from `state_dict()`."""
        self.reset()
        self.count = state["count"]
        self._others = {name: value.to(device) for name, value in state["sums"].items()}
        self._every = dict.fromkeys(self._others)
