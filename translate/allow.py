"""Classes of your own in place of a model of the table: allowed by the caller, never by a file. Imports no torch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from translate.fields import Settings


class NotAllowed(ValueError):
    """A file names a class of no table, and the caller has not allowed it: importing it would run its module."""

    def __init__(self, name: str, *, file: object = "this model") -> None:
        self.name = name
        self.refusal = (
            f"{file}: its model is {name}, a class that is no part of this software: reading it would run the code of "
            f"the module {name.partition(':')[0]}"
        )
        super().__init__(f'{self.refusal}. If you trust it, give allow="{name}"')

    def for_command(self, words: Sequence[str]) -> str:
        """The error for the command line, with the command that allows the class."""
        others = [word for before, word in zip(("", *words), words, strict=False) if "--allow" not in (before, word)]
        others = [word for word in others if not word.startswith("--allow=")]
        return f"{self.refusal}. If you trust it: {shlex.join(['translate', *others, '--allow', self.name])}"


class OwnClass(Settings):
    """Which class outside the table of models may be imported."""

    allow: str | None = Field(
        None,
        description="MODULE:CLASS, a model class of your own that the file may name: its module is looked for in the "
        "working folder, too, and is run",
    )

    @field_validator("allow")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is not None and not is_class(value):
            raise ValueError("give a class as MODULE:CLASS, such as my_models:Sharp")
        return value


def is_class(name: str) -> bool:
    """Whether a model's name is that of a class, `package.module:Class`, and of none in the table."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(map(str.isidentifier, (*module.split("."), attribute)))


def look_here(name: str | None) -> None:
    """Add the working folder to the module path, as `python` itself does, for a class of your own."""
    if name is not None and is_class(name):
        sys.path.insert(0, str(Path.cwd()))
