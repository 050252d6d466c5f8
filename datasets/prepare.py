"""From settings to pairs that are known to work: finds, reads each file once, decides, reports. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from translate.datasets import report
from translate.datasets.derive import amount_for, derived_spec
from translate.datasets.holdout import hold_out
from translate.datasets.layouts import LAYOUTS, choose
from translate.datasets.pairs import Listing, Pair, Problem
from translate.datasets.scan import Scan, scan
from translate.datasets.shapes import mismatch
from translate.datasets.sides import Role, source_side, target_side
from translate.datasets.specs import decide
from translate.images import ImageSpec
from translate.settings import DataSettings


@dataclass(frozen=True)
class Prepared:
    """Pairs whose files were all read once, what they are, and which files could not be used."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]  # empty only if --val-fraction is 0 or there is a single pair
    test: tuple[Pair, ...]
    source: ImageSpec
    target: ImageSpec
    fingerprint: str  # sha256 over names and file contents of train and val, wherever their folder lies
    problems: tuple[Problem, ...]


def prepare(settings: DataSettings, *, say: Callable[[str], None], progress: bool = False) -> Prepared:
    """Finds the pairs that `settings` ask for, reads each file once, and decides what the pictures are.

    `say` gets a line at a time: counts, files that cannot be used and why, what looks odd, what was decided.

    Raises:
        ValueError: settings that contradict each other or the files, folders in which no layout is found or
            nothing is usable, or, with `--strict`, any file that cannot be used.
    """
    target, source = target_side(settings), source_side(settings)
    if settings.derive:
        amount_for(settings.derive, settings.derive_amount)  # complains now rather than after everything was read
    layout = choose(settings)
    found = LAYOUTS[layout].find(settings)
    pairs = (*found.listing.train, *found.listing.val, *found.listing.test)
    seen = scan(pairs, source=source, target=target, max_pixels=settings.max_pixels, progress=progress)

    problems = [*found.listing.problems, *seen.problems]
    listing = _without(found.listing, {problem.path for problem in seen.problems})
    specs: dict[Role, ImageSpec] = {}
    notes = list(found.notes)
    if listing.train:
        every = (*listing.train, *listing.val, *listing.test)
        for side in (source, target) if source else (target,):
            train = seen.of(listing.train, side.role).keys()
            decision = decide(side, seen.of(every, side.role), train=train)
            specs[side.role] = decision.spec
            problems += decision.problems
            notes += decision.notes
        listing, apart = _matching(_without(listing, {problem.path for problem in problems}), seen, settings=settings)
        problems += apart
    problems = list(dict.fromkeys(problems))  # the two halves of a file have the same one
    if not listing.train:
        looked_for = f"{layout}: {LAYOUTS[layout].looked_for}"
        raise ValueError(report.nothing_usable(problems, roots=found.roots, looked_for=looked_for))
    if problems and settings.strict:
        raise ValueError(report.refused(problems, roots=found.roots))
    if settings.derive:
        specs["source"] = derived_spec(settings.derive, specs["target"])
        notes.append(f"source: made from the target by --derive {settings.derive}")
    listing, held_out = _with_validation(listing, seen, fraction=settings.val_fraction)

    lines = [
        *report.counts(listing, problems, roots=found.roots, layout=layout),
        *held_out,
        *report.left_lying(found, problems),
        *report.oddities(listing, seen),
        *notes,
    ]
    for line in lines:
        say(line)
    return Prepared(
        train=listing.train,
        val=listing.val,
        test=listing.test,
        source=specs["source"],
        target=specs["target"],
        fingerprint=fingerprint((*listing.train, *listing.val), digests=seen.digests),
        problems=tuple(problems),
    )


def fingerprint(pairs: Iterable[Pair], *, digests: Mapping[Path, str]) -> str:
    """sha256 over names, file contents, halves, labels and texts of `pairs`, in whatever order they are."""
    rows = [
        [
            pair.name,
            *((digests[view.path], view.half) if view else None for view in (pair.source, pair.target)),
            pair.label,
            pair.text,
        ]
        for pair in pairs
    ]
    return hashlib.sha256("\n".join(sorted(map(json.dumps, rows))).encode()).hexdigest()


def _without(listing: Listing, unusable: Collection[Path]) -> Listing:
    """`listing` without the pairs that need one of the `unusable` files."""

    def kept(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        return tuple(
            pair
            for pair in pairs
            if pair.target.path not in unusable and (pair.source is None or pair.source.path not in unusable)
        )

    return replace(listing, train=kept(listing.train), val=kept(listing.val), test=kept(listing.test))


def _matching(listing: Listing, seen: Scan, *, settings: DataSettings) -> tuple[Listing, list[Problem]]:
    """`listing` without the pairs whose sides cannot be brought to one size by `--fit`, and a problem for each."""
    problems: list[Problem] = []

    def fits(pair: Pair) -> bool:
        if pair.source is None:
            return True
        source, target = seen.facts["source", pair.source], seen.facts["target", pair.target]
        sizes = (source.height, source.width), (target.height, target.width)
        for side in (settings.resize_to, settings.size):  # in training, and in validation
            if reason := mismatch(*sizes, fit=settings.fit, side=side):
                problems.append(Problem(pair.target.path, reason))
                return False
        return True

    train, val, test = (tuple(filter(fits, pairs)) for pairs in (listing.train, listing.val, listing.test))
    return replace(listing, train=train, val=val, test=test), problems


def _with_validation(listing: Listing, seen: Scan, *, fraction: float) -> tuple[Listing, list[str]]:
    """`listing` with a part of `train` as `val` where there is none, and what was done in words."""
    if listing.val:
        return listing, []
    divided = hold_out([(pair.name, seen.looks(pair)) for pair in listing.train], fraction=fraction)
    if not divided.val:
        reason = "--val-fraction is 0" if fraction == 0 else "a single training pair cannot be divided"
        return listing, [f"no validation: there are no pairs for it, and {reason}"]
    train, val = (tuple(listing.train[i] for i in part) for part in (divided.train, divided.val))
    line = f"held out {len(val)} of {len(listing.train)} training pairs for validation"
    if divided.divided:
        line += "; all pairs are near-duplicates of one another, so validation will look better than it is"
    elif divided.together:
        line += f"; near-duplicates ({divided.together} pairs) were kept on one side"
    return replace(listing, train=train, val=val), [line]
