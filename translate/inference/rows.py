"""Labels and texts of pictures from a table of files, for `--labels-from`. Imports no torch."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from translate.conditions import Asked, Conditions
from translate.inference.steering import encode

FLAG = "--labels-from"
FILES = ("file_name", "target_file_name")  # columns that name a picture, as in a table to train on
STEERING = ("label", "text")


@dataclass(frozen=True)
class Row:
    """What a line of the table says of a picture."""

    line: int
    files: tuple[str, ...]  # paths with forward slashes
    asked: Asked


class Rows:
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
            row = _row(table, line, cells, conditions)
            if (known := repr(row.asked)) not in checked and row.asked.names:
                try:
                    encode(conditions, row.asked)
                except ValueError as error:
                    raise ValueError(f"{FLAG} {table}: line {line}: {error}") from None
                checked.add(known)
            for file in row.files:
                former = self._paths.setdefault(file, row)
                if former.asked != row.asked:
                    raise ValueError(f"{FLAG} {table}: lines {former.line} and {line} disagree on {file}: keep one")
                self._names[PurePosixPath(file).name].append(row)
            self._unseen[line] = row.files[0]
        if not self._unseen:
            raise ValueError(f"{FLAG} {table}: has no lines but the header")

    def find(self, name: str) -> Row:
        """The line of a picture, by its path below the input folder.

        Raises:
            ValueError: there is none, or lines for several pictures of this file name that disagree.
        """
        if name in self._paths:
            return self._paths[name]
        rows = self._names.get(PurePosixPath(name).name, [])
        if not rows:
            raise ValueError(f"{self.table} has no line for it")
        if any(row.asked != rows[0].asked for row in rows):
            lines = " and ".join(str(row.line) for row in rows[:2])
            raise ValueError(f"{self.table}: lines {lines} could each be for it: write its path as {name}")
        return rows[0]

    def saw(self, name: str) -> None:
        """There is a picture of this path."""
        alike = self._names.get(PurePosixPath(name).name, [])
        for row in [row for row in alike if name in row.files] or alike:
            self._unseen.pop(row.line, None)

    @property
    def unseen(self) -> list[str]:
        """The pictures that are named and were not seen."""
        return list(self._unseen.values())


def _row(table: Path, line: int, cells: dict[str, Any], conditions: Conditions) -> Row:
    files = tuple(
        PurePosixPath(str(cells[name]).replace("\\", "/")).as_posix() for name in FILES if cells.get(name)
    )  # a table written on Windows may have its own slashes
    if not files:
        raise ValueError(f"{FLAG} {table}: line {line}: no {FILES[0]}, which names the picture")
    able = {"label": bool(conditions.labels), "text": conditions.text is not None}
    useful = [name for name in STEERING if able[name] and name in cells]
    if not useful:
        wanted = " or ".join(name for name in STEERING if able[name])
        raise ValueError(f"{FLAG} {table}: line {line}: no {wanted}, by which this model is steered")
    label, text = (cells.get(name) or None if name in useful else None for name in STEERING)
    if isinstance(label, list) and all(isinstance(one, str) for one in label):
        label = tuple(label)
    elif label is not None:
        label = str(label)
    return Row(line, files, Asked(label=label, text=None if text is None else str(text)))


def _cells(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines with their numbers."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            yield from _jsonl(table, lines) if table.suffix.lower() == ".jsonl" else _csv(table, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{FLAG} {table}: not readable as UTF-8 text: {error}") from None
    except OSError as error:
        raise ValueError(f"{FLAG} {table}: cannot be opened: {error.strerror}") from None


def _csv(table: Path, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader: csv.DictReader[Any] = csv.DictReader(lines)
    for cells in reader:
        if None in cells or None in cells.values():
            raise ValueError(
                f"{FLAG} {table}: line {reader.line_num}: not as many cells as the header; put text that holds commas "
                "in double quotes"
            )
        yield reader.line_num, dict(cells)


def _jsonl(table: Path, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{FLAG} {table}: line {number}: not valid JSON: {error}") from None
        if not isinstance(cells, dict):
            raise ValueError(f"{FLAG} {table}: line {number}: not a JSON object")
        yield number, cells
