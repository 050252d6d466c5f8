"""Help texts, generated from the settings. Imports no torch."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from pydantic.fields import FieldInfo

from translate.console import wrapped
from translate.fields import OneOf, Settings, choices, flag
from translate.sizes import Size

INDENT = 28  # columns of flag and type
NARROW = 76  # columns below which the text begins right behind them
NO_OTHERS: Mapping[str, Any] = MappingProxyType({})
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
UNIONS = (types.UnionType, typing.Union)  # `Literal[...] | None` is of the older kind
WORDS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH", bool: "BOOL", Size: "HEIGHTxWIDTH"}


def describe(
    classes: Iterable[tuple[str, type[Settings]]],
    *,
    width: int,
    only: Collection[str] | None = None,
    defaults: Mapping[str, Any] = NO_OTHERS,
) -> str:
    """Fields of some settings classes, each class under its own title: flag, type, meaning, range and default.

    `defaults` replace the fields' own. A field of an earlier section is only named again.

    Args:
        width: of the lines, in columns.
        only: the fields that are listed, without ranges; all where it is None.
    """
    sections, listed = [], set[str]()
    for title, cls in classes:
        entries = {
            name: _entry(name, field, defaults.get(name, field.get_default()), width=width, brief=only is not None)
            for name, field in cls.model_fields.items()
            if only is None or name in only
        }
        lines = [entry for entry in entries.values() if entry not in listed]
        if only is None and (again := [flag(name) for name, entry in entries.items() if entry in listed]):
            lines.append(wrapped(f"as above: {', '.join(again)}", width=width, first="  ", rest="  "))
        if lines or only is None:
            sections.append("\n".join([wrapped(f"{title}:", width=width, rest="  "), *lines]))
        listed |= set(entries.values())
    return "\n\n".join(sections)


def is_switch(cls: type[Settings], name: str) -> bool:
    """Whether a field is a boolean, so that its flag needs no value."""
    field = cls.every_field().get(name)
    return name in cls.former_switches or (field is not None and bool in _alternatives(field.annotation))


def _entry(name: str, field: FieldInfo, default: object, *, width: int, brief: bool) -> str:
    left = f"{flag(name)} {_type(field)}"
    text = f"{field.description or ''}{'' if brief else _range(field)}"
    if default is not None or not (brief or "default" in text):
        shown = {True: "true", False: "false", None: "none"}[default] if _plain(default) else default
        text += f" [{shown}]"
    if width < NARROW:
        return wrapped(f"{left}  {text}", width=width, first="  ", rest=" " * 6)
    begin = f"  {left} ".ljust(INDENT)
    if len(begin) == INDENT:
        return wrapped(text, width=width, first=begin, rest=" " * INDENT)
    above = wrapped(left, width=width, first="  ", rest=" " * 6)
    return above + "\n" + wrapped(text, width=width, first=" " * INDENT, rest=" " * INDENT)


def _plain(value: object) -> TypeGuard[bool | None]:
    return value is None or isinstance(value, bool)


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
    return f" ({', '.join(bounds)})" if bounds else ""
