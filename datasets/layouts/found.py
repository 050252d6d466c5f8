"""What every layout gives back, and the few things that several of them need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from translate.datasets.files import SPLITS, require_folder, split_folder
from translate.datasets.pairs import Listing, Pair, Problem
from translate.settings import DataSettings

Side = TypeVar("Side")

NOT_PAIRED = "leave out --val-paired if the validation pictures are no pairs"


@dataclass(frozen=True)
class Found:
    """The pairs of a layout, where they come from, and remarks that the user should read."""

    listing: Listing
    roots: tuple[Path, ...]  # the folders that were searched
    tables: tuple[Path, ...] = ()  # files in them that were read and are not pictures
    notes: tuple[str, ...] = ()


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


def in_direction(a: Side, b: Side, *, settings: DataSettings) -> tuple[Side, Side]:
    """`(source, target)` of the sides A and B."""
    return (a, b) if settings.direction == "AtoB" else (b, a)


def refuse_direction(settings: DataSettings, *, instead: str) -> None:
    """Raises:
    ValueError: `--direction BtoA` where there is no side A and B to swap.
    """
    if settings.direction == "BtoA":
        raise ValueError(f"--direction BtoA has no meaning here: {instead}")


def split_roots(root: Path) -> dict[str, Path]:
    """The folder of each split: `train/ val/ test/` below `root`, or `root` as `train` if there are none.

    With `val/` or `test/` but no `train/` the answer has no `train`: those must not be trained on.
    """
    found = {split: split_folder(root, split) for split in SPLITS}
    present = {split: folder for split, folder in found.items() if folder is not None}
    return present or {"train": root}


def kept_aside(listing: Listing) -> tuple[str, ...]:
    """A remark for those who expect the test pictures to be validated on."""
    if listing.test and not listing.val:
        return ("the test pictures are kept aside and not validated on",)
    return ()
