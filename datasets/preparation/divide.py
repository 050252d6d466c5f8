"""Divides a set into training and validation: pairs, two sides, domains, or pairs taken apart. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from translate.datasets.pairs import ROLES, Listing, Pair, Problem, of_side, views
from translate.datasets.preparation.holdout import hold_out
from translate.datasets.preparation.scan import Scan
from translate.datasets.preparation.usable import matching
from translate.settings import DataSettings

Pairs = tuple[Pair, ...]


@dataclass(frozen=True)
class Division:
    """A listing whose `val` is filled where that can be, and lines that report how."""

    listing: Listing
    notes: tuple[str, ...] = ()


def in_pairs(listing: Listing, seen: Scan, *, fraction: float) -> Division:
    """Pairs: a part of `train` becomes `val` where there is none."""
    if listing.val:
        return Division(listing)
    divided = hold_out([pair.name for pair in listing.train], *seen.looks(listing.train), fraction=fraction)
    if not divided.val:
        reason = "--val-fraction is 0" if fraction == 0 else "a single training pair cannot be divided"
        return Division(listing, (f"no validation: there are no pairs for it, and {reason}",))
    train, val = (tuple(listing.train[i] for i in part) for part in (divided.train, divided.val))
    line = f"held out {len(val)} of {len(listing.train)} training pairs for validation"
    if divided.divided:
        line += "; all pairs are near-duplicates of one another, so validation will look better than it is"
    elif divided.together:
        line += f"; near-duplicates ({divided.together} pairs) were kept on one side"
    return Division(replace(listing, train=train, val=val), (line,))


def in_sides(listing: Listing, seen: Scan, *, fraction: float) -> Division:
    """Pictures alone: a part of each side of `train` becomes `val` where there is none.

    The only picture of a side is trained on and shown in validation as well.
    """
    if listing.val:
        return Division(listing)
    if fraction == 0:
        return Division(listing, ("no validation: there are no pictures for it, and --val-fraction is 0",))
    train: list[Pair] = []
    val: list[Pair] = []
    notes: list[str] = []
    held_out = False
    for role in ROLES:
        side = of_side(listing.train, role)
        divided = hold_out([pair.name for pair in side], *seen.looks(side), fraction=fraction)
        held_out = held_out or bool(divided.val)
        train += [side[i] for i in divided.train]
        val += [side[i] for i in divided.val] or side
        if not divided.val:
            notes.append(f"the only training {role} serves in validation as well")
            continue
        line = f"held out {len(divided.val)} of {len(side)} training {role}s for validation"
        if divided.divided:
            line += "; all are near-duplicates of one another"
        elif divided.together:
            line += f"; near-duplicates ({divided.together}) were kept together"
        notes.append(line)
    if not held_out:
        return Division(listing, ("no validation: there are no pictures for it, and none to spare",))
    return Division(replace(listing, train=tuple(train), val=tuple(val)), tuple(notes))


def in_domains(listing: Listing, seen: Scan, *, fraction: float) -> Division:
    """Domains: a part of each class of `train` becomes `val`; of all together where most labels occur once.

    A class of a single picture stays in training.
    """
    if listing.val:
        return Division(listing)
    classes: dict[str | None, list[Pair]] = {}
    for pair in listing.train:
        classes.setdefault(pair.label, []).append(pair)
    if 2 * len(classes) > len(listing.train):
        classes = {None: list(listing.train)}
    train: set[Pair] = set()
    together = 0
    alike: list[str] = []
    for label, pairs in classes.items():
        divided = hold_out([pair.name for pair in pairs], *seen.looks(pairs), fraction=fraction)
        train.update(pairs[i] for i in divided.train)
        together += 0 if divided.divided else divided.together
        alike += [label or "no label"] if divided.divided else []
    if len(train) == len(listing.train):
        reason = "--val-fraction is 0" if fraction == 0 else "none to spare"
        return Division(listing, (f"no validation: there are no pictures for it, and {reason}",))
    val = tuple(pair for pair in listing.train if pair not in train)
    line = f"held out {len(val)} of {len(listing.train)} training pictures for validation"
    if together:
        line += f"; near-duplicates ({together}) were kept together"
    if alike:
        line += f"; all pictures are near-duplicates of one another in: {', '.join(alike)}"
    return Division(replace(listing, train=tuple(pair for pair in listing.train if pair in train), val=val), (line,))


def taken_apart(
    whole: Listing, alone: Listing, seen: Scan, *, settings: DataSettings
) -> tuple[Division, list[Problem]]:
    """Pairs whose pictures are trained on separately; those of `val` stay pairs, held out where there are none.

    Args:
        whole: usable pairs.
        alone: all usable pictures of them, and of broken pairs, each alone.

    Returns:
        The division, and a problem for each pair of `val` whose sides cannot be brought to one size.
    """
    note = "pairs are taken apart for training: each picture is combined with any of the other side"
    given, problems = matching(replace(whole, train=(), test=()), seen, settings=settings)
    if given.val:
        return Division(replace(alone, val=given.val), (note,)), problems
    # In training their sizes need not go together, so that those which do not are no problem.
    candidates, _ = matching(replace(whole, val=(), test=()), seen, settings=settings)
    held = in_pairs(candidates, seen, fraction=settings.val_fraction)
    val = held.listing.val
    train: Pairs = ()
    for role in ROLES:
        side = of_side(alone.train, role)
        held_out = {view for pair in of_side(val, role) for view in views(pair)}
        train += (
            tuple(pair for pair in side if held_out.isdisjoint(views(pair))) or side
        )  # one source may have all targets
    return Division(replace(alone, train=train, val=val), (note, *held.notes)), problems
