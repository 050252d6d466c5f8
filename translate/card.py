"""What a model file says about itself, kept in its header so that the single file is enough. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.recipes import described
from translate.sizes import Size

FORMAT = 1
KEY = "translate"  # the metadata entry of a safetensors (or ONNX) file that holds the card


class Footprint(BaseModel):
    """What a network needs for a picture. Whoever cuts one into pieces has to know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stride: int = 64  # pieces begin at multiples of it, and are as long
    radius: int | None = None  # pixels that a result depends on, at most, to each side
    statistics: bool = True  # some norm uses the mean and variance of the whole picture
    pixel_bytes: float | None = None  # memory for each pixel, weights and the libraries' own aside


class Card(BaseModel):
    """Everything needed to rebuild a model and to know where it came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    model: str  # its name in the table of models
    settings: dict[str, Any] = Field(default_factory=dict)  # the model's settings
    source: ImageSpec
    target: ImageSpec
    size: Size  # of the training crops
    scale: int = 1  # output size over input size
    inputs: tuple[str, ...] = ("image",)
    conditions: Conditions = Field(default_factory=Conditions)  # what steers it beside the picture
    reversible: bool = False  # the file holds the network of the other way, too
    footprint: Footprint | None = None  # of exported files; a network that is at hand is asked itself
    derive: str | None = None  # how sources were made from targets, if they were
    derive_amount: float | None = None
    weights: Literal["raw", "averaged"] = "raw"
    step: int = 0
    figures: dict[str, float] = Field(default_factory=dict)  # validation figures of these weights
    data: dict[str, Any] = Field(default_factory=dict)  # fingerprint and counts of the training data
    versions: dict[str, str] = Field(default_factory=dict)
    run: dict[str, Any] = Field(default_factory=dict)  # the other settings of the run, for the record

    @property
    def direction(self) -> str:
        """Which way the model goes, in the words of its training: `AtoB` or `BtoA`."""
        return str(self.run.get("direction", "AtoB"))

    def turned(self) -> Self:
        """The description of the other way of a model that goes both.

        Raises:
            ValueError: this one does not.
        """
        if not self.reversible:
            raise ValueError(
                f"{self.model} was trained one way, {self.direction}: the other way needs a model of its own, trained "
                "with the other --direction"
            )
        run = self.run | {"direction": "BtoA" if self.direction == "AtoB" else "AtoB"}
        return self.model_copy(update={"source": self.target, "target": self.source, "run": run, "figures": {}})

    def describe(self) -> str:
        """What a person wants to know of a model, in lines."""
        derived = f", made from the target by --derive {self.derive}" if self.derive else ""
        facts = {
            "recipe": described(self.model, self.settings | self.run, name=str(self.run.get("recipe") or "")),
            "source": f"{self.source.describe()}{derived}",
            "target": self.target.describe(),
            "steered": self.conditions.describe(),
            "figures": _listed({name: f"{value:.4g}" for name, value in self.figures.items()}),
            "data": _listed(self.data),
            "versions": _listed(self.versions),
            "settings": _listed(self.settings),
            "run": _listed({k: value for k, value in self.run.items() if value is not None and k != "recipe"}),
        }
        title = f"{self.model}, {self.weights} weights after {self.step} steps at {self.size.describe()}"
        if self.reversible:
            title += f"; goes {self.direction}, and the other way with --direction"
        return "\n".join([title, *(f"  {name.ljust(9)} {text}" for name, text in facts.items() if text)])

    def to_metadata(self) -> dict[str, str]:
        """The card as the text-to-text header that safetensors and ONNX files carry."""
        return {KEY: self.model_dump_json()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, *, path: object) -> Self:
        """The card in a file's header.

        Raises:
            ValueError: the file carries no card, or one of a newer format than this version reads.
        """
        if not metadata or KEY not in metadata:
            raise ValueError(f"{path}: not a model of this software (its header carries no description)")
        try:
            values = json.loads(metadata[KEY])
        except ValueError as error:
            raise ValueError(f"{path}: damaged description: {error}") from None
        if not isinstance(values, dict) or not isinstance(values.get("format", 0), int):
            raise ValueError(f"{path}: damaged description: no table with the number of its format")
        if values.get("format", 0) > FORMAT:
            raise ValueError(
                f"{path}: written by a newer version (format {values['format']}; this one reads up to {FORMAT})"
            )
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError(f"{path}: damaged description: {error.errors()[0]['msg']}") from None


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(name, value)}" for name, value in values.items())


def _shown(name: str, value: Any) -> Any:
    """A setting as it is written on the command line."""
    return "x".join(map(str, value)) if name in ("size", "load_size") and isinstance(value, list) else value
