"""The words and flags of a command line: normalised for Fire, checked, and read as settings. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from translate.fields import Settings, flag
from translate.help import is_switch

NO_VALUE = "\0"  # stands for the value of a flag that has none
STREAM = "-"  # in place of a file: standard input or output
HIDDEN_STREAM = "\0-"  # the same while Fire reads the words: it would take the dash for its own
OFF = "no_"  # before the name of a switch: turns it off
BOOLEANS = ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0", "none")


@dataclass(frozen=True)
class Ready:
    """A command whose words have been checked; `run` does the work and returns the exit code."""

    run: Callable[[], int]


def normalised(words: Sequence[str], *, switches: Collection[str] = ()) -> list[str]:
    """The words with every flag as `--name=value`, so that Fire has nothing to guess.

    Args:
        switches: flags that need no value; the next word is their value only if it is one of `BOOLEANS`.

    Raises:
        ValueError: a repeated flag, a short flag, or `--`.
    """
    result: list[str] = []
    seen: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == STREAM:
            result.append(HIDDEN_STREAM)
            continue
        if word == "--" or re.match(r"-[A-Za-z]", word):
            raise ValueError(f"unexpected {word}: flags are written out, as in --out FOLDER")
        if not word.startswith("--"):
            result.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            alone = name.removeprefix(OFF) in switches and bool(rest) and rest[0].lower() not in BOOLEANS
            value = rest.pop(0) if rest and not alone and not rest[0].startswith("--") else NO_VALUE
        if name in seen:
            raise ValueError(f"{flag(name)} is given twice")
        seen.add(name)
        result.append(f"--{name}={value}")
    return result


def flag_values(flags: Mapping[str, str], classes: Sequence[type[Settings]]) -> dict[str, Any]:
    """Values of flags by setting: a switch without a value is True, and with `no-` before its name False.

    Raises:
        ValueError: a flag without a value that needs one, `--no-NAME` with a value, or both `--NAME` and `--no-NAME`.
    """
    found: dict[str, Any] = {}
    for name, value in flags.items():
        owner, on = _owner(name, classes), name.removeprefix(OFF)
        if owner is None and name != on and (other := _owner(on, classes)) is not None and is_switch(other, on):
            if value != NO_VALUE:
                raise ValueError(f"{flag(name)} takes no value: write {flag(name)}, or {flag(on)} true")
            if on in flags:
                raise ValueError(f"{flag(on)} and {flag(name)} contradict each other: leave one of them out")
            found[on] = False
        elif value != NO_VALUE:
            found[name] = value
        elif owner is not None and not is_switch(owner, name):
            raise ValueError(f"{flag(name)} needs a value")
        else:
            found[name] = True
    return found


def _owner(name: str, classes: Sequence[type[Settings]]) -> type[Settings] | None:
    return next((cls for cls in classes if name in cls.known_names()), None)


def pop_value(flags: dict[str, str], name: str) -> str | None:
    """Remove a flag that is no setting from `flags`, and return its value; None if it is absent.

    Raises:
        ValueError: it has no value.
    """
    value = flags.pop(name, None)
    if value in (NO_VALUE, ""):
        raise ValueError(f"{flag(name)} needs a value")
    return value


def expect_words(words: Sequence[str], names: Sequence[str], *, optional: str | None = None) -> list[str]:
    """The words of a command, one for each of `names`; `optional` is the only one where none is given.

    Raises:
        ValueError: there are more or fewer.
    """
    words = [STREAM if word == HIDDEN_STREAM else word for word in words]
    if optional is not None and not words:
        return [optional]
    if len(words) < len(names):
        raise ValueError(f"missing {' '.join(names[len(words) :])}: see --help")
    if len(words) > len(names):
        raise ValueError(f"unexpected {' '.join(words[len(names) :])}: see --help")
    return words


def refuse_flags(command: str, flags: Mapping[str, str]) -> None:
    """Check that a command without flags got none.

    Raises:
        ValueError: it got one.
    """
    if flags:
        raise ValueError(f"translate {command} takes no flag {flag(next(iter(flags)))}")
