"""What the parts find, written as it comes: a JSON file and a page of tables of each part, and of all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from translate.files import write_text

Row = Mapping[str, Any]


class Clock:
    """The time of a part."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until its end; negative after it."""
        return self._end - time.monotonic()


class Record:
    """The findings of one part: tables of rows, and notes. Each addition is on the disk at once."""

    def __init__(self, folder: Path, name: str, *, title: str) -> None:
        self.folder, self.name, self.title = folder, name, title
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.notes: list[str] = []
        self.error: str | None = None
        self.seconds: float | None = None
        self._save()

    def row(self, table: str, **values: Any) -> None:
        """Add a row, by its titles, to the table of this name; numbers are kept as they are and shown rounded."""
        self.tables.setdefault(table, []).append(values)
        print(f"  {table}: " + ", ".join(f"{name} {_shown(value)}" for name, value in values.items()), flush=True)
        self._save()

    def note(self, text: str) -> None:
        """Add a line of text."""
        self.notes.append(text)
        print(f"  {text}", flush=True)
        self._save()

    def end(self, *, seconds: float, error: str | None = None) -> None:
        """The part is over."""
        self.seconds, self.error = round(seconds, 1), error
        self._save()

    @classmethod
    def read(cls, folder: Path, name: str) -> dict[str, Any]:
        """What a part has written so far; empty if nothing."""
        path = folder / f"{name}.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found

    def _save(self) -> None:
        found = {name: getattr(self, name) for name in ("title", "tables", "notes", "error", "seconds")}
        write_text(self.folder / f"{self.name}.json", json.dumps(found, indent=1) + "\n")


def page(found: Mapping[str, Mapping[str, Any]], *, heading: str) -> str:
    """All parts in Markdown."""
    lines = [f"# {heading}", ""]
    for part in found.values():
        took = "" if part["seconds"] is None else f" ({part['seconds']:.0f} s)"
        lines += [f"## {part['title']}{took}", ""]
        for name, rows in part["tables"].items():
            lines += [f"{name}:", "", _table(rows), ""]
        lines += [f"{note}\n" for note in part["notes"]]
        lines += [f"Failed: {part['error']}", ""] if part["error"] else []
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    titles = list(dict.fromkeys(title for row in rows for title in row))
    return table([[_shown(row.get(title)) for title in titles] for row in rows], titles=titles)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
