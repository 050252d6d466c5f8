"""Labels and texts of pictures from a table, for `--labels-from`. Imports no torch."""

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
FILES = ("file_name", "target_file_name")  # columns that name a picture, as in a training table
CONDITIONS = ("label", "text")  # columns


@dataclass(frozen=True)
class Row:
    """A line of the table: a picture and its conditions."""

    line: int
    files: tuple[str, ...]  # paths with forward slashes
    request: Request


class ConditionTable:
    """The lines of a table by the pictures that they name: by path below the input folder, else by file name.

    Keeps which lines matched a picture, so that the others can be reported.
    """

    def __init__(self, table: Path, conditions: Conditions) -> None:
        """Reads the table: of the columns `label` and `text`, those that the model is conditioned on.

        Raises:
            ValueError: it cannot be read, names no pictures, has no condition that the model takes, or a label that
                it does not know; or two lines disagree on a picture.
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
            if (known := repr(row.request)) not in checked and row.request.names:
                try:
                    encode(conditions, row.request)
                except ValueError as error:
                    raise ValueError(f"{FLAG} {table}: line {line}: {error}") from None
                checked.add(known)
            for file in row.files:
                former = self._paths.setdefault(file, row)
                if former.request != row.request:
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
        if any(row.request != rows[0].request for row in rows):
            lines = " and ".join(str(row.line) for row in rows[:2])
            raise ValueError(f"{self.table}: lines {lines} could each be for it: write its path as {visible(name)}")
        return rows[0]

    def saw(self, name: str) -> None:
        """Mark the lines for a picture of this path as matched."""
        name = nfc(name)
        alike = self._names.get(PurePosixPath(name).name, [])
        for row in [row for row in alike if name in row.files] or alike:
            self._unseen.pop(row.line, None)

    @property
    def unseen(self) -> list[str]:
        """Pictures that the table names and that were not found."""
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
    ValueError: a cell of another type, no picture, or no condition that the model takes.
    """
    files = tuple(
        nfc(PurePosixPath(name.replace("\\", "/")).as_posix())
        for column in FILES
        if (name := as_text(cells.get(column), name=column))
    )  # a table written on Windows may have backslashes
    if not files:
        raise ValueError(f"no {FILES[0]}, which names the picture")
    able = {"label": bool(conditions.labels), "text": conditions.text is not None}
    useful = [name for name in CONDITIONS if able[name] and name in cells]
    if not useful:
        wanted = " or ".join(name for name in CONDITIONS if able[name])
        raise ValueError(f"no {wanted}, on which this model is conditioned")
    label: str | tuple[str, ...] | None = as_labels(cells["label"]) if "label" in useful else None
    if label is not None and isinstance(cells["label"], list):
        label = tuple(str(label).split(BETWEEN))
    text = as_text(cells["text"], name="text") if "text" in useful else None
    return Row(line, files, Request(label=label, text=text))
