"""One folder a class, for one heap of pictures: `train/summer train/winter`, or `summer winter` without splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from translate.datasets.files import SPLITS, alone, pictures, split_folder
from translate.datasets.layouts.found import Found, data_root, kept_aside, listing
from translate.datasets.pairs import Pair
from translate.settings import DataSettings

LOOKED_FOR = "a folder of each class in train/ (val/ test/) or directly in the folder, or trainA/ and trainB/"


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    root = data_root(settings)
    classes = _classes(root)
    if "train" not in classes:
        return f"{' and '.join(classes)} but no train/"
    if not any(pictures(folder) for folder in classes["train"].values()):
        place = "train/" if split_folder(root, "train") else root
        return f"no folders of pictures in {place}"
    return None


def find(settings: DataSettings) -> Found:
    """Every picture of every class, labelled with the name of its folder, by which its own name begins."""
    root = data_root(settings)
    pairs: dict[str, tuple[Pair, ...]] = {}
    empty: list[str] = []
    for split, classes in _classes(root).items():
        pairs[split] = ()
        for label, folder in classes.items():
            found = alone(folder)
            pairs[split] += tuple(replace(pair, name=f"{label}/{pair.name}", label=label) for pair in found)
            empty += [] if found else [f"{folder.relative_to(root).as_posix()}/"]
    made = listing(pairs)
    notes = (f"folders without pictures, so no classes: {', '.join(empty)}",) if empty else ()
    return Found(made, roots=(root,), notes=notes + kept_aside(made))


def _classes(root: Path) -> dict[str, dict[str, Path]]:
    """Of each split the folder of each class, by its label."""
    found = {split: folder for split in SPLITS if (folder := split_folder(root, split))}
    if found:
        return {split: _inside(folder) for split, folder in found.items()}
    sides = {split: _sides(root, split) for split in SPLITS}
    if any(sides.values()):
        return {split: classes for split, classes in sides.items() if classes}
    return {"train": _inside(root)}


def _inside(folder: Path) -> dict[str, Path]:
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in inside}


def _sides(root: Path, split: str) -> dict[str, Path]:
    """`trainA` and `trainB`, as CycleGAN has them: classes called A and B."""
    places = {letter: [root / f"{name}{letter}" for name in SPLITS[split]] for letter in "AB"}
    return {letter: path for letter, paths in places.items() for path in paths if path.is_dir()}
