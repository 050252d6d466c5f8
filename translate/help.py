"""Help texts, generated from the settings, or from rows that were written down. Imports no torch."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from translate.console import wrapped
from translate.fields import OneOf, Settings, choices, flag
from translate.sizes import Size

INDENT = 28  # columns of flag and type
NARROW = 76  # columns below which the text begins right behind them
NO_OTHERS: Mapping[str, Any] = MappingProxyType({})
SWITCH = "BOOL"
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
UNIONS = (types.UnionType, typing.Union)  # `Literal[...] | None` is of the older kind
WORDS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH", bool: SWITCH, Size: "HEIGHTxWIDTH"}


class Row(NamedTuple):
    """What help says of a field, as texts."""

    type: str
    text: str
    range: str = ""  # empty where there are no bounds
    default: str | None = None

    @property
    def switch(self) -> bool:
        """Whether it is a boolean, so that its flag needs no value."""
        return SWITCH in self.type.split("|")


Rows = Mapping[str, Row]  # by field


def rows(cls: type[Settings]) -> dict[str, Row]:
    """The rows of a settings class."""
    return {
        name: Row(_type(field), field.description or "", _range(field), _default(field.get_default()))
        for name, field in cls.model_fields.items()
    }


def describe(
    sections: Iterable[tuple[str, Rows]],
    *,
    width: int,
    only: Collection[str] | None = None,
    defaults: Mapping[str, Any] = NO_OTHERS,
) -> str:
    """The fields of some settings classes, each class under its own title: flag, type, meaning, range and default.

    `defaults` replace the fields' own. A field of an earlier section is only named again.

    Args:
        width: of the lines, in columns.
        only: the fields that are listed, without ranges; all where it is None.
    """
    texts, listed = [], set[str]()
    for title, fields in sections:
        entries = {
            name: _entry(
                name,
                row._replace(default=_default(defaults[name])) if name in defaults else row,
                width=width,
                brief=only is not None,
            )
            for name, row in fields.items()
            if only is None or name in only
        }
        lines = [entry for entry in entries.values() if entry not in listed]
        if only is None and (again := [flag(name) for name, entry in entries.items() if entry in listed]):
            lines.append(wrapped(f"as above: {', '.join(again)}", width=width, first="  ", rest="  "))
        if lines or only is None:
            texts.append("\n".join([wrapped(f"{title}:", width=width, rest="  "), *lines]))
        listed |= set(entries.values())
    return "\n\n".join(texts)


def is_switch(cls: type[Settings], name: str) -> bool:
    """Whether a field is a boolean, so that its flag needs no value."""
    field = cls.every_field().get(name)
    return name in cls.former_switches or (field is not None and bool in _alternatives(field.annotation))


def _entry(name: str, row: Row, *, width: int, brief: bool) -> str:
    left = f"{flag(name)} {row.type}"
    text = f"{row.text} ({row.range})" if row.range and not brief else row.text
    if row.default is not None or not (brief or "default" in text):
        text += f" [{'none' if row.default is None else row.default}]"
    if width < NARROW:
        return wrapped(f"{left}  {text}", width=width, first="  ", rest=" " * 6)
    begin = f"  {left} ".ljust(INDENT)
    if len(begin) == INDENT:
        return wrapped(text, width=width, first=begin, rest=" " * INDENT)
    above = wrapped(left, width=width, first="  ", rest=" " * 6)
    return above + "\n" + wrapped(text, width=width, first=" " * INDENT, rest=" " * INDENT)


def _default(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type(field: FieldInfo) -> str:
    names = [str(choice) for choice in choices(field)]
    if any(isinstance(mark, OneOf) for mark in field.metadata):
        return "|".join(names)
    return "|".join([*names, *(WORDS.get(t, t.__name__.upper()) for t in _alternatives(field.annotation))])


def _alternatives(annotation: object) -> list[type]:
    if typing.get_origin(annotation) in UNIONS:
        return [t for part in typing.get_args(annotation) for t in _alternatives(part)]
    return [annotation] if isinstance(annotation, type) and annotation is not type(None) else []


def _range(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(constraint, name):,g}" if isinstance(getattr(constraint, name), int | float) else ""
        for constraint in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return ", ".join(bounds)
