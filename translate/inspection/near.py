"""Pictures that were saved again: at another quality, in another format, at another size. Imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from translate.datasets.preparation import holdout
from translate.inspection.looks import Look, resized

CELLS = 32  # a side of the pictures that are compared
# Levels of 255. JPEG at quality 50, and sizes down to two thirds, stay within; other pictures of the sets that
# `benchmarks/inspection.py` reads do not.
MOST, MEAN = 16, 2.5
EVEN = 0.025  # mean over largest difference: saving again changes a little everywhere, another drawing changes a detail
ROUNDING = 2  # levels that need not be even
COMPARED = 200  # of a group of similar ones, each with each


def near_duplicates(examples: Sequence[tuple[Look, ...]]) -> list[tuple[int, int]]:
    """Places of examples that are nearly, but not quite, the same on all sides: each once, with an earlier one.

    An example of the same source and another target is none: that is one source with many targets.
    """
    if not examples:
        return []
    found: list[tuple[int, int]] = []
    for group in holdout.near_duplicates(*holdout.arrays([tuple(look.looks for look in looks) for looks in examples])):
        taken: set[int] = set()
        for one, other in itertools.combinations(sorted(group)[:COMPARED], 2):
            if other not in taken and _alike(examples[one], examples[other]):
                found.append((one, other))
                taken.add(other)
    return found


def _alike(one: tuple[Look, ...], other: tuple[Look, ...]) -> bool:
    same = [a.digest == b.digest for a, b in zip(one, other, strict=True)]
    if all(same) or (len(same) > 1 and same[0]):
        return False
    return all(equal or _near(a.small, b.small) for equal, a, b in zip(same, one, other, strict=True))


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    apart = np.abs(resized(one, CELLS).astype(np.int16) - resized(other, CELLS))
    most, mean = int(apart.max()), float(apart.mean())
    return most <= MOST and mean <= MEAN and (most <= ROUNDING or mean >= EVEN * most)
