"""Which cases of a test the ordinary run takes, and what its processes make once for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


def slow_but(ordinary: Collection[Any], values: Iterable[Any]) -> list[Any]:
    """Parameters of a test: those of `values` that are not `ordinary` are left to `make test-slow`, which CI runs too.

    Raises:
        ValueError: `ordinary` names what is not among them.
    """
    values = list(values)
    if unknown := [value for value in ordinary if value not in values]:
        raise ValueError(f"{unknown} are not among {values}")
    return [value if value in ordinary else pytest.param(value, marks=pytest.mark.slow) for value in values]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of the run share, filled by `make` in the first one that asks for it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder of its own in the one of the run
        base = base.parent
    folder, done = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder
