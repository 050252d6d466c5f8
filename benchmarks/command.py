"""The command line of a benchmark: flags are checked before any work, and help and defaults come from one class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from translate.cli import NO_VALUE, normalised
from translate.console import terminal_width
from translate.errors import USAGE
from translate.fields import Settings, check_names, flag
from translate.help import describe, is_switch, rows

S = TypeVar("S", bound=Settings)


def _numbers(text: str) -> str:
    """
    Raises:
        ValueError: it is no list of whole numbers.
    """
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise ValueError("give numbers with commas between")
    return text


Numbers = Annotated[str, AfterValidator(_numbers)]
"""A flag of whole numbers with commas between, such as seeds; see `numbers`."""


def numbers(text: str) -> tuple[int, ...]:
    """Those of a flag of `Numbers`."""
    return tuple(int(part) for part in text.split(","))


def run(benchmark: Callable[[S], None], flags: type[S], *, name: str, argv: Sequence[str] | None = None) -> int:
    """Run a benchmark on the words of its command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--help" in words or "-h" in words:
        print(f"python -m {name}: {flags.__doc__}\n\n{describe([('Flags', rows(flags))], width=terminal_width())}")
        return 0
    try:
        benchmark(parse(words, flags))
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    return 0


def parse(words: Sequence[str], flags: type[S]) -> S:
    """The flags that `words` give, the others at their defaults.

    Raises:
        ValueError: an unknown, repeated or valueless flag, a value that its field refuses, or a word too many.
    """
    values: dict[str, str | bool] = {}
    for word in normalised(words):
        if not word.startswith("--"):
            raise ValueError(f"unexpected {word}: see --help")
        field, _, value = word.removeprefix("--").partition("=")
        check_names([field], flags.model_fields)
        if value == NO_VALUE and not is_switch(flags, field):
            raise ValueError(f"{flag(field)} needs a value")
        values[field] = True if value == NO_VALUE else value
    return flags.make(values)
