"""The result of every layout, and functions that several of them use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from translate.datasets.files import alone, pair_by_stem, require_folder
from translate.datasets.layouts.splits import SPLITS
from translate.datasets.pairs import Listing, Pair, Problem
from translate.settings import DataSettings

Side = TypeVar("Side")

DIVIDED = "{} are splits now, and were one set"
NOT_PAIRED = "leave out --val-paired if the validation pictures are no pairs"


@dataclass(frozen=True)
class Found:
    """The pairs of a layout, where they come from, and remarks that the user should read."""

    listing: Listing
    roots: tuple[Path, ...]  # the folders that were searched
    tables: tuple[Path, ...] = ()  # files in them that were read and are not pictures
    notes: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()  # what the first version read otherwise: why a run of then has other pictures
    regrouped: bool = False  # and it may have had the same pictures, in other splits


def data_root(settings: DataSettings) -> Path:
    """The folder of `--data`.

    Raises:
        ValueError: it is missing, or a file.
    """
    if settings.data is None:
        raise ValueError(f"--layout {settings.layout} goes with --data FOLDER, not with --source and --target")
    return require_folder(settings.data, flag="--data")


def listing(pairs: Mapping[str, Iterable[Pair]], problems: Iterable[Problem] = ()) -> Listing:
    """A `Listing` from the pairs of each split."""
    train, val, test = (tuple(pairs.get(split, ())) for split in SPLITS)
    return Listing(train=train, val=val, test=test, problems=tuple(problems))


def of_sides(
    places: Mapping[str, tuple[Path | None, Path]], *, paired: bool, val_paired: bool = False
) -> tuple[dict[str, tuple[Pair, ...]], tuple[Problem, ...]]:
    """The pairs in the folders of source and target of each split, or without `paired` the pictures of each alone.

    Without a folder of sources the targets are alone. `val_paired`: those of `val` are pairs in any case.

    Raises:
        ValueError: the two folders of a split have no stem in common.
    """
    pairs: dict[str, tuple[Pair, ...]] = {}
    problems: tuple[Problem, ...] = ()
    for split, (source, target) in places.items():
        if source is None:
            pairs[split] = alone(target)
        elif paired or (val_paired and split == "val"):
            pairs[split], unpaired = pair_by_stem(source, target, **({} if paired else {"otherwise": NOT_PAIRED}))
            problems += unpaired
        else:
            pairs[split] = alone(source, "source") + alone(target, "target")
    return pairs, problems


def same_splits(source: Mapping[str, Path], target: Mapping[str, Path], *, folders: tuple[Path, Path]) -> None:
    """Raises:
    ValueError: one of the two sides is divided into splits that the other one lacks.
    """
    for one, other, (here, there) in ((source, target, folders), (target, source, folders[::-1])):
        lacking = [path.name for split, path in one.items() if split not in other]
        if lacking:
            raise ValueError(
                f"{here} holds {', '.join(f'{name}/' for name in lacking)} and {there} does not: "
                "both sides need the same splits, or none"
            )


def in_direction(a: Side, b: Side, *, settings: DataSettings) -> tuple[Side, Side]:
    """`(source, target)` of the sides A and B."""
    return (a, b) if settings.direction == "AtoB" else (b, a)


def refuse_direction(settings: DataSettings, *, instead: str) -> None:
    """Raises:
    ValueError: `--direction BtoA` where there is no side A and B to swap.
    """
    if settings.direction == "BtoA":
        raise ValueError(f"--direction BtoA has no meaning here: {instead}")


def kept_aside(listing: Listing) -> tuple[str, ...]:
    """A note that test pictures are not validated on, where there are no others for it."""
    if listing.test and not listing.val:
        return ("the test pictures are kept aside and not validated on",)
    return ()
