"""A run's journal, `metrics.jsonl`, as records, as series of numbers, and as a table. Imports no torch."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

from translate.outside import MAX_STEPS, parsed, visible

LONGEST_LINE = 1_000_000  # bytes that are read as one line; ours have a few thousand
TABLE_ROWS = 60  # most rows that a notebook shows: the first and the last half of them

Record = Mapping[str, Any]
Series = dict[str, list[tuple[int, float]]]
"""Path of a number in the records, such as `validation.averaged.l1` -> its steps and values, in order."""


@dataclass(frozen=True)
class Journal:
    """What could be read of a journal."""

    records: tuple[Record, ...] = ()  # each has an integer `step`, in order of it
    ignored: int = 0  # lines that are no record of a step: cut, damaged or of something else


def read_journal(path: Path) -> Journal:
    """The records of a journal; none where there is no such file. Damaged lines are counted and left out.

    Raises:
        OSError: it is there and cannot be read.
    """
    if not path.is_file():
        return Journal()
    records, ignored = [], 0
    with path.open("rb") as file:
        for line in iter(partial(file.readline, LONGEST_LINE), b""):
            try:
                record = parsed(line)
            except ValueError:
                record = None
            step = record.get("step") if isinstance(record, dict) else None
            if isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= MAX_STEPS:
                records.append(record)
            elif line.strip():
                ignored += 1
    records.sort(key=lambda record: record["step"])
    return Journal(tuple(records), ignored)


def flat(record: Record, *, before: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a record with their paths: `losses.g_l1`."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from flat(value, before=f"{before}{name}.")
        else:
            yield before + name, value


def series_of(records: Sequence[Record]) -> Series:
    """Every number of the records by its path; values that are no finite numbers are left out."""
    found: Series = {}
    for record in records:
        for path, value in flat(record):
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            if path != "step" and plain and math.isfinite(value):
                found.setdefault(path, []).append((record["step"], float(value)))
    return found


class History(Sequence[dict[str, Any]]):
    """The journal as a table: a row for each record, by the path of its values. Notebooks show it as one.

    `history[-1]["losses.g_l1"]` is a value, `history["losses.g_l1"]` the steps and values of a column.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._rows = [dict(flat(record)) for record in records]
        self.columns: list[str] = list(dict.fromkeys(name for row in self._rows for name in row))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...

    @overload
    def __getitem__(self, key: str) -> list[tuple[int, Any]]: ...

    def __getitem__(self, key: int | slice | str) -> Any:
        """A row, some rows, or the steps and values of a column.

        Raises:
            KeyError: there is no such column.
        """
        if not isinstance(key, str):
            return self._rows[key]
        if key not in self.columns:
            raise KeyError(f"{key}: the columns are {', '.join(self.columns)}")
        return [(row["step"], row[key]) for row in self._rows if key in row]

    def __repr__(self) -> str:
        return f"History of {len(self)} records: {', '.join(self.columns)}"

    def _repr_html_(self) -> str:
        half = TABLE_ROWS // 2
        rows = self._rows if len(self) <= TABLE_ROWS else [*self._rows[:half], {}, *self._rows[-half:]]
        head = "".join(f'<th scope="col">{_cell(name)}</th>' for name in self.columns)
        cells = ([_cell(row.get(name, "")) if row else "…" for name in self.columns] for row in rows)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in cells)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return html.escape(visible(", ".join(map(str, value)) if isinstance(value, list) else value))
