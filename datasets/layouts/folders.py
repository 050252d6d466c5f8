"""One folder a side: `trainA trainB` as CycleGAN has them, or `train/A train/B`; pairs are of one file stem."""

from __future__ import annotations

from pathlib import Path

from translate.datasets.files import has_pictures, subfolders
from translate.datasets.layouts.found import (
    DIVIDED,
    Found,
    data_root,
    in_direction,
    kept_aside,
    listing,
    of_sides,
    same_splits,
)
from translate.datasets.layouts.splits import SPLITS, inside, named, refuse_inside
from translate.settings import DataSettings

LOOKED_FOR = (
    "trainA/ and trainB/ (valA/ valB/ testA/ testB/), or train/A/ and train/B/, or A/ and B/ (each with train/, val/, "
    "test/ inside or without)"
)


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    root = data_root(settings)
    try:
        sides = _sides(root, "train")
    except ValueError as error:
        return str(error)
    if sides is None:
        return "none of these"
    empty = [folder.relative_to(root).as_posix() for folder in sides if not has_pictures(folder)]
    return f"no pictures in {empty[0]}/" if empty else None


def find(settings: DataSettings) -> Found:
    """Pairs of each split; with `--derive` the target side alone.

    Raises:
        ValueError: a split has one side only or two places, or its sides have no stem in common.
    """
    return _find(settings, paired=True)


def find_sides(settings: DataSettings) -> Found:
    """The pictures of each side of each split, without pairs; with `--val-paired` those of `val` are pairs.

    Raises:
        ValueError: a split has one side only or two places, or there is no `val` for `--val-paired`.
    """
    return _find(settings, paired=False)


def _find(settings: DataSettings, *, paired: bool) -> Found:
    root = data_root(settings)
    places, reread = _places(root)
    if settings.val_paired and "val" not in places:
        raise ValueError(f"--val-paired: {root} holds no valA/ and valB/ whose pictures could be pairs: leave it out")
    directed = {split: in_direction(*sides, settings=settings) for split, sides in places.items()}
    if settings.derive:
        directed_places: dict[str, tuple[Path | None, Path]] = {split: (None, b) for split, (_, b) in directed.items()}
    else:
        directed_places = dict(directed)
    pairs, problems = of_sides(directed_places, paired=paired, val_paired=settings.val_paired)
    found = listing(pairs, problems)
    return Found(found, roots=(root,), notes=kept_aside(found), reread=reread)


def _places(root: Path) -> tuple[dict[str, tuple[Path, Path]], tuple[str, ...]]:
    """The folders A and B of each split, and what the first version read otherwise.

    Raises:
        ValueError: a split has one side only, or more than one place.
    """
    places = {split: sides for split in SPLITS if (sides := _sides(root, split))}
    reread: tuple[str, ...] = ()
    whole = {"train": (root / "A", root / "B")}
    if places.get("train") == whole["train"]:
        a, b = (inside(side) for side in whole["train"])
        same_splits(a, b, folders=whole["train"])
        twice = [split for split in a if split != "train" and split in places]
        if twice:
            raise ValueError(
                f"{root}: {_names(places[twice[0]], root)} and {_names((a[twice[0]],), root)} could both be "
                f"the {twice[0]} split: keep one of them"
            )
        if a:
            places |= {split: (a[split], b[split]) for split in a}
            reread = (DIVIDED.format(_names(tuple(a.values()), root)),)
    for split, sides in places.items():
        for side in sides:
            refuse_inside(side, split)
    return places, reread


def _names(folders: tuple[Path, ...], root: Path) -> str:
    return " ".join(f"{folder.relative_to(root).as_posix()}/" for folder in folders)


def _sides(root: Path, split: str) -> tuple[Path, Path] | None:
    """The folders A and B of `split`, or None where there is neither.

    Raises:
        ValueError: only one of the two, or more than one place that could be meant.
    """
    places: dict[Path, dict[str, Path]] = {}  # by what stands before the letter
    for folder in subfolders(root):
        found = named(folder.name)
        if found is None or found.split != split:
            continue
        if found.side and found.side in "AB":
            places.setdefault(folder.with_name(folder.name[:-1]), {})[found.side] = folder
        elif not found.part:
            sides = {letter: folder / letter for letter in "AB" if (folder / letter).is_dir()}
            places |= {folder / "x": sides} if sides else {}
    if not places and split == "train":
        bare = {letter: root / letter for letter in "AB" if (root / letter).is_dir()}
        places = {root / "x": bare} if bare else {}
    if not places:
        return None
    if len(places) > 1:
        names = " and ".join(next(iter(sides.values())).relative_to(root).as_posix() for sides in places.values())
        raise ValueError(f"{root}: {names} could both be sides of the {split} split: keep one of them")
    (sides,) = places.values()
    for absent in "AB":
        if absent not in sides:
            (present,) = sides.values()
            other = present.with_name(present.name[:-1] + absent)
            raise ValueError(f"{root}: {present.relative_to(root)}/ but no {other.relative_to(root)}/")
    return sides["A"], sides["B"]
