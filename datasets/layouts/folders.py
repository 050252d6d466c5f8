"""One folder a side: `trainA trainB` as CycleGAN has them, or `train/A train/B`; pairs are of one file stem."""

from __future__ import annotations

from pathlib import Path

from translate.datasets.files import SPLITS, alone, pair_by_stem, pictures
from translate.datasets.layouts.found import NOT_PAIRED, Found, data_root, in_direction, kept_aside, listing
from translate.datasets.pairs import Pair, Problem
from translate.settings import DataSettings

LOOKED_FOR = "trainA/ and trainB/ (valA/ valB/ testA/ testB/), or train/A/ and train/B/, or A/ and B/"


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    root = data_root(settings)
    try:
        sides = _sides(root, "train")
    except ValueError as error:
        return str(error)
    if sides is None:
        return "none of these"
    empty = [folder.relative_to(root).as_posix() for folder in sides if not pictures(folder)]
    return f"no pictures in {empty[0]}/" if empty else None


def find(settings: DataSettings) -> Found:
    """Pairs of each split; with `--derive` the target side alone.

    Raises:
        ValueError: a split has one side only or two places, or its sides have no stem in common.
    """
    root = data_root(settings)
    pairs: dict[str, tuple[Pair, ...]] = {}
    problems: list[Problem] = []
    for split in SPLITS:
        sides = _sides(root, split)
        if sides is None:
            continue
        source, target = in_direction(*sides, settings=settings)
        if settings.derive:
            pairs[split] = alone(target)
        else:
            pairs[split], unpaired = pair_by_stem(source, target)
            problems += unpaired
    found = listing(pairs, problems)
    return Found(found, roots=(root,), notes=kept_aside(found))


def find_sides(settings: DataSettings) -> Found:
    """The pictures of each side of each split, without pairs; with `--val-paired` those of `val` are pairs.

    Raises:
        ValueError: a split has one side only or two places, or there is no `val` for `--val-paired`.
    """
    root = data_root(settings)
    pairs: dict[str, tuple[Pair, ...]] = {}
    problems: tuple[Problem, ...] = ()
    for split in SPLITS:
        sides = _sides(root, split)
        if sides is None:
            continue
        source, target = in_direction(*sides, settings=settings)
        if split == "val" and settings.val_paired:
            pairs[split], problems = pair_by_stem(source, target, otherwise=NOT_PAIRED)
        else:
            pairs[split] = alone(source, "source") + alone(target, "target")
    if settings.val_paired and "val" not in pairs:
        raise ValueError(f"--val-paired: {root} holds no valA/ and valB/ whose pictures could be pairs: leave it out")
    found = listing(pairs, problems)
    return Found(found, roots=(root,), notes=kept_aside(found))


def _sides(root: Path, split: str) -> tuple[Path, Path] | None:
    """The folders A and B of `split`, or None where there is neither.

    Raises:
        ValueError: only one of the two, or more than one place that could be meant.
    """
    places = [place for name in SPLITS[split] for place in (root / f"{name}{{}}", root / name / "{}")]
    found = [place for place in places if any(_side(place, letter).is_dir() for letter in "AB")]
    if not found and split == "train" and any((root / letter).is_dir() for letter in "AB"):
        found = [root / "{}"]
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(_side(place, "A").relative_to(root).as_posix() for place in found)
        raise ValueError(f"{root}: {names} could both be side A of the {split} split: keep one of them")
    a, b = (_side(found[0], letter) for letter in "AB")
    for present, absent in ((a, b), (b, a)):
        if not absent.is_dir():
            raise ValueError(f"{root}: {present.relative_to(root)}/ but no {absent.relative_to(root)}/")
    return a, b


def _side(place: Path, letter: str) -> Path:
    return place.with_name(place.name.format(letter))
