"""Which of the files and pairs that a layout found can be used. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median_high

from translate.datasets.layouts.side_by_side import WIDE
from translate.datasets.pairs import ROLES, Listing, Pair, Problem, of_side, views
from translate.datasets.preparation.scan import Scan
from translate.datasets.resizing import mismatch
from translate.settings import DataSettings
from translate.sizes import Size

ALIKE = 1.1  # proportions within this factor are the same
FAR = 1.4  # beyond it a file is something else: a single picture is 2 times narrower than a pair of such


def singles(listing: Listing) -> Listing:
    """Every picture of `listing` alone: the sources of a split, then its targets."""
    parts = (
        tuple(single for role in ROLES for single in of_side(pairs, role))
        for pairs in (listing.train, listing.val, listing.test)
    )
    train, val, test = parts
    return replace(listing, train=train, val=val, test=test)


def without(listing: Listing, problems: Iterable[Problem]) -> Listing:
    """`listing` without the pairs that need one of the files with `problems`."""
    unusable = {problem.path for problem in problems}

    def kept(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        return tuple(pair for pair in pairs if all(view.path not in unusable for view in views(pair)))

    return replace(listing, train=kept(listing.train), val=kept(listing.val), test=kept(listing.test))


def matching(listing: Listing, seen: Scan, *, settings: DataSettings, scale: int = 1) -> tuple[Listing, list[Problem]]:
    """`listing` without the pairs whose sides cannot be brought to one size by `--fit`, and a problem for each."""
    problems: list[Problem] = []

    def fits(pair: Pair) -> bool:
        if pair.source is None or pair.target is None:
            return True
        source, target = seen.facts["source", pair.source], seen.facts["target", pair.target]
        sizes = Size(source.height, source.width), Size(target.height, target.width)
        for size in (settings.resize_to, settings.size):  # in training, and in validation
            if reason := mismatch(*sizes, fit=settings.fit, size=size, scale=scale):
                of = f"of its source {pair.source.path}: " if scale > 1 else ""
                problems.append(Problem(pair.target.path, of + reason))
                return False
        return True

    train, val, test = (tuple(filter(fits, pairs)) for pairs in (listing.train, listing.val, listing.test))
    return replace(listing, train=train, val=val, test=test), problems


def odd_halves(seen: Scan, *, side_by_side: bool) -> tuple[list[Problem], dict[Path, str]]:
    """Side-by-side files whose proportions are wrong: those that cannot be pairs, and those to report, with sizes.

    If most files have one proportion, others are compared with that. Otherwise a file must be at least `WIDE` times as
    wide as high, unless `side_by_side`: the layout was given and not guessed.
    """
    sizes = {view.path: (2 * facts.width, facts.height) for (_, view), facts in seen.facts.items() if view.half}
    if not sizes:
        return [], {}
    ratios = {path: width / height for path, (width, height) in sizes.items()}
    typical = median_high(ratios.values())
    away = {path: max(ratio / typical, typical / ratio) for path, ratio in ratios.items()}
    same = 2 * sum(factor <= ALIKE for factor in away.values()) > len(away)
    problems: list[Problem] = []
    unusual: dict[Path, str] = {}
    for path, (width, height) in sizes.items():
        if same and away[path] > FAR:
            reason = f"most files are {typical:.3g} times as wide as high, so that this is no such pair: take it out"
            problems.append(Problem(path, f"{width}x{height}: {reason}"))
        elif not side_by_side and ratios[path] < WIDE <= typical:
            reason = f"too narrow for two pictures side by side (at least {WIDE} times as wide as high): take it out"
            problems.append(Problem(path, f"{width}x{height}: {reason}, or give --layout side-by-side"))
        elif same and away[path] > ALIKE:
            unusual[path] = f"{width}x{height}"
    return problems, unusual
