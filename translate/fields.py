"""What every settings class is: frozen, of checked types, and told in the words of the command line. Imports no torch.

Values may arrive as text from the shell, as JSON from a file, or as Python objects; each is converted by the type of
its field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args, overload

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from translate.familiar import unknown_flag
from translate.outside import brief

A = TypeVar("A", bound="Settings")
B = TypeVar("B", bound="Settings")
C = TypeVar("C", bound="Settings")


def flag(name: str) -> str:
    """How a field is written on the command line: `crop_size` -> `--crop-size`."""
    return "--" + name.replace("_", "-")


class Settings(BaseModel):
    """Base of every settings class: frozen, complete, and nothing unknown gets in."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    published: ClassVar[
        Mapping[str, Any]
    ] = {}  # other defaults for inherited fields: those a method was published with

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        own = cls.__dict__.get("published", {})
        for name, value in own.items():
            if name not in cls.model_fields:
                raise TypeError(f"{cls.__name__}.published names {name}, which is no field of it")
            cls.model_fields[name].default = value
        if own:
            cls.model_rebuild(force=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: object, info: ValidationInfo) -> object:
        """The shell has only text: `none` stands for nothing, and a choice among numbers is written as one."""
        if isinstance(value, str | Path) and (text := str(value)) != text.encode(errors="replace").decode():
            raise ValueError("it is not UTF-8, as which settings are kept: rename it, or give a link to it")
        choices = get_args(cls.model_fields[info.field_name].annotation) if info.field_name else ()
        if not isinstance(value, str) or value in choices:
            return value
        if not value.strip():
            raise ValueError("it needs a value")  # an empty path would be the current folder
        if value.strip().lower() == "none":
            return None
        return int(value) if value.isdecimal() and int(value) in choices else value

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> Self:
        """Settings from `values`, or one clear line.

        Raises:
            ValueError: names the flag, what was given, what is accepted, and the closest name for an unknown one.
        """
        check_names(values, cls.model_fields)
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError("; ".join(explain(cls, e) for e in error.errors())) from None

    def unused(self) -> dict[str, str]:
        """Fields that nothing reads with the others as they are -> why, as it goes on after "changes nothing"."""
        return {}

    def refuse_unused(self, more: Mapping[str, str] | None = None) -> None:
        """For what is new: files of before may have such values, and still load and resume.

        Args:
            more: further fields that are unused, as from `unused`.

        Raises:
            ValueError: a field that changes nothing has another value than its default.
        """
        for name, why in {**self.unused(), **(more or {})}.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise ValueError(f"{flag(name)} {value} changes nothing {why}: leave it out")

    def replace(self, **changes: Any) -> Self:
        """A checked copy with some fields changed."""
        return type(self).make({**dict(self), **changes})

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        return json.loads(self.model_dump_json())


def explain(cls: type[Settings], error: Any) -> str:
    """One of pydantic's errors in a line."""
    name = str(error["loc"][0]) if error["loc"] else ""
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if not name:
        return message
    return f"{flag(name)} got {brief(error['input'], longest=300)}: {message[0].lower() + message[1:]}"


@overload
def split(values: Mapping[str, Any], first: type[A], second: type[B], /) -> tuple[A, B]: ...


@overload
def split(values: Mapping[str, Any], first: type[A], second: type[B], third: type[C], /) -> tuple[A, B, C]: ...


def split(values: Mapping[str, Any], /, *classes: type[Settings]) -> tuple[Settings, ...]:
    """Deal flat `values` out to `classes`, whose names are disjoint, and check them all.

    Raises:
        ValueError: a name that belongs to none of them, or a value that its field refuses.
    """
    names = [name for cls in classes for name in cls.model_fields]
    assert len(names) == len(set(names)), f"settings share a name: {sorted(names)}"
    check_names(values, names)
    return tuple(cls.make({k: v for k, v in values.items() if k in cls.model_fields}) for cls in classes)


def check_names(values: Iterable[str], names: Iterable[str], *, where: str = "") -> None:
    """
    Args:
        where: what an error begins with.

    Raises:
        ValueError: all of `values` that are not among `names`, each with what it is called here, or the closest one.
    """
    names = list(names)
    if unknown := [unknown_flag(name, names) for name in values if name not in names]:
        raise ValueError(where + "; ".join(unknown))


def resumable(**extra: Any) -> dict[str, Any]:
    """Marks a field that may change when a run is resumed, since it leaves the finished part of the run true."""
    return {"json_schema_extra": {"resume": True, **extra}}
