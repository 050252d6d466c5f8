"""Domains: one folder a class, `train/summer train/winter`, or `summer winter` without splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from translate.datasets.files import alone, has_pictures, subfolders, tree
from translate.datasets.layouts.found import DIVIDED, Found, data_root, kept_aside, listing
from translate.datasets.layouts.splits import (
    SPLITS,
    Named,
    inside,
    named,
    read_otherwise,
    refuse_inside,
    split_folders,
)
from translate.datasets.pairs import Pair
from translate.settings import DataSettings

UNLABELLED = ("unlabelled", "unlabeled")  # folders of pictures without a label

LOOKED_FOR = "a folder of each class in train/ (val/ test/) or directly in the folder, or trainA/, trainB/, trainC/ ..."
ONE_OF = "have a folder of each class in train/, val/ and test/, or directly in the folder, and nothing beside them"


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    root = data_root(settings)
    try:
        classes, _ = _classes(root)
    except ValueError as error:
        return str(error)
    if "train" not in classes:
        places = (folder.relative_to(root).parts[0] for folders in classes.values() for folder in folders.values())
        return f"{' and '.join(f'{name}/' for name in dict.fromkeys(places))} but no train/"
    if not any(has_pictures(folder) for folder in classes["train"].values()):
        train = split_folders(root).get("train")
        return f"no folders of pictures in {f'{train.name}/' if train else root}"
    return None


def find(settings: DataSettings) -> Found:
    """Every picture of every class, labelled with the name of its folder, by which its own name begins.

    Those in a folder called unlabelled or unlabeled have no label.

    Raises:
        ValueError: it is not clear which folders are splits and which are classes.
    """
    root = data_root(settings)
    classes, reread = _classes(root)
    pairs: dict[str, tuple[Pair, ...]] = {}
    empty: list[str] = []
    for split, folders in classes.items():
        pairs[split] = ()
        for label, folder in folders.items():
            found, given = alone(folder), None if label.lower() in UNLABELLED else label
            pairs[split] += tuple(replace(pair, name=f"{label}/{pair.name}", label=given) for pair in found)
            empty += [] if found else [f"{folder.relative_to(root).as_posix()}/"]
    made = listing(pairs)
    notes = (f"folders without pictures, so no classes: {', '.join(empty)}",) if empty else ()
    return Found(made, roots=(root,), notes=notes + kept_aside(made), reread=reread)


def _classes(root: Path) -> tuple[dict[str, dict[str, Path]], tuple[str, ...]]:
    """Of each split the folder of each class, by its label; and what the first version read otherwise.

    Raises:
        ValueError: it is not clear which folders are splits and which are classes.
    """
    below = {folder.name: folder for folder in subfolders(root)}
    full = {name for name, folder in below.items() if has_pictures(folder)}
    of_splits = {name: found for name in below if (found := named(name))}
    whole = {name: found for name, found in of_splits.items() if not found.part}
    parts = {name: found for name, found in of_splits.items() if found.part and name in full}
    by_word = len({found.split for found in parts.values()}) > 1 and any(found.word for found in parts.values())
    others = full - of_splits.keys()
    if whole and not _is_class(whole, full=full, others=others, folders=below):
        if parts:
            raise ValueError(f"{root}: holds {', '.join(f'{name}/' for name in sorted({*whole, *parts}))}: {ONE_OF}")
        splits = split_folders(root)
        classes = {split: {path.name: path for path in subfolders(folder)} for split, folder in splits.items()}
        _check(classes)
        return classes, read_otherwise(splits)
    if by_word and others:
        raise ValueError(
            f"{root}: {', '.join(f'{name}/' for name in sorted(parts))} are named for splits, and "
            f"{', '.join(f'{name}/' for name in sorted(others))} not: {ONE_OF}"
        )
    if by_word or any(found.side for found in parts.values()):
        return _by_name(root, {name: found for name, found in parts.items() if by_word or found.side})
    return _by_class(root, below)


def _is_class(whole: dict[str, Named], *, full: set[str], others: set[str], folders: dict[str, Path]) -> bool:
    """Whether the one folder that is named for a split is a class beside `others`; those in `full` hold pictures.

    Raises:
        ValueError: it could be either.
    """
    if len(whole) > 1 or not others:
        return False
    (name,) = whole
    if name not in full:
        return True
    if not inside(folders[name]) and not any(not below for below, _ in tree(folders[name]).listed_pictures):
        raise ValueError(
            f"{folders[name].parent}: {name}/ could be a split, or a class beside "
            f"{', '.join(f'{other}/' for other in sorted(others))}: {ONE_OF}"
        )
    return True


def _by_name(root: Path, of_splits: dict[str, Named]) -> tuple[dict[str, dict[str, Path]], tuple[str, ...]]:
    """`trainA trainB trainC`: classes called by their letters; and `train_summer test_summer`."""
    found: dict[str, dict[str, Path]] = {}
    for name, what in of_splits.items():
        before = found.setdefault(what.split, {}).setdefault(what.part, root / name)
        if before != root / name:
            raise ValueError(
                f"{root}: holds both {before.name} and {name}: keep one, since both are {what.part} of {what.split}"
            )
    _check(found)
    words = any(what.word for what in of_splits.values())
    return found, (DIVIDED.format(" ".join(f"{name}/" for name in of_splits)),) if words else ()


def _by_class(root: Path, below: dict[str, Path]) -> tuple[dict[str, dict[str, Path]], tuple[str, ...]]:
    """`summer winter`, with `train`, `val` and `test` in each or in none."""
    divided = {name: inside(folder) for name, folder in below.items()}
    full = {name: splits for name, splits in divided.items() if splits or has_pictures(below[name])}
    if not any(full.values()):
        return {"train": below}, ()
    plain = [f"{name}/" for name, splits in full.items() if not splits]
    if plain:
        raise ValueError(
            f"{root}: {', '.join(plain)} holds no train/, val/ or test/, as other classes do: divide all or none"
        )
    found = {
        split: {name: splits[split] for name, splits in full.items() if split in splits}
        for split in SPLITS
        if any(split in splits for splits in full.values())
    }
    _check(found)
    return found, (DIVIDED.format("train/, val/, test/ in the classes"),)


def _check(found: dict[str, dict[str, Path]]) -> None:
    """Raises:
    ValueError: the folder of a class holds splits itself.
    """
    for split, classes in found.items():
        for folder in classes.values():
            refuse_inside(folder, split)
