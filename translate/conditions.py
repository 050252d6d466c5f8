"""The conditions of a translation beside its picture: labels, texts, a latent code. Imports no torch.

A model file holds its `Conditions`: class names and tokenizer. They turn a `Request` into the arrays that the network
takes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from translate.codes import Codes
from translate.outside import brief, some, visible
from translate.tables import closest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Arrays = dict[str, np.ndarray]
"""What a network takes beside a picture, by the names of its inputs: `label`, `tokens`, `z`; of one picture or, with
one more axis in front, of a batch."""

BETWEEN = ","  # several labels in one text
SEEDS = 2**31 - 1  # seeds of noise planes and dropout that differ


@dataclass(frozen=True)
class Request:
    """The conditions that a person gives a model for one picture; None: not given."""

    label: str | Sequence[str] | Mapping[str, float] | None = None
    text: str | None = None
    z: Sequence[float] | np.ndarray | None = None
    seed: int | None = None  # of a drawn z

    @property
    def names(self) -> tuple[str, ...]:
        """Names of those that are given."""
        return tuple(name for name in ("label", "text", "z", "seed") if getattr(self, name) is not None)


NOTHING = Request()
NO_CODES = Codes()


@dataclass(frozen=True)
class DataNeeds:
    """What a model needs of its training data beside pictures; `Conditions` are made of what is found there."""

    label: bool = False
    text: bool = False
    z: int = 0  # numbers of a latent code, which no data has to give
    codes: Codes = NO_CODES  # InfoGAN's, among the numbers of z
    required: bool = False  # it is never trained without, and so needs one in use
    vocabulary: int = 4000  # most tokens of a tokenizer that is learned from the training texts
    length: int = 32  # tokens that a text is filled up to, or cut at
    encoder: str | None = None  # name or path of a pretrained text encoder; None: one trained along
    classified: bool = False  # the labels are what its discriminator predicts; nobody gives one in use
    classes: bool = False  # of a label map, by which its losses weigh pixels: no condition
    segments: bool = False  # of the source's label map, by which its discriminator labels pixels

    def __bool__(self) -> bool:
        return self.label or self.text or self.z > 0


def canonical(label: str) -> str:
    """One spelling of labels that mean the same: in Unicode's composed form, and `1.0` as `1`."""
    form = unicodedata.normalize("NFC", label)
    return form.partition(".")[0] if re.fullmatch(r"-?\d+\.0+", form) else form


class TextInput(BaseModel):
    """How words become numbers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokenizer: str  # of the library `tokenizers`, as its JSON
    length: int = Field(ge=1, le=100_000)  # tokens that a text is filled up to, or cut at
    vocabulary: int = Field(ge=1, le=10_000_000)  # numbers that there are, the filling included
    pad: int = Field(0, ge=0)  # the number that fills up
    encoder: dict[str, Any] | None = None  # the configuration of a pretrained encoder; None: one trained along

    @model_validator(mode="after")
    def _among(self) -> Self:
        if self.pad >= self.vocabulary:
            raise ValueError(f"pad {self.pad} is none of the {self.vocabulary} numbers of the vocabulary")
        return self


class Conditions(BaseModel):
    """The conditions that a model takes. Empty for one that takes a picture and nothing else."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    labels: tuple[str, ...] = Field((), max_length=100_000)  # the classes, in the order of the network's input
    several: bool = False  # a picture may have any number of labels, none included
    text: TextInput | None = None
    z: int = Field(0, ge=0, le=65_536)  # numbers of the latent code; standard normal in training
    codes: Codes = NO_CODES  # InfoGAN's, the first numbers of z
    required: bool = False  # it was never trained without label or text, and so needs one
    classes: tuple[str, ...] = Field((), max_length=100_000)  # labels that only training has: D predicts them
    # what a seed draws beside the code: noise planes of the generator, or its dropout, which is off without a seed
    seeds: tuple[Literal["noise", "dropout"], ...] = Field((), max_length=2)

    @property
    def fed(self) -> tuple[str, ...]:
        """Names of the inputs of an exported graph beside `image`."""
        return (*self.inputs, *(("seed",) if "noise" in self.seeds else ()))

    @model_validator(mode="after")
    def _of_z(self) -> Self:
        if self.codes.numbers > self.z:
            raise ValueError(f"codes of {self.codes.numbers} numbers, and z has {self.z}")
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs beside `image`."""
        given = {"label": self.labels, "tokens": self.text, "z": self.z}
        return tuple(name for name, there in given.items() if there)

    def __bool__(self) -> bool:
        return bool(self.inputs)

    @property
    def in_training(self) -> Self:
        """The same with `classes` as labels, as examples of the training have them."""
        return self.model_copy(update={"labels": self.classes, "classes": ()}) if self.classes else self

    def encode(self, request: Request = NOTHING) -> Arrays:
        """What the network takes for one picture.

        `label` `[classes]` float32, 1 for each label given and 0 for the others (all 0: none); `tokens`
        `[length]` int64; `z` `[z]` float32, the mean of its distribution (0) where neither it nor a seed is given;
        `seed` `[1]` int64, of noise planes, 0 where none is given; `dropout` `[1]` int64, the seed of dropout, absent
        where none is given: then it is off.

        Raises:
            ValueError: the model does not take what is given, does not know the label, needs one, or the code
                has another length.
        """
        self._check(request)
        arrays: Arrays = {}
        if self.labels:
            arrays["label"] = self.encode_label(request.label)
        if self.text:
            arrays["tokens"] = self.encode_text(request.text or "")
        if self.z:
            arrays["z"] = self._encode_z(request)
        seed = np.array([(request.seed or 0) % SEEDS], np.int64)
        if "noise" in self.seeds:
            arrays["seed"] = seed
        if "dropout" in self.seeds and request.seed is not None:
            arrays["dropout"] = seed
        return arrays

    def encode_label(self, label: str | Sequence[str] | Mapping[str, float] | None) -> np.ndarray:
        """`[classes]` float32. Shares, such as `{"summer": 0.5, "winter": 0.5}`, give what lies between.

        Raises:
            ValueError: a label that the model does not know, or several where a picture has one.
        """
        shares = label if isinstance(label, Mapping) else dict.fromkeys(self.split_label(label), 1.0)
        encoded = np.zeros(len(self.labels), np.float32)
        for name, share in shares.items():
            if name not in self.labels:
                raise ValueError(
                    f'the model knows no label "{brief(name)[1:-1]}"{closest(name, self.labels)}: it knows '
                    + some(list(self.labels), most=200)
                )
            encoded[self.labels.index(name)] = share
        if not isinstance(label, Mapping) and len(shares) > 1 and not self.several:
            raise ValueError(f"the model was trained on one label a picture, and got {len(shares)}: {label}")
        return encoded

    def split_label(self, label: str | Sequence[str] | None) -> tuple[str, ...]:
        """The labels in a text: itself, or what stands between commas where pictures may have several."""
        if label is None:
            return ()
        if not isinstance(label, str):
            return tuple(map(self._in_form, label))
        label = self._in_form(label)
        if label in self.labels:
            return (label,)
        parts = label.split(BETWEEN) if self.several else [label]
        return tuple(self._in_form(part.strip()) for part in parts if part.strip())

    def _in_form(self, label: str) -> str:
        """`label` as the model spells it: "é" may be one sign or two, and 1 may be 1.0."""
        if label in self.labels:
            return label
        form = canonical(label)
        return next((known for known in self.labels if canonical(known) == form), label)

    def encode_text(self, text: str) -> np.ndarray:
        """`[length]` int64: filled up, or cut at the model's length (see `too_long`)."""
        assert self.text is not None, "no model of words"
        numbers = tokenizer(self.text.tokenizer).encode(text).ids[: self.text.length] if text.strip() else []
        if max(numbers, default=0) >= self.text.vocabulary:
            raise ValueError(
                f"text: the model's tokenizer gives number {max(numbers)}, and its encoder knows {self.text.vocabulary}"
            )
        encoded = np.full(self.text.length, self.text.pad, np.int64)
        encoded[: len(numbers)] = numbers
        return encoded

    def too_long(self, text: str) -> bool:
        """Whether a text has more tokens than the model reads."""
        assert self.text is not None, "no model of words"
        return len(tokenizer(self.text.tokenizer).encode(text).ids) > self.text.length

    def _check(self, request: Request) -> None:
        conditioned = {"label": bool(self.labels), "text": self.text is not None, "z": self.z > 0}
        conditioned["seed"] = self.z > 0 or bool(self.seeds)
        for name in request.names:
            if not conditioned[name]:
                able = [name for name, able in conditioned.items() if able]
                by = f"on {' and '.join(able)}" if able else "on nothing but its picture"
                if name == "seed":
                    by += ", and has neither dropout (exported files never have) nor noise planes for a seed to draw"
                raise ValueError(f"{name}: this model is conditioned {by}")
        if self.required and not {"label", "text"} & set(request.names):
            need = f"a label: one of {some(list(self.labels), most=200)}" if self.labels else "a text"
            raise ValueError(f"this model needs {need}")

    def _encode_z(self, request: Request) -> np.ndarray:
        if request.z is None:
            return np.zeros(self.z, np.float32) if request.seed is None else draw_z(self.z, request.seed)
        if request.seed is not None:
            raise ValueError("z and seed: give the code, or the seed to draw one by, not both")
        code = np.asarray(request.z, np.float32)
        if code.shape != (self.z,) or not np.isfinite(code).all():
            raise ValueError(f"z: this model takes {self.z} finite numbers, and got an array of shape {code.shape}")
        return code

    def describe(self) -> str:
        """For a person, in one line."""
        parts = []
        if self.labels:
            each = "any of" if self.several else "one of"
            parts.append(f"label, {each} {some(list(self.labels), most=200)}")
        if self.text:
            parts.append(f"text of up to {self.text.length} tokens")
        if self.z:
            parts.append(f"z of {self.z} numbers" + (f", with {self.codes.describe()}" if self.codes else ""))
        return "; ".join(parts)


def draw_z(size: int, seed: int) -> np.ndarray:
    """A code `[size]` float32, standard normal; the same for a seed everywhere."""
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(size).astype(np.float32)


@lru_cache(maxsize=4)
def tokenizer(text: str) -> Tokenizer:
    """The tokenizer in a JSON text. Fills up nothing and cuts nothing by itself.

    Raises:
        ValueError: it is none.
    """
    from tokenizers import Tokenizer

    try:
        made = Tokenizer.from_str(text)
    except BaseException as error:  # the library's own panic is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise ValueError(f"conditions.text.tokenizer is no tokenizer: {visible(error)[:100]}") from None
    made.no_padding()
    made.no_truncation()
    return made
