"""Losses gathered on the device, so that no step waits for a number to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Running means of named scalars since the last reading, and the first step whose values were not all finite."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, Tensor] = {}
        self._bad: Tensor | None = None

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Add the values of one step; nothing is moved to the CPU."""
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        finite = torch.stack([v.reshape(()) for v in values.values()]).isfinite().all()
        bad = torch.where(finite, -1, step)
        self._bad = bad if self._bad is None else torch.where(self._bad < 0, bad, self._bad)

    def bad_step(self) -> int | None:
        """The first step since the last reading with a value that is not finite, if any. Waits for the device."""
        return None if self._bad is None or self._bad.item() < 0 else int(self._bad.item())

    def means(self) -> dict[str, float]:
        """The means so far. Waits for the device."""
        return {name: value.item() / self.count for name, value in self.sums.items()}

    def reset(self) -> None:
        """Begin a new interval."""
        self.count, self.sums, self._bad = 0, {}, None

    def state_dict(self) -> dict[str, Any]:
        """The unfinished interval, so that a resumed run logs the same means."""
        return {"count": self.count, "sums": {name: value.cpu() for name, value in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        """Continue an interval from `state_dict()`."""
        self.count = state["count"]
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
