"""Named choices: a dictionary whose unknown key is one clear error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from translate.outside import brief

T = TypeVar("T")


def closest(name: str, choices: Iterable[str]) -> str:
    """`' (did you mean "x"?)'` for the choice nearest to `name`, or an empty text."""
    match = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""


class Table(dict[str, T]):
    """A table of choices of one kind. (A key written twice in the literal is found by the linter.)"""

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, key: str) -> T:
        shown = brief(key)[1:-1]
        raise ValueError(
            f'no {self.kind} is called "{shown}"{closest(str(key)[:100], self)}: there is {", ".join(self)}'
        )
