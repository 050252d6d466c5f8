"""Which folders hold the training, validation and test pictures of a set, by their names. Imports no torch.

A folder of pictures is divided where all of its subfolders are named for splits. One that is named so beside others is
a class of that name. What could be read in two ways is refused: a test picture that is trained on
would go unnoticed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from translate.datasets.files import subfolders, tree

SPLITS = ("train", "val", "test")

WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""What splits are called, in any case. An evaluation set is the one that figures are published of: a test set."""

FIRST_WORDS = ("train", "val", "validation", "test")
"""Those that the first version knew; a set with others was read otherwise by it."""

NAME = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})(?:[-_ ]?([A-Z])|[-_ ](.+))?", re.IGNORECASE)

LAID_OUT = "train/, val/ and test/ are splits where all subfolders are: move what lies beside them"


@dataclass(frozen=True)
class Named:
    """The split that the name of a folder stands for, and a side or class of it."""

    split: str  # of SPLITS
    part: str = ""  # a side or class, as in trainA and train_summer; empty: all of the split

    @property
    def side(self) -> str | None:
        """The single letter of `trainA`, or None."""
        return self.part.upper() if len(self.part) == 1 and self.part.isalpha() else None

    @property
    def word(self) -> str | None:
        """The class of `train_summer`, or None."""
        return self.part if self.part and not self.side else None


def named(name: str) -> Named | None:
    """What a folder is of by its name: `train`, `Validation`, `trainA`, `test_B`, `train_summer`; None: of no split."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    word, letter, rest = match.groups()
    if letter and len(name) == len(word) + 1 and (letter.islower() or word.isupper()):
        return None  # a plural, as in "tests" and "TESTS"
    return Named(WORDS[word.lower()], letter or rest or "")


def split_named(name: str) -> str | None:
    """The split that a folder or a table's cell of this name is, whole; None for any other."""
    found = named(name.strip())
    return found.split if found and not found.part else None


def split_folders(root: Path) -> dict[str, Path]:
    """The subfolders of `root` that are named for a whole split.

    Raises:
        ValueError: two of them claim one split.
    """
    return _whole(path for path in subfolders(root) if split_named(path.name))


def inside(folder: Path) -> dict[str, Path]:
    """The folder of each split within one side of a set, or within a class; empty where all of it is one.

    Raises:
        ValueError: pictures beside the splits, two folders for one split, no training pictures, or splits deeper down.
    """
    below = _below(folder)
    if not below.named:
        below.refuse_deeper()
        return {}
    if below.others:
        if len(below.splits) > 1:
            raise ValueError(
                f"{folder}: {_listed(below.named)} are named for splits and {_listed(below.others)} not, so that it is "
                f"not known what to train on: {LAID_OUT}, or rename them"
            )
        below.refuse_deeper()
        return {}  # a class may be called "train"
    if any(found.word for found in below.named.values()) and len(below.splits) == 1:
        below.refuse_deeper()
        return {}  # classes such as train_station and train_track
    if below.loose:
        raise ValueError(
            f"{folder}: {below.loose} pictures lie beside {_listed(below.named)}, so that it is not known which split "
            f"they are of: {LAID_OUT}, or rename the folders"
        )
    parts = {found.part for found in below.named.values()}
    if len(parts - {""}) > 1:
        raise ValueError(
            f"{folder}: {_listed(below.named)} are the sides or classes of a whole set, and one side was looked for: "
            "give the folder of one side (with train/, val/ and test/ inside, if there are such)"
        )
    found = _whole(folder / name for name in below.named)
    if "train" not in found:
        raise ValueError(f"{folder}: {_listed(below.named)} but no train/: these are not trained on")
    below.refuse_deeper()
    return found


def refuse_inside(folder: Path, split: str) -> None:
    """Raises:
    ValueError: `folder`, which is of `split`, holds splits itself.
    """
    below = _below(folder)
    others = {name: found for name, found in below.named.items() if found.split != split}
    if others and not below.others:
        raise ValueError(
            f"{folder}: this is the {split} split, and {_listed(others)} inside is named for another: "
            "take it out, or rename it"
        )
    below.refuse_deeper()


def roots(root: Path) -> dict[str, Path]:
    """The folder of each split of a set without sides: `train/ val/ test/` below `root`, or `root` as `train`.

    With `val/` or `test/` but no `train/` the answer has no `train`: those must not be trained on.

    Raises:
        ValueError: it is not clear which folders are splits.
    """
    below = _below(root)
    found = split_folders(root)
    sides = {name: what for name, what in below.named.items() if what.side}
    parts = {name: what for name, what in below.named.items() if what.word}
    if sides or len({what.split for what in parts.values()}) > 1:
        raise ValueError(
            f"{_listed(sides or parts)} are the sides or classes of a set: pictures of one kind lie in train/, val/ "
            "and test/, or directly in the folder"
        )
    if not found:
        below.refuse_deeper()
        return {"train": root}
    if len(found) == 1 and "train" in found and below.others:
        raise ValueError(
            f"{found['train'].name}/ could be the training split, or a class beside {_listed(below.others)}: "
            f"{LAID_OUT}, or put all classes into train/"
        )
    for split, folder in found.items():
        refuse_inside(folder, split)
    return found


def read_otherwise(folders: Mapping[str, Path]) -> tuple[str, ...]:
    """The splits of `roots` or `split_folders` that the first version did not know, in words."""
    new = [folder.name for folder in folders.values() if folder.name not in FIRST_WORDS]
    return (f"{', '.join(f'{name}/' for name in new)} is a split now",) if new and len(folders) > 1 else ()


def _below(folder: Path) -> Below:
    counted: Counter[tuple[str, ...]] = Counter()
    for below, names in tree(folder).listed_pictures:
        counted[tuple(below.split("/")) if below else ()] += len(names)
    return Below(folder, counted)


def _whole(folders: Iterable[Path]) -> dict[str, Path]:
    """Of each split the folder that is named for it."""
    claimed: dict[str, list[Path]] = defaultdict(list)
    for path in folders:
        if found := named(path.name):
            claimed[found.split].append(path)
    for split, paths in claimed.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise ValueError(f"{paths[0].parent}: holds both {names}: keep one, since both mean the {split} split")
    return {split: claimed[split][0] for split in SPLITS if split in claimed}


class Below:
    """The folders with pictures right below one, and the splits that they are named for.

    Args:
        folder: that one.
        parts: the names of the folders between it and each picture, in the pictures' order, and how many have these.
    """

    def __init__(self, folder: Path, parts: Counter[tuple[str, ...]]) -> None:
        self.folder = folder
        self._parts = parts
        self.loose = parts[()]
        tops = dict.fromkeys(parts[0] for parts in self._parts if parts)
        self.named = {name: found for name in tops if (found := named(name))}
        self.others = [name for name in tops if name not in self.named]
        self.splits = {found.split for found in self.named.values()}

    def refuse_deeper(self) -> None:
        """Raises:
        ValueError: splits further down, as in `city/train` and `city/val`.
        """
        children: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for parts in self._parts:
            for depth in range(1, len(parts)):
                children[parts[:depth]].add(parts[depth])
        splits: dict[str, Path] = {}
        for parents, names in sorted(children.items()):
            found = [(name, what) for name in sorted(names) if (what := named(name))]
            if len(found) == len(names) or len({what.split for _, what in found}) > 1:
                splits |= {what.split: self.folder.joinpath(*parents, name) for name, what in found}
        if len(splits) > 1:
            places = " and ".join(f"{path.relative_to(self.folder).as_posix()}/" for path in splits.values())
            raise ValueError(
                f"{self.folder}: {places} are named for splits, deep inside: give the folder that holds them, or lay "
                "the set out with train/, val/ and test/ above everything else"
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in sorted(names))
