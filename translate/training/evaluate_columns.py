"""Columns of pictures, such as their group or class: from the set itself, or from a table beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from translate.datasets.pairs import Pair, views
from translate.datasets.table import as_text, rows
from translate.outside import some, visible
from translate.tables import closest

OWN = ("label", "text", "folder")
"""Columns that a set may have without a table."""

FILE_COLUMNS = ("file_name", "file")  # of a table: the names of the pictures


class Columns:
    """Looks up a column for pictures.

    Args:
        tables: with a line for each picture; those of the set, or the one that was given.
        flag: which asks for the column, for errors.
    """

    def __init__(self, column: str, *, tables: Sequence[Path], flag: str) -> None:
        """
        Raises:
            ValueError: no such column, or a table that cannot be read.
        """
        self._column, self._named = column, f"{flag} {visible(column)}"
        self._tables = tables
        self._cells: dict[str, set[str]] = {}
        known: dict[str, None] = dict.fromkeys(OWN)
        for table in tables:
            for row in rows(table):
                known |= dict.fromkeys(row.cells)
                files = [row.cells[name] for name in FILE_COLUMNS if row.cells.get(name)]
                if row.error or column not in row.cells or not files:
                    continue
                value = as_text(row.cells[column], name=column) or ""
                for key in _keys(str(files[0])):
                    self._cells.setdefault(key, set()).add(value)
        if not self._cells and column not in OWN:
            where = f"in {' and '.join(map(str, tables))}" if tables else "and there is no table: give one with --table"
            raise ValueError(f"{self._named}: no such column{closest(column, known)} {where}")

    def of(self, pairs: Iterable[Pair]) -> tuple[str, ...]:
        """The column's value for each of some pictures or pairs.

        Raises:
            ValueError: some have none, or more than one.
        """
        found = [(pair.name, self._of(pair)) for pair in pairs]
        if lacking := [name for name, values in found if len(values) != 1]:
            raise ValueError(f"{self._named}: {len(lacking)} pictures have no (clear) value there: {some(lacking)}")
        return tuple(next(iter(values)) for _, values in found)

    def _of(self, pair: Pair) -> set[str]:
        if self._column in ("label", "text") and (value := getattr(pair, self._column)):
            return {value}
        for key in [key for name in (pair.name, *(view.path.name for view in views(pair))) for key in _keys(name)]:
            if key in self._cells:
                return self._cells[key]
        return {views(pair)[0].path.parent.name} if self._column == "folder" else set()


def _keys(name: str) -> list[str]:
    """Names by which a file may be found, the most exact first: its path, without suffix, its name, its stem."""
    path = PurePosixPath(name.replace("\\", "/"))
    return list(dict.fromkeys([str(path), str(path.with_suffix("")), path.name, path.stem]))
