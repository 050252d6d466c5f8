"""Tables of pictures, `.csv`, `.tsv` or `.jsonl`: their lines, and the types of their cells. Imports no torch."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.conditions import BETWEEN
from translate.files import SPECIAL, is_special
from translate.outside import brief, visible

SEPARATORS = (",", ";", "\t")  # the last two as spreadsheets write them in many countries, and on request
FIRST_COLUMN = "file_name"  # by which the separator is found
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')  # a first line of Excel
YES = {"1", "1.0", "true", "yes"}
NO = {"0", "0.0", "-1", "-1.0", "false", "no", ""}


@dataclass(frozen=True)
class Row:
    """A line of a table: its cells, or why it cannot be read."""

    line: int
    cells: dict[str, Any]
    error: str | None = None


def rows(table: Path) -> Iterator[Row]:
    """Every line but the header, and the empty ones.

    Raises:
        ValueError: the table is not UTF-8 text, cannot be opened, or has a column twice.
    """
    kind = table.suffix[1:].lower()
    if is_special(table):
        raise ValueError(f"{table}: {SPECIAL}")
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            yield from _jsonl(lines) if kind == "jsonl" else _csv(table, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table}: not readable as UTF-8 {kind}: {error}") from None
    except OSError as error:
        raise ValueError(f"{table}: cannot be opened: {error.strerror}") from None


def _csv(table: Path, lines: Iterator[str]) -> Iterator[Row]:
    before = 0
    first = next(lines, "")
    if declared := SEPARATOR_LINE.fullmatch(first):
        first, before = next(lines, ""), 1
    separator = declared[1] if declared else _separator(first)
    reader = csv.reader(itertools.chain([first], lines), delimiter=separator)
    header = [name.strip() for name in next(reader, [])]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{table}: the column {visible(twice)} is there twice: keep one")
    for cells in reader:
        if not cells:
            continue
        error = None
        if len(cells) != len(header):
            error = "more" if len(cells) > len(header) else "fewer"
            error += f" cells than the header; put text that holds {_called(separator)} in double quotes"
        named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
        yield Row(reader.line_num + before, named, error)


def _separator(header: str) -> str:
    """What stands between the cells of the header: that by which one of them is `file_name`."""
    for separator in SEPARATORS:
        cells = next(csv.reader([header], delimiter=separator), [])
        if FIRST_COLUMN in (cell.strip() for cell in cells) and len(cells) > 1:
            return separator
    return SEPARATORS[0]


def _called(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, brief(separator))


def _jsonl(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line, object_pairs_hook=_once)
        except json.JSONDecodeError as error:
            yield Row(number, {}, error=f"not valid JSON: {error}")
        except ValueError as error:
            yield Row(number, {}, error=str(error))
        except RecursionError:
            yield Row(number, {}, error="not valid JSON: too many brackets")
        else:
            yield Row(number, cells) if isinstance(cells, dict) else Row(number, {}, error="not a JSON object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name in found if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"{twice!r} is there twice: keep one")
    return found


def as_text(cell: object, *, name: str) -> str | None:
    """A text or number as text; None where it is empty or absent.

    Raises:
        ValueError: it is anything else.
    """
    if cell is None:
        return None
    kinds = {bool: "true or false", list: "a list", dict: "an object"}
    if type(cell) in kinds:
        raise ValueError(f"{name} is {kinds[type(cell)]}: give a text or a number")
    if isinstance(cell, float) and not math.isfinite(cell):
        raise ValueError(f"{name} is {cell}: give a text or a finite number")
    text = str(cell).strip()
    if text != text.encode(errors="replace").decode():
        raise ValueError(f"{name} is no text: it holds half a sign (a lone surrogate)")
    return text or None


def as_labels(cell: object) -> str | None:
    """A text or number as a label, a list of such as several, with commas between; None where there is none.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(cell, list):
        return as_text(cell, name="label")
    labels = [as_text(one, name="a label of the list") for one in cell]
    for label in labels:
        if label is None:
            raise ValueError("label holds an empty one: leave it out of the list")
        if BETWEEN in label:
            raise ValueError(f"label {label!r} of the list holds a comma, which stands between labels: rename it")
    return BETWEEN.join(dict.fromkeys(label for label in labels if label)) or None


def attributes(cells: dict[str, Any], columns: tuple[str, ...]) -> str | None:
    """The names of those `columns` that say yes (1, true), with commas between; None for none of them.

    Raises:
        ValueError: a cell that says neither yes nor no (0, -1, false, empty).
    """
    found = []
    for name in columns:
        cell = cells.get(name)
        word = "" if cell is None else str(cell).strip().lower()
        if isinstance(cell, list | dict) or word not in YES | NO:
            raise ValueError(f"{name} {cell!r} is neither 1 nor 0 or -1, as --label-columns expects")
        if word in YES:
            found.append(name)
    return BETWEEN.join(found) or None
