"""What the benchmarks print."""

from __future__ import annotations

from collections.abc import Callable

Main = Callable[[list[str]], int]
Table = list[dict[str, str]]


def tables(text: str) -> list[Table]:
    """The Markdown tables in a text; each row by its titles."""
    found: list[Table] = []
    titles: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            titles = []
        elif not titles:
            titles = cells
            found.append([])
        elif not set(line) <= set("|-"):
            found[-1].append(dict(zip(titles, cells, strict=True)))
    return found


def column(table: Table, title: str) -> list[str]:
    return [row[title] for row in table]
