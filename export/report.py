"""Report on an exported file: how it was made, and how close it is to its network. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from translate.export.metadata import MADE_KEY, read_metadata
from translate.export.verify import Check
from translate.outside import checked, visible

CHECK_KEY = "translate.check"  # the metadata entry with the figures of the checks, one record a device


Layout = Literal["nhwc-pixels", "nchw-float"]
"""Input and output of a file: pixels, or the network's own values."""


@dataclass(frozen=True)
class Made:
    """Settings that a file was made with."""

    layout: Layout = "nhwc-pixels"
    precision: Annotated[str, Field(max_length=20)] = "float32"
    calibrated: Annotated[int, Field(ge=0)] = 0  # number of pictures that 8-bit ranges were taken from

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, path: object) -> Made:
        """From a file's metadata; files of the first version have none of this, and the defaults apply.

        Raises:
            ValueError: the metadata are invalid.
        """
        try:
            return checked(cls, metadata.get(MADE_KEY, "{}"))
        except ValueError as error:
            raise ValueError(f"{path}: damaged metadata {MADE_KEY}: {error}") from None

    def describe(self) -> str:
        """As a short text."""
        text = f"{self.layout}, {visible(self.precision)}"
        return f"{text}, calibrated on {self.calibrated} pictures" if self.calibrated else text


def how_made(file: Path) -> Made | None:
    """Settings that an exported file was made with; None for other model files.

    Raises:
        ValueError: an exported file is missing or damaged.
    """
    return Made.from_metadata(read_metadata(file), path=file) if file.suffix.lower() == ".onnx" else None


@dataclass(frozen=True)
class Report:
    """A finished export."""

    path: Path  # the file
    made: Made
    checks: tuple[Check, ...]  # one a device: the CPU, and CUDA where it can be used
    notes: tuple[str, ...] = ()  # for the user

    def describe(self) -> str:
        """A line for each check and each note."""
        return "\n".join([*(check.describe() for check in self.checks), *self.notes])

    def to_metadata(self) -> dict[str, str]:
        """The entries of the file's header."""
        made = {name: getattr(self.made, name) for name in Made.__dataclass_fields__}
        return {MADE_KEY: json.dumps(made), CHECK_KEY: json.dumps([check.to_json() for check in self.checks])}
