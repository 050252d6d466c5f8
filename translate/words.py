"""The words of a command line, before Fire sees them. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from translate.settings import flag

NO_VALUE = "\0"  # stands for the value of a flag that has none


def normalised(words: Sequence[str]) -> list[str]:
    """Every flag as `--name=value`, so that Fire has nothing to guess.

    Raises:
        ValueError: a repeated flag, a short flag, or a word that Fire would take for its own.
    """
    result: list[str] = []
    seen: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-", "--") or re.match(r"-[A-Za-z]", word):
            raise ValueError(f"unexpected {word}: flags are written out, as in --out FOLDER")
        if not word.startswith("--"):
            result.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else NO_VALUE
        name = name.replace("-", "_")
        if name in seen:
            raise ValueError(f"{flag(name)} is given twice")
        seen.add(name)
        result.append(f"--{name}={value}")
    return result
