"""Rows of a table of trainings, and which of them is better."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from translate.recipes import versioned

SEEDS = 3  # fewest from which one row is called better than another
JUDGED_BY = {"l1": True, "perceptual_lite1": True, "kid_lite1": True, "class_lite1": False}  # is less better?
Figures = dict[str, float]


class Row(NamedTuple):
    """A line of the table: trainings of one kind."""

    name: str
    changes: str  # a recipe, and what is changed of it
    seeds: tuple[int, ...] = ()  # its own; else those of all

    @classmethod
    def read(cls, text: str) -> Self:
        """`"NAME [0,1]: sharp batch=4"`, of which name and seeds may be missing.

        Raises:
            ValueError: it is written otherwise.
        """
        found = re.fullmatch(r"(?:([^:\[\]]+?) ?(?:\[([\d, ]+)\])?: ?)?([^:]+)", text)
        if found is None:
            raise ValueError(f'--rows: "{text}" is no row: write NAME: RECIPE SETTING=VALUE, or NAME [SEED,...]: ...')
        name, seeds, changes = found.groups()
        return cls(name or changes, changes, tuple(int(seed) for seed in (seeds or "").split(",") if seed.strip()))

    def settings(self) -> dict[str, Any]:
        """The settings of its trainings; `pairs` among them is none of the model's.

        Raises:
            ValueError: there is no such recipe, or a change is not NAME=VALUE.
        """
        recipe, *changes = self.changes.split()
        wrong = [change for change in changes if "=" not in change]
        if wrong:
            raise ValueError(f"--rows: {wrong[0]} is no change of a setting, such as lambda_l1=10")
        changed = dict(change.split("=", 1) for change in changes)
        return {"recipe": versioned(recipe), **{name.replace("-", "_"): value for name, value in changed.items()}}


def verdicts(results: Mapping[str, Figures]) -> list[str]:
    """Of rows with three seeds or more, in figures of what no training used: which is better, or no difference seen."""
    seeds: dict[str, list[Figures]] = {}
    for name, figures in results.items():
        seeds.setdefault(name.rpartition(", seed ")[0], []).append(figures)
    lines = []
    for one, other in itertools.combinations([name for name, found in seeds.items() if len(found) >= SEEDS], 2):
        for figure, less in JUDGED_BY.items():
            if not all(figure in found for found in (*seeds[one], *seeds[other])):
                continue
            ours, theirs = ([found[figure] * (1 if less else -1) for found in seeds[name]] for name in (one, other))
            verdict = "no difference seen"
            if max(ours) < min(theirs) or max(theirs) < min(ours):
                verdict = f"better: {one if max(ours) < min(theirs) else other}"
            lines.append(f"{one} and {other}, {figure}: {verdict}")
    return lines
