"""Findings about the pairs of a set: exchanged, shifted, or not belonging together. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np

from translate.console import bar
from translate.inspection.findings import Finding
from translate.inspection.looks import SIDE, resized
from translate.inspection.reading import Set
from translate.inspection.together import MAX_PAIRS, MIN_PAIRS, compare

SMALL_PICTURES = 96  # pixels up to which half of `SIDE` shows all that there is


def pair_findings(read: Set, notes: list[str], *, progress: bool) -> Iterator[Finding]:
    """Findings of all pairs, of training, validation and test; `notes` gets what could not be done, and why."""
    pairs = [pair for pairs in read.splits.values() for pair in pairs if pair.source and read.of(pair)]
    if read.kind != "pairs" or "source" not in read.sides:
        return
    if len(pairs) < MIN_PAIRS:
        notes.append(f"not looked at: whether the {len(pairs)} pairs belong together, which takes {MIN_PAIRS} of them")
        return
    if len(pairs) > MAX_PAIRS:
        notes.append(f"whether pairs belong together was looked at in {MAX_PAIRS:,} of {len(pairs):,}")
        pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, MAX_PAIRS).astype(int)]
    looks = [read.of(pair) or () for pair in pairs]
    usual = median(min(look.height, look.width) for both in looks for look in both)
    side = min(SIDE if usual > SMALL_PICTURES else SIDE // 2, len(looks[0][0].small))
    pictures = [(resized(both[0].small, side), resized(both[1].small, side)) for both in looks]
    with bar(progress, desc="comparing sources with targets", total=len(pairs)) as shown:
        found = compare(pictures, step=shown.update)
    if not found.related:
        message = (
            "sources and targets of the same name show nothing in common: are they pairs? If not, train a model "
            "without pairs, such as cyclegan"
        )
        yield Finding("unrelated", "warning", message)
    if found.exchanged:
        message = f"{2 * len(found.exchanged)} pairs seem to have each other's target: look, and exchange the files"
        both = [(pairs[one], pairs[other]) for one, other in found.exchanged]
        files = tuple(f"{read.names(one)} <-> {read.names(other)}" for one, other in both)
        yield Finding("exchanged", "error", message, files, tuple(pair for pair2 in both for pair in pair2))
    if found.strangers:
        chosen = tuple(pairs[i] for i in found.strangers)
        message = f"{_pairs(len(chosen))} whose source and target do not seem to belong together: look at them"
        yield Finding("strangers", "warning", message, tuple(map(read.names, chosen)), chosen)
    if found.shifts:
        lines, chosen = [], tuple(pairs[shift.index] for shift in found.shifts)
        for shift, pair in zip(found.shifts, chosen, strict=True):
            target = looks[shift.index][1]
            right, down = (
                round(part * length) if abs(part * side) > 1 else 0  # less than a cell is not measured
                for part, length in ((shift.right, target.width), (shift.down, target.height))
            )
            lines.append(f"{read.names(pair)}: the target lies {_way(right, down)}")
        message = f"{_pairs(len(chosen))} whose target is shifted against its source: cut both to what they share"
        yield Finding("shifted", "warning", message, tuple(lines), chosen)


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' if count > 1 else ''}"


def _way(right: int, down: int) -> str:
    """A shift in words: about how many pixels, and where to."""
    parts = []
    if right:
        parts.append(f"{abs(right)} px to the {'right' if right > 0 else 'left'}")
    if down:
        parts.append(f"{abs(down)} px {'lower' if down > 0 else 'higher'}")
    return f"about {' and '.join(parts)}"
