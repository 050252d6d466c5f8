"""What every settings class is: frozen, of checked types, and described by their flags. Imports no torch.

Values may arrive as text from the shell, as JSON from a file, or as Python objects; each is converted by the type of
its field.

A class may leave a part of its fields to alternatives that its values choose between, such as networks: see
`Settings.parts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar, get_args, get_origin, overload

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from translate.foreign_flags import unknown_flag
from translate.outside import brief, visible

A = TypeVar("A", bound="Settings")
B = TypeVar("B", bound="Settings")
C = TypeVar("C", bound="Settings")


def flag(name: str) -> str:
    """How a field is written on the command line: `crop_size` -> `--crop-size`."""
    return "--" + name.replace("_", "-")


def check_suffix(path: Path | None, *suffixes: str) -> Path | None:
    """The path of a file to write, so that one kind is never written under the name of another.

    Raises:
        ValueError: its name ends otherwise.
    """
    if path is not None and not path.is_dir() and path.suffix.lower() not in suffixes:  # a folder has its own message
        raise ValueError(f"what is written there needs a name that ends in {' or '.join(suffixes)}")
    return path


class OneOf:
    """Marks a field as one of a table's names: `norm: Annotated[str, OneOf(NORMS)]`.

    The table is the only place where the choices are listed. For a field of numbers the names are digits.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __repr__(self) -> str:
        return f"OneOf({', '.join(self.table)})"

    def _known(self, value: object) -> object:
        if value is None or str(value) in self.table:
            return value
        shown = [repr(name) if isinstance(value, str) else name for name in self.table]
        listed = " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
        raise PydanticCustomError("one_of", "Input should be {listed}", {"listed": listed})


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """The choices of a field except None, if these are names or numbers; otherwise empty."""
    for mark in field.metadata:
        if isinstance(mark, OneOf):
            whole = int in (field.annotation, *get_args(field.annotation))
            return tuple(int(name) if whole else name for name in mark.table)
    kinds = (field.annotation, *get_args(field.annotation))
    return tuple(choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind))


class Part(Protocol):
    """An entry of a table of alternatives that have settings of their own."""

    @property
    def settings(self) -> type[Settings]: ...


class Alternative(NamedTuple):
    """The settings of some of the names that a field chooses from."""

    choice: str  # the field
    names: tuple[str, ...]
    default: bool  # whether one of the names is the default
    settings: type[Settings]  # with the defaults that the class that offers the choice has for them


class Settings(BaseModel):
    """Base of every settings class: frozen, complete, without unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        defer_build=True,  # what checks values is made when there are some: of most classes help alone is asked for
    )

    published: ClassVar[
        Mapping[str, Any]
    ] = {}  # other defaults for inherited fields, or those of parts: those a method was published with

    parts: ClassVar[Mapping[str, Mapping[str, Part]]] = {}
    """Field -> the table of which it names an entry. The fields of what is named are among those of `make`'s result,
    whose class is made for that: this one, and the settings of the parts that are chosen."""

    former: ClassVar[Mapping[str, str]] = {}  # names that fields had in earlier versions -> their names now

    former_switches: ClassVar[frozenset[str]] = frozenset()  # those of `former` that were booleans

    incomplete: ClassVar[type[Settings] | None] = None  # the class that this one, with the fields of parts, is made of

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        own = cls.__dict__.get("published", {})
        of_parts = {name for found in _distinct(cls) for name in found.model_fields}
        for name, value in own.items():
            if name in cls.model_fields:
                cls.model_fields[name].default = value
            elif name not in of_parts:
                raise TypeError(f"{cls.__name__}.published names {name}, which is no field of it")

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: object, info: ValidationInfo) -> object:
        """Values from the shell are text: `none` is None, and a choice among numbers is a number."""
        if isinstance(value, str | Path) and (text := str(value)) != text.encode(errors="replace").decode():
            raise ValueError("it is not UTF-8, as which settings are kept: rename it, or give a link to it")
        known = choices(cls.model_fields[info.field_name]) if info.field_name else ()
        if not isinstance(value, str) or value in known:
            return value
        if not value.strip():
            raise ValueError("it needs a value")  # an empty path would be the current folder
        if value.strip().lower() == "none":
            return None
        return int(value) if value.isdecimal() and int(value) in known else value

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> Self:
        """Settings from `values`, or one clear line. Where there are parts, of those that the values choose.

        A field of a part that is not chosen may have its default, as files of earlier versions do, and is left out.

        Raises:
            ValueError: names the flag, what was given, what is accepted, and the closest name for an unknown one.
        """
        cls, values = cls.fitted(values)
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError("; ".join(explain(cls, e) for e in error.errors())) from None

    @classmethod
    def every_field(cls) -> dict[str, FieldInfo]:
        """Its fields, and those of all parts that may be chosen; where these share a name, those of the default."""
        fields = dict(cls.model_fields)
        for part in cls.alternatives():
            fields |= {name: field for name, field in part.settings.model_fields.items() if name not in fields}
        return fields

    @classmethod
    def alternatives(cls) -> list[Alternative]:
        """All parts that may be chosen, the default of each choice first."""
        origin, found = cls.incomplete or cls, []
        for choice, table in origin.parts.items():
            usual = origin.model_fields[choice].default
            for settings in dict.fromkeys((table[usual].settings, *(part.settings for part in table.values()))):
                names = [name for name, part in table.items() if part.settings is settings]
                names.sort(key=lambda name: name != usual)
                own = _with_defaults(settings, tuple(_published(origin, settings).items()))
                found.append(Alternative(choice, tuple(names), usual in names, own))
        return found

    @classmethod
    def fitted(cls, values: Mapping[str, Any]) -> tuple[type[Self], dict[str, Any]]:
        """The class with the fields of the parts that `values` choose, and the values that are for it.

        Raises:
            ValueError: an unknown name, of a field or of a part; or a value for a part that is not chosen.
        """
        values = cls.renamed(values)
        check_names(values, cls.every_field())
        origin = cls.incomplete or cls
        values = {**origin.implied(values), **values}
        chosen = {}
        for choice, table in origin.parts.items():
            name, usual = values.get(choice), origin.model_fields[choice].default
            chosen[choice] = (
                name if isinstance(name, str) else usual
            )  # a value that is no name is refused with the fields
            table[chosen[choice]]  # lists the choices, and the closest
        whole = _complete(origin, tuple(origin.parts[choice][name].settings for choice, name in chosen.items()))
        kept = {name: value for name, value in values.items() if name in whole.model_fields}
        for name, value in values.items():
            owners = [part for part in origin.alternatives() if name in part.settings.model_fields]
            if name not in kept and not any(_is_default(part.settings, name, value) for part in owners):
                choice = owners[0].choice
                others = " or ".join(other for part in owners for other in part.names)
                raise ValueError(
                    f"{flag(name)} {visible(value)[:300]} is for {flag(choice)} {others}, not for {chosen[choice]}: "
                    "leave it out"
                )
        return whole, kept

    @classmethod
    def known_names(cls) -> set[str]:
        """All that `make` may be given: every field, and the names that some had in earlier versions."""
        return {*cls.every_field(), *(cls.incomplete or cls).former}

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` by the names of today; what an earlier version left to its default, as None, is left out."""
        former = (cls.incomplete or cls).former
        return {
            former.get(name, name): value for name, value in values.items() if name not in former or value is not None
        }

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults that follow from other values: those of fields that `values` may leave out."""
        return {}

    def unused(self) -> dict[str, str]:
        """Fields that nothing reads with the others as they are -> why, as it goes on after "changes nothing"."""
        return {}

    def unused_in(self, networks: Any) -> dict[str, str]:
        """Fields, beside those of `unused`, that nothing reads in a model of these settings."""
        return {}

    def refuse_unused(self, more: Mapping[str, str] | None = None) -> None:
        """Only for new runs: older files may have such values, and still load and resume.

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

    def __reduce__(self) -> Any:
        if self.incomplete is None:
            return super().__reduce__()
        return _again, (self.incomplete, {name: value for name, value in self if name in self.model_fields_set})


def _again(cls: type[Settings], values: dict[str, Any]) -> Settings:
    """Unpickle settings of a class that was made for their parts, and that no module has."""
    return cls.make(values)


def _distinct(cls: type[Settings]) -> list[type[Settings]]:
    """The settings of all parts of a class."""
    return list(dict.fromkeys(part.settings for table in cls.parts.values() for part in table.values()))


def _published(cls: type[Settings], *parts: type[Settings]) -> dict[str, Any]:
    """The defaults that a class has for fields of these parts."""
    own = {name: value for base in reversed(cls.__mro__) for name, value in base.__dict__.get("published", {}).items()}
    return {name: value for name, value in own.items() if any(name in part.model_fields for part in parts)}


@cache
def _with_defaults(cls: type[Settings], published: tuple[tuple[str, Any], ...]) -> type[Settings]:
    names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "published": dict(published)}
    return type(cls.__name__, (cls,), names) if published else cls


@cache
def _complete(cls: type[A], parts: tuple[type[Settings], ...]) -> type[A]:
    """A class with the fields of `cls` and of `parts`; those that two of the parts have are one."""
    parts = tuple(dict.fromkeys(part for part in parts if part.model_fields))
    if not parts:
        return cls
    owner: dict[str, type[Settings]] = dict.fromkeys(cls.model_fields, cls)
    for part in parts:
        for name, field in part.model_fields.items():
            other = owner.setdefault(name, part)
            if repr(other.model_fields[name]) != repr(field) or other is cls:
                raise TypeError(f"{other.__name__} and {part.__name__} both have a field {name}, and not the same")
    bases = [part for part in parts if not any(other is not part and issubclass(other, part) for other in parts)]
    names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "incomplete": cls}
    return type(cls.__name__, (*bases, cls), names | {"published": _published(cls, *parts)})


def _is_default(cls: type[Settings], name: str, value: Any) -> bool:
    """Whether a value, as it was given, is what the field has anyway, or would have where nothing is published."""
    try:
        made = getattr(cls.make({name: value}), name)
    except ValueError:
        return False
    bases = [base for base in cls.__mro__ if issubclass(base, Settings)]
    return any(made == base.model_fields[name].default for base in bases if name in base.model_fields)


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
    """Distribute flat `values` to `classes`, whose names are disjoint, and check them all.

    Raises:
        ValueError: a name that belongs to none of them, or a value that its field refuses.
    """
    fields = [cls.known_names() for cls in classes]
    names = [name for own in fields for name in own]
    assert len(names) == len(set(names)), f"settings share a name: {sorted(names)}"
    check_names(values, names)
    return tuple(
        cls.make({k: v for k, v in values.items() if k in own}) for cls, own in zip(classes, fields, strict=True)
    )


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
    """Marks a field that may change when a run is resumed: the finished steps do not depend on it."""
    return {"json_schema_extra": {"resume": True, **extra}}
