"""Which split each line of a table is of: by its column `split`, or by the folders of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from translate.datasets.layouts.splits import Below, split_named


class RowSplits:
    """The splits that the paths of one column name: the first folder below those that all files have in common.

    Args:
        table: to be named in errors.
        paths: of the files, below the table.
        by_folder: the folders decide, and must be clear; else a column does, and one split among others is a class.

    Raises:
        ValueError: `by_folder`, and it is not clear which folders are splits.
    """

    def __init__(self, table: Path, paths: Sequence[Path], *, by_folder: bool) -> None:
        folders = [path.parent.parts for path in paths]
        common = _common(folders)
        self._depth = next((i for i, name in enumerate(common) if split_named(name)), len(common))
        below = Below(table.parent.joinpath(*common[: self._depth]), Counter(parts[self._depth :] for parts in folders))
        parts = {name: found.split for name, found in below.named.items() if found.part}
        whole = {name: found.split for name, found in below.named.items() if not found.part}
        divides = len(set(parts.values())) > 1
        self._splits = whole
        if divides and not (below.others or below.loose or whole):
            self._splits = parts
        elif divides and by_folder:
            raise ValueError(
                f"{table}: {', '.join(f'{name}/' for name in sorted(below.named))} are named for splits and other "
                "files lie beside them: add a column split with train, val or test in each line"
            )
        if by_folder:
            try:
                below.refuse_deeper()
            except ValueError as error:
                raise ValueError(f"{error}; or add a column split to {table.name}") from None
        alone = set(self._splits.values())
        if below.others and (alone == {"train"} or (len(alone) == 1 and not by_folder)):
            self._splits = {}  # a class may be called "train"

    def of(self, path: Path) -> str | None:
        """The split that the folder of `path` names, or None."""
        inner = path.parent.parts[self._depth :]
        return self._splits.get(inner[0]) if inner else None

    def class_folder(self, path: Path) -> str:
        """The first folder below the split, or an empty text."""
        inner = path.parent.parts[self._depth :]
        if inner and inner[0] in self._splits:
            inner = inner[1:]
        return inner[0] if inner else ""


def _common(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders that all paths begin with."""
    same = 0
    for names in zip(*folders, strict=False):
        if len(set(names)) > 1:
            break
        same += 1
    return folders[0][:same] if folders else ()


def split_of_cell(cell: object) -> str:
    """The split that a cell of the column `split` says.

    Raises:
        ValueError: it says something else, or nothing.
    """
    text = "" if cell is None else str(cell).strip()
    split = split_named(text) if isinstance(cell, str) else None
    if split is None:
        wrong = f"split {text!r} is none" if text else "its split is empty: give one"
        raise ValueError(f"{wrong} of train, val (validation, dev) and test")
    return split
