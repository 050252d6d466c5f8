"""Which of the files and pairs that a layout found can be used. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median_high

import numpy as np

from translate.datasets.layouts.side_by_side import WIDE
from translate.datasets.pairs import ROLES, Listing, Pair, Problem, View, of_side, views
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
    unusable = {View(problem.path)[:2] for problem in problems}
    if not unusable:
        return listing

    def kept(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        return tuple(pair for pair in pairs if all(view[:2] not in unusable for view in views(pair)))

    return replace(listing, train=kept(listing.train), val=kept(listing.val), test=kept(listing.test))


def matching(listing: Listing, seen: Scan, *, settings: DataSettings, scale: int = 1) -> tuple[Listing, list[Problem]]:
    """`listing` without the pairs whose sides cannot be brought to one size by `--fit`, and a problem for each."""
    problems: list[Problem] = []

    @functools.cache  # most pairs have the sizes of others
    def reason(source: Size, target: Size) -> str | None:
        for size in (settings.resize_to, settings.size):  # in training, and in validation
            if found := mismatch(source, target, fit=settings.fit, size=size, scale=scale):
                return found
        return None

    def fits(pair: Pair) -> bool:
        if pair.source is None or pair.target is None:
            return True
        rows = seen.at["source"][pair.source], seen.at["target"][pair.target]
        source, target = (Size(heights[row], widths[row]) for row in rows)
        found = reason(source, target)
        if found:
            of = f"of its source {pair.source.path}: " if scale > 1 else ""
            problems.append(Problem(pair.target.path, of + found))
        return not found

    heights, widths = (seen.packed.rows[name].tolist() for name in ("height", "width"))
    train, val, test = (tuple(filter(fits, pairs)) for pairs in (listing.train, listing.val, listing.test))
    return replace(listing, train=train, val=val, test=test), problems


def odd_halves(seen: Scan, *, side_by_side: bool) -> tuple[list[Problem], dict[Path, str]]:
    """Side-by-side files whose proportions are wrong: those that cannot be pairs, and those to report, with sizes.

    If most files have one proportion, others are compared with that. Otherwise a file must be at least `WIDE` times as
    wide as high, unless `side_by_side`: the layout was given and not guessed.
    """
    halves = seen.each([view for view in seen.at.get("target", {}) if view.half], "target")
    if not halves:
        return [], {}
    widths, heights = 2 * halves.column("width").astype(np.int64), halves.column("height").astype(np.int64)
    ratios = widths / heights
    typical = median_high(ratios.tolist())
    away = np.maximum(ratios / typical, typical / ratios)
    same = 2 * np.count_nonzero(away <= ALIKE) > len(away)
    problems: list[Problem] = []
    unusual: dict[Path, str] = {}
    far = (away > ALIKE) & same
    narrow = (ratios < WIDE) & (typical >= WIDE) & (not side_by_side)
    for place in np.flatnonzero(far | narrow).tolist():
        path, size = halves.views[place].path, f"{widths[place]}x{heights[place]}"
        if same and away[place] > FAR:
            reason = f"most files are {typical:.3g} times as wide as high, so that this is no such pair: take it out"
            problems.append(Problem(path, f"{size}: {reason}"))
        elif narrow[place]:
            reason = f"too narrow for two pictures side by side (at least {WIDE} times as wide as high): take it out"
            problems.append(Problem(path, f"{size}: {reason}, or give --layout side-by-side"))
        else:
            unusual[path] = size
    return problems, unusual
