"""The words of a command line, before Fire sees them, and what they say to a command. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from translate.fields import Settings, flag
from translate.help import is_switch

NO_VALUE = "\0"  # stands for the value of a flag that has none
STREAM = "-"  # standard input or output
HIDDEN_STREAM = "\0-"  # the same for Fire, which takes a dash for its own
OFF = "no_"  # before the name of a switch
TRUTHS = ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0", "none")


def normalised(words: Sequence[str], *, switches: Collection[str] = ()) -> list[str]:
    """Every flag as `--name=value`, so that Fire has nothing to guess.

    Args:
        switches: flags that may stand alone; the word after them is theirs only if it is a yes or no.

    Raises:
        ValueError: a repeated flag, a short flag, or a word that Fire would take for its own.
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
            alone = name.removeprefix(OFF) in switches and bool(rest) and rest[0].lower() not in TRUTHS
            value = rest.pop(0) if rest and not alone and not rest[0].startswith("--") else NO_VALUE
        if name in seen:
            raise ValueError(f"{flag(name)} is given twice")
        seen.add(name)
        result.append(f"--{name}={value}")
    return result


def given(flags: Mapping[str, str], classes: Sequence[type[Settings]]) -> dict[str, Any]:
    """Flags as the settings take them: a switch that stands alone is true, and with `no-` before its name false.

    Raises:
        ValueError: a flag without the value that it needs, with one that it cannot have, or with and without `no-`.
    """
    found: dict[str, Any] = {}
    for name, value in flags.items():
        owner, on = _owner(name, classes), name.removeprefix(OFF)
        if owner is None and name != on and (other := _owner(on, classes)) is not None and is_switch(other, on):
            if value != NO_VALUE:
                raise ValueError(f"{flag(name)} takes no value: write {flag(name)}, or {flag(on)} true")
            if on in flags:
                raise ValueError(f"{flag(on)} and {flag(name)} say two things: leave one of them out")
            found[on] = False
        elif value != NO_VALUE:
            found[name] = value
        elif owner is not None and not is_switch(owner, name):
            raise ValueError(f"{flag(name)} needs a value")
        else:
            found[name] = True
    return found


def _owner(name: str, classes: Sequence[type[Settings]]) -> type[Settings] | None:
    return next((cls for cls in classes if name in cls.every_field()), None)


def taken(flags: dict[str, str], name: str) -> str | None:
    """The value of a flag that is no setting, which is taken out; None where it is not given.

    Raises:
        ValueError: it has none.
    """
    value = flags.pop(name, None)
    if value in (NO_VALUE, ""):
        raise ValueError(f"{flag(name)} needs a value")
    return value


def exactly(words: Sequence[str], names: Sequence[str], *, optional: str | None = None) -> list[str]:
    """The words that a command takes, no more and no less; `optional` stands in for a single missing one.

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


def at_least(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """The words of a command that takes any number of one kind.

    Raises:
        ValueError: there are fewer than `names`.
    """
    return exactly(words, [*names, *words[len(names) :]])


def no_flags(command: str, flags: Mapping[str, str]) -> None:
    """
    Raises:
        ValueError: there are any.
    """
    if flags:
        raise ValueError(f"translate {command} takes no flag {flag(next(iter(flags)))}")
