"""In what order and how often the players of a model move. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pace:
    """In what order and how often the players of a model make their optimiser steps."""

    steps: Mapping[str, int] = field(default_factory=dict)  # player -> steps an iteration, each on other batches; or 1
    fresh: bool = False  # no two players share a batch
    simultaneous: bool = False  # all gradients of a round are taken before any player steps
    unroll: int = 0  # steps of the discriminators that the generator's gradient goes through
