"""What the pictures are read as, and the set as training would see it. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translate.conditions import DataNeeds
from translate.datasets.layouts import choose, find
from translate.datasets.layouts.found import Found
from translate.datasets.layouts.splits import SPLITS
from translate.datasets.pairs import Listing, Pair, Problem, Role, View, views
from translate.datasets.preparation.conditions import with_labels
from translate.datasets.preparation.ignored import shown
from translate.datasets.prepare import Prepared, prepare
from translate.inspection.looks import Key, Look
from translate.settings import DataKind, DataSettings

ROLES: tuple[Role, ...] = ("source", "target")
LABELS = DataNeeds(label=True)


@dataclass(frozen=True, eq=False)
class Set:
    """A set that was read: what training would get of it, and where everything was found."""

    settings: DataSettings
    kind: DataKind
    layout: str
    prepared: Prepared
    roots: tuple[Path, ...]
    unpaired: frozenset[Problem]  # problems that were known before any file was opened
    held_out: bool  # the validation pictures are a part of the training ones
    lines: tuple[str, ...]  # the report of training
    looks: dict[Key, Look] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Sequence[Pair]]:
        """The examples of each split that has any."""
        every = {"train": self.prepared.train, "val": self.prepared.val, "test": self.prepared.test}
        return {name: pairs for name, pairs in every.items() if pairs}

    @property
    def given(self) -> dict[str, Sequence[Pair]]:
        """The splits as the folders are: what is held out of training is a part of it."""
        splits = self.splits
        if self.held_out and "val" in splits:
            splits = splits | {"train": (*self.prepared.train, *splits.pop("val"))}
        return splits

    @property
    def sides(self) -> tuple[Role, ...]:
        """The sides that have files."""
        keys = {role for role, _ in self.looks}
        return tuple(role for role in ROLES if role in keys)

    def of(self, pair: Pair) -> tuple[Look, ...] | None:
        """The looks of an example, its source's first; None if one of its files has gone since."""
        found = tuple(self.looks.get(key) for key in keys_of(pair))
        return None if None in found else tuple(look for look in found if look is not None)

    def name(self, view: View) -> str:
        """A file below the folder that it was found in."""
        return shown(view.path, self.roots)

    def names(self, pair: Pair) -> str:
        """The file, or the two files, of an example."""
        return " and ".join(dict.fromkeys(self.name(view) for view in views(pair)))


def keys_of(pair: Pair) -> list[Key]:
    """The sides of an example that have a file, each with it; the source first."""
    sides: tuple[tuple[Role, View | None], ...] = (("source", pair.source), ("target", pair.target))
    return [(role, view) for role, view in sides if view is not None]


def kind_of(settings: DataSettings) -> DataKind:
    """What a model would have to be trained on, as the layout says: pairs where most files have a partner.

    Raises:
        ValueError: no layout fits.
    """
    if settings.val_paired:
        return "unpaired"
    trouble: ValueError | None = None
    try:
        pairs = find(settings, kind="pairs").listing
        alone = len({problem.path for problem in pairs.problems})
        if settings.derive or 2 * len(pairs.every) >= alone:
            return "pairs"
    except ValueError as error:
        trouble = error
    for kind in ("unpaired", "domains", "targets"):
        try:
            choose(settings, kind=kind, conditioned=kind == "domains")
            found = find(settings, kind=kind)
        except ValueError as error:
            trouble = trouble or error
            continue
        if kind != "domains" or len({pair.label for pair in found.listing.every}) > 1:
            return kind
    assert trouble is not None
    raise trouble


def read_set(settings: DataSettings, kind: DataKind, *, say: Callable[[str], None], progress: bool = False) -> Set:
    """The set as training would read it; `say` gets a line now and then.

    Raises:
        ValueError: what `prepare` raises.
    """
    needs = needs_of(settings, kind)
    found: Found = find(settings, kind=kind)
    lines: list[str] = []
    say(f"reading {' and '.join(map(str, found.roots))}")
    prepared = prepare(settings.replace(strict=False), kind=kind, data_needs=needs, say=lines.append, progress=progress)
    return Set(
        settings=settings,
        kind=kind,
        layout=choose(settings, kind=kind, conditioned=bool(needs)),
        prepared=prepared,
        roots=found.roots,
        unpaired=frozenset(found.listing.problems),
        held_out=not found.listing.val,
        lines=tuple(lines),
    )


def needs_of(settings: DataSettings, kind: DataKind) -> DataNeeds:
    """Labels or captions without which the usual model of a kind has nothing to learn."""
    if kind == "domains":
        pairs = find(settings, kind=kind).listing.every
        return LABELS if any(pair.label for pair in pairs) else DataNeeds(text=True)
    return LABELS if settings.label_columns else DataNeeds()


def labelled(read: Set) -> dict[str, Sequence[Pair]]:
    """`given` with the labels that a model with `--condition label` would have; as they are if there are none."""
    train, val, test = (tuple(read.given.get(split, ())) for split in SPLITS)
    listing = Listing(train, val, test)
    try:
        found = with_labels(listing, LABELS).listing
    except ValueError:
        return read.given
    labels = {pair.label for pair in found.every if pair.label}
    if len(labels) < 2 or 2 * len(labels) > len(found.every):  # a folder a picture says nothing
        return read.given
    every = {"train": found.train, "val": found.val, "test": found.test}
    return {name: pairs for name, pairs in every.items() if pairs}
