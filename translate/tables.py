"""Named choices: a dictionary whose unknown key is one clear error."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from translate.outside import brief

T = TypeVar("T")


def closest(name: str, choices: Iterable[str]) -> str:
    """`' (did you mean "x"?)'` for the choice nearest to `name`, or an empty text."""
    match = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""


class Table(dict[str, T]):
    """A table of choices of one kind. (A key written twice in the literal is found by the linter.)

    Args:
        names: what the entries have to be called, where the names are needed without the entries.

    Raises:
        TypeError: they are called otherwise.
    """

    def __init__(self, kind: str, entries: Mapping[str, T], *, names: Collection[str] | None = None) -> None:
        super().__init__(entries)
        if names is not None and set(names) != set(entries):
            raise TypeError(f"the table of each {kind} has {', '.join(entries)}, and its names are {', '.join(names)}")
        self.kind = kind

    def __missing__(self, key: str) -> T:
        shown = brief(key)[1:-1]
        raise ValueError(
            f'no {self.kind} is called "{shown}"{closest(str(key)[:100], self)}: there is {", ".join(self)}'
        )
