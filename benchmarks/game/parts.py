"""The parts of the page, and the making of one: in a module of its own, which other processes can import by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.game.costs import gradients, smoothing
from benchmarks.game.directions import directions
from benchmarks.game.estimators import estimators
from benchmarks.game.pictures import pictures
from benchmarks.game.ratio import divergence, log_ratio
from benchmarks.game.ring import of_objectives, of_variants
from benchmarks.game.spiral import spiral
from benchmarks.game.work import Row, Work
from translate.tables import Table

PARTS: Table[Callable[[Work], list[Row]]] = Table(
    "part of the page",
    {  # the longest ones first, so that two cores end at about the same time
        "ring": of_variants,
        "objectives": of_objectives,
        "pictures": pictures,
        "directions": directions,
        "log-ratio": log_ratio,
        "jensen-shannon": divergence,
        "smoothing": smoothing,
        "estimators": estimators,
        "gradients": gradients,
        "spiral": spiral,
    },
)


def made(work: Work, name: str) -> dict[str, Any]:
    """The results of one part: the rows of its table, and seconds of a core that it took."""
    torch.set_num_threads(1)
    begin = time.process_time()
    rows = PARTS[name](work)
    return {"rows": [dict(row) for row in rows], "core seconds": round(time.process_time() - begin, 1)}
