"""`Card`: the description of a model, in the header of its file. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from translate.conditions import Conditions, tokenizer
from translate.console import KEEP, wrapped
from translate.images import ImageSpec
from translate.outside import MAX_SIDE, MAX_STEPS, brief, checked, parsed, reason, visible
from translate.recipes import described
from translate.settings import REDUCED
from translate.sizes import Size

FORMAT = 1
MAX_SHOWN = 2000  # characters of a value
DRAWN = {"noise": "noise planes (without one: those of seed 0)", "dropout": "dropout (without one: off)"}
KEY = "translate"  # the metadata entry of a safetensors (or ONNX) file that holds the card


class Footprint(BaseModel):
    """Receptive field and memory of a network; needed to cut a picture into pieces."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stride: int = Field(64, ge=1, le=MAX_SIDE)  # pieces begin at multiples of it, and are as long
    radius: int | None = Field(None, ge=0, le=10_000_000)  # pixels that a result depends on, at most, to each side
    statistics: bool = True  # some norm uses the mean and variance of the whole picture
    # memory for each pixel, weights and the libraries' own aside
    pixel_bytes: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False)


class _Remembered(BaseModel):
    """The settings of a run that are read again; the others are for the record."""

    model_config = ConfigDict(strict=True, extra="ignore")

    direction: Literal["AtoB", "BtoA"] = "AtoB"
    recipe: str | None = None
    seed: int | None = Field(None, ge=0, lt=2**32)
    ema: float | None = None


def _remembered(run: dict[str, Any]) -> dict[str, Any]:
    try:
        _Remembered.model_validate(run)
    except ValidationError as error:
        raise ValueError(reason(error)) from None
    return run


Name = Annotated[str, Field(min_length=1, max_length=200)]


class Card(BaseModel):
    """All that is needed to rebuild a model, and its origin."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(FORMAT, ge=0)
    model: Name  # in the table of models, or `module:Class`
    settings: dict[str, Any] = Field(default_factory=dict)  # the model's settings
    source: ImageSpec | None = None  # None: pictures are made of noise, and none is taken
    target: ImageSpec
    size: Size  # of the training crops, the target's
    scale: int = Field(1, ge=1, le=64)  # output size over input size
    inputs: tuple[Name, ...] = Field(("image",), max_length=16)
    conditions: Conditions = Field(default_factory=Conditions)  # labels, texts or codes beside the picture
    reversible: bool = False  # the file holds the network of the other way, too
    footprint: Footprint | None = None  # of exported files; a loaded network has its own
    derive: Literal["gray", "edges", "lowres", "holes", "blur", "noise", "reduced"] | None = (
        None  # how sources were made from targets, if they were
    )
    derive_amount: float | None = Field(None, gt=0, allow_inf_nan=False)
    weights: Literal["raw", "averaged"] = "raw"
    step: int = Field(0, ge=0, le=MAX_STEPS)
    figures: dict[str, float] = Field(default_factory=dict)  # validation figures of these weights
    # figure -> the step at which the run had its best value, as far as it had come
    best_steps: dict[Name, Annotated[int, Field(ge=0, le=MAX_STEPS)]] = Field(default_factory=dict, max_length=1000)
    data: dict[str, Any] = Field(default_factory=dict)  # fingerprint and counts of the training data
    versions: dict[str, str] = Field(default_factory=dict)
    run: Annotated[dict[str, Any], AfterValidator(_remembered)] = Field(
        default_factory=dict
    )  # the other settings of the run, for the record

    @model_validator(mode="after")
    def _fed(self) -> Self:
        if (self.source is None) == ("image" in self.inputs):
            raise ValueError(f"source is {'missing' if self.source is None else 'there, and no image in inputs'}")
        if self.source is None and not self.conditions.z:
            raise ValueError("conditions.z is missing: without a source pictures are made of noise")
        return self

    @property
    def taken(self) -> ImageSpec:
        """What the pictures are that the model takes.

        Raises:
            ValueError: it takes none.
        """
        if self.source is None:
            raise ValueError(
                f"{_shown(self.model)} makes pictures of noise and takes none: use `translate sample MODEL OUT`, or "
                "`sample(count)` of the loaded model"
            )
        return self.source

    @property
    def source_size(self) -> Size:
        """Of the training crops as the network saw them."""
        return Size(*(max(side // self.scale, 1) for side in self.size))

    @property
    def direction(self) -> str:
        """Which way the model goes, in the words of its training: `AtoB` or `BtoA`."""
        return str(self.run.get("direction", "AtoB"))

    def check_tokenizer(self, *, path: object) -> None:
        """
        Raises:
            ValueError: the model takes texts, and its tokenizer cannot be read.
        """
        try:
            if self.conditions.text is not None:
                tokenizer(self.conditions.text.tokenizer)
        except ValueError as error:
            raise ValueError(f"{path}: damaged description: {error}") from None

    def turned(self) -> Self:
        """The description of the other way of a model that goes both.

        Raises:
            ValueError: this one does not.
        """
        if not self.reversible:
            raise ValueError(
                f"{_shown(self.model)} was trained one way, {self.direction}: the other way needs a model of its own, "
                "trained with the other --direction"
            )
        run = self.run | {"direction": "BtoA" if self.direction == "AtoB" else "AtoB"}
        return self.model_copy(update={"source": self.target, "target": self.source, "run": run, "figures": {}})

    def describe(self, *, width: int | None = None, exported: str = "") -> str:
        """The card for a person, as lines of text.

        Args:
            width: of the lines, in columns; None for one line a fact.
            exported: how the file that has it was made, if it was exported.
        """
        derived = f", made from the target by --derive {self.derive}" if self.derive else ""
        if self.derive == REDUCED:
            derived = f", the target reduced by {self.scale}"
        facts = {
            "recipe": _shown(described(self.model, self.settings | self.run, name=str(self.run.get("recipe") or ""))),
            "source": f"{self.source.describe()}{derived}" if self.source else "none: made of noise",
            "target": self.target.describe() + (f", {self.scale} times the source's size" if self.scale > 1 else ""),
            "conditions": _shown(self.conditions.describe()),
            "seed draws": " and ".join(DRAWN[name] for name in self.conditions.seeds),
            "figures": _listed({name: f"{value:.4g}" for name, value in self.figures.items()}),
            "best at": _listed({name: f"step {step}" for name, step in self.best_steps.items()}),
            "data": _listed(self.data),
            "versions": _listed(self.versions),
            "settings": _listed(self.settings),
            "run": _listed({k: value for k, value in self.run.items() if value is not None and k != "recipe"}),
            "exported": exported,
        }
        title = f"{_shown(self.model)}, {self.weights} weights after {self.step} steps at {self.size.describe()}"
        if self.reversible:
            title += f"; goes {self.direction}, and the other way with --direction"
        lines = [("", title), *((f"  {name.ljust(10)} ", text) for name, text in facts.items() if text)]
        if width is None:
            return "\n".join(first + text for first, text in lines).replace(KEEP, " ")
        return "\n".join(wrapped(text, width=width, first=first, rest=" " * 13) for first, text in lines)

    def to_metadata(self) -> dict[str, str]:
        """The card as the text-to-text header that safetensors and ONNX files carry."""
        return {KEY: self.model_dump_json(exclude={"source"} if self.source is None else None)}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, *, path: object) -> Self:
        """The card in a file's header.

        Raises:
            ValueError: the file carries no card, or one of a newer format than this version reads.
        """
        if not metadata or KEY not in metadata:
            raise ValueError(f"{path}: not a model of this software (its header carries no description)")
        try:
            values = parsed(metadata[KEY])
            if not isinstance(values, dict) or not isinstance(values.get("format", 0), int):
                raise ValueError("no table with the number of its format")
            if values.get("format", 0) <= FORMAT:
                return checked(cls, metadata[KEY])
        except ValueError as error:
            raise ValueError(f"{path}: damaged description: {error}") from None
        raise ValueError(
            f"{path}: written by a newer version (format {brief(values['format'])}; this one reads up to {FORMAT})"
        )


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{_shown(name)}{KEEP}{_shown(_written(name, value))}" for name, value in values.items())


def _written(name: str, value: Any) -> Any:
    """A setting as it is written on the command line."""
    return "x".join(map(str, value)) if name in ("size", "load_size") and isinstance(value, list) else value


def _shown(value: object) -> str:
    """For messages: without control characters, and cut at `MAX_SHOWN`."""
    return visible(str(value)[:MAX_SHOWN])
