"""Files among side-by-side pairs that are no such pair, by their proportions. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from statistics import median_high

from translate.datasets.pairs import Problem
from translate.datasets.scan import Scan

ALIKE = 1.1  # proportions within this factor are the same
FAR = 1.4  # beyond it a file is something else: a single picture is 2 times narrower than a pair of such
WIDE = 1.9  # least width over height that is taken for two pictures side by side without being told


def odd_halves(seen: Scan, *, told: bool) -> tuple[list[Problem], dict[Path, str]]:
    """Files that cannot be two pictures side by side, and others of doubtful proportions with their sizes.

    If most files have one proportion, others are held against that; else, unless `told` that all are pairs, against
    what is taken for a pair at all.
    """
    sizes = {view.path: (2 * facts.width, facts.height) for (_, view), facts in seen.facts.items() if view.half}
    if not sizes:
        return [], {}
    ratios = {path: width / height for path, (width, height) in sizes.items()}
    usual = median_high(ratios.values())
    away = {path: max(ratio / usual, usual / ratio) for path, ratio in ratios.items()}
    same = 2 * sum(factor <= ALIKE for factor in away.values()) > len(away)
    problems: list[Problem] = []
    doubtful: dict[Path, str] = {}
    for path, (width, height) in sizes.items():
        if same and away[path] > FAR:
            reason = f"most files are {usual:.3g} times as wide as high, so that this is no such pair: take it out"
            problems.append(Problem(path, f"{width}x{height}: {reason}"))
        elif not told and ratios[path] < WIDE <= usual:
            reason = f"too narrow for two pictures side by side (at least {WIDE} times as wide as high): take it out"
            problems.append(Problem(path, f"{width}x{height}: {reason}, or give --layout side-by-side"))
        elif same and away[path] > ALIKE:
            doubtful[path] = f"{width}x{height}"
    return problems, doubtful
