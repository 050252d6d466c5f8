"""Labels and texts of pictures from a table of files, for `--labels-from`. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from translate.conditions import BETWEEN, Conditions, Request
from translate.datasets.files import nfc
from translate.datasets.table import as_labels, as_text, rows
from translate.inference.requests import encode
from translate.outside import visible

FLAG = "--labels-from"
FILES = ("file_name", "target_file_name")  # columns that name a picture, as in a table to train on
STEERING = ("label", "text")


@dataclass(frozen=True)
class Row:
    """What a line of the table says of a picture."""

    line: int
    files: tuple[str, ...]  # paths with forward slashes
    asked: Request


class ConditionTable:
    """The lines of a table, found by the pictures that they name: by the path in the folder, else by the file's name.

    Which lines were found is kept, so that those that name no picture can be told.
    """

    def __init__(self, table: Path, conditions: Conditions) -> None:
        """Reads the table. Of the columns `label` and `text` those count that the model is steered by.

        Raises:
            ValueError: it cannot be read, names no pictures, has nothing that the model is steered by, or a label that
                the model does not know; or two lines disagree on a picture.
        """
        self.table = table
        self._paths: dict[str, Row] = {}
        self._names: defaultdict[str, list[Row]] = defaultdict(list)
        self._unseen: dict[int, str] = {}
        checked: set[str] = set()
        for line, cells in _cells(table):
            try:
                row = _row(line, cells, conditions)
            except ValueError as error:
                raise ValueError(f"{FLAG} {table}: line {line}: {error}") from None
            if (known := repr(row.asked)) not in checked and row.asked.names:
                try:
                    encode(conditions, row.asked)
                except ValueError as error:
                    raise ValueError(f"{FLAG} {table}: line {line}: {error}") from None
                checked.add(known)
            for file in row.files:
                former = self._paths.setdefault(file, row)
                if former.asked != row.asked:
                    raise ValueError(
                        f"{FLAG} {table}: lines {former.line} and {line} disagree on {visible(file)}: keep one"
                    )
                self._names[PurePosixPath(file).name].append(row)
            self._unseen[line] = row.files[0]
        if not self._unseen:
            raise ValueError(f"{FLAG} {table}: has no lines but the header")

    def find(self, name: str) -> Row:
        """The line of a picture, by its path below the input folder.

        Raises:
            ValueError: there is none, or lines for several pictures of this file name that disagree.
        """
        name = nfc(name)
        if name in self._paths:
            return self._paths[name]
        rows = self._names.get(PurePosixPath(name).name, [])
        if not rows:
            raise ValueError(f"{self.table} has no line for it")
        if any(row.asked != rows[0].asked for row in rows):
            lines = " and ".join(str(row.line) for row in rows[:2])
            raise ValueError(f"{self.table}: lines {lines} could each be for it: write its path as {visible(name)}")
        return rows[0]

    def saw(self, name: str) -> None:
        """There is a picture of this path."""
        name = nfc(name)
        alike = self._names.get(PurePosixPath(name).name, [])
        for row in [row for row in alike if name in row.files] or alike:
            self._unseen.pop(row.line, None)

    @property
    def unseen(self) -> list[str]:
        """The pictures that are named and were not seen."""
        return list(self._unseen.values())


def _cells(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines with their numbers."""
    lines = rows(table)
    while True:
        try:
            row = next(lines)
        except StopIteration:
            return
        except ValueError as error:
            raise ValueError(f"{FLAG} {error}") from None
        if row.error:
            raise ValueError(f"{FLAG} {table}: line {row.line}: {row.error}")
        yield row.line, row.cells


def _row(line: int, cells: dict[str, Any], conditions: Conditions) -> Row:
    """Raises:
    ValueError: a cell of another type, or no picture, or nothing that the model is steered by.
    """
    files = tuple(
        nfc(PurePosixPath(name.replace("\\", "/")).as_posix())
        for column in FILES
        if (name := as_text(cells.get(column), name=column))
    )  # a table written on Windows may have its own slashes
    if not files:
        raise ValueError(f"no {FILES[0]}, which names the picture")
    able = {"label": bool(conditions.labels), "text": conditions.text is not None}
    useful = [name for name in STEERING if able[name] and name in cells]
    if not useful:
        wanted = " or ".join(name for name in STEERING if able[name])
        raise ValueError(f"no {wanted}, by which this model is steered")
    label: str | tuple[str, ...] | None = as_labels(cells["label"]) if "label" in useful else None
    if label is not None and isinstance(cells["label"], list):
        label = tuple(str(label).split(BETWEEN))
    text = as_text(cells["text"], name="text") if "text" in useful else None
    return Row(line, files, Request(label=label, text=text))
