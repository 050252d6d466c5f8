"""Pictures from noise, and sheets of interpolation and arithmetic on codes. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from translate.codes import Codes, Value, parsed_code
from translate.conditions import Arrays, Conditions, Request
from translate.fields import Settings, flag
from translate.files import atomic
from translate.images.sheet import displayable, sheet
from translate.inference.backend import NoiseBackend, together
from translate.inference.like import code_of
from translate.inference.model import LoadedModel
from translate.inference.options import ConvertSettings
from translate.inference.picture_types import Result, as_pil
from translate.inference.requests import Requests, between, encode, whole

COLUMNS = 8  # of a grid
PAIRS = 8  # rows of an interpolation, each from one code to another
SWEPT = 4  # rows of a sweep, each of a noise of its own
MAX_SWEPT = 20  # its columns: values of a categorical code
SWEEP_STEPS = 9  # of a continuous one, from -1 to 1
NEAR = 0.3  # usual share of the way from the code of a picture to a drawn one
PASS_PIXELS, MAX_BATCH_PICTURES = 2**20, 16


def _as_text(value: object) -> object:
    """`code` as the command line gives it: 3, 0.5 or a list are fine from Python."""
    if isinstance(value, list | tuple):
        return ",".join("any" if one is None else str(one) for one in value)
    return value if value is None or isinstance(value, bool) else str(value)


class SampleSettings(Settings):
    """Options of `translate sample`."""

    count: int = Field(64, ge=0, le=1_000_000, description="pictures: 0001.png and so on; 0 for sheets alone")
    seed: int = Field(
        0, ge=0, description="of the noise: a picture follows from it and its number, however many are made"
    )
    label: str | None = Field(None, description="of a model that is conditioned on labels: one that it knows")
    text: str | None = Field(None, description="of a model that is conditioned on texts: what the pictures are of")
    like: Path | None = Field(
        None,
        description="of a model trained with --invert: a picture, like which the first output is as far as the model "
        "can, and near which the others are",
    )
    near: float | None = Field(
        None,
        ge=0,
        le=1,
        description="with --like: how near, as the share of the way to other noise: 0 the same, 1 unlike (default: "
        f"{NEAR})",
    )
    code: Annotated[
        str | None,
        BeforeValidator(_as_text),
        Field(
            description="of a model with InfoGAN's codes: their values with commas between, first of the categorical "
            "ones, from 0, then of the continuous ones, from -1 to 1; any for one that is drawn"
        ),
    ] = None
    sweep: bool = Field(
        False,
        description="also write sweep-1.png and so on, of a model with InfoGAN's codes: for each code rows of the same "
        "noise, the code going through its values",
    )
    grid: bool = Field(False, description="also write grid.png: all of the pictures on one page")
    interpolate: int | None = Field(
        None,
        ge=2,
        le=100,
        description="also write interpolation.png: rows of so many steps on the sphere, from picture 1 to 2, from 3 to "
        "4 and so on",
    )
    arithmetic: str | None = Field(
        None,
        description="also write arithmetic.png: the pictures of sums of codes, by the numbers of pictures, of which "
        "those with commas between are averaged, such as 1,2,3-4,5,6+7,8,9",
    )
    overwrite: bool = Field(False, description="replace files that exist already (default: they are refused)")

    @field_validator("code")
    @classmethod
    def _values(cls, value: str | None) -> str | None:
        if value is not None:
            parsed_code(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.near is not None and self.like is None:
            raise ValueError("--near is for --like PICTURE: leave it out")
        return self

    @field_validator("arithmetic")
    @classmethod
    def _sum(cls, value: str | None) -> str | None:
        checked = ConvertSettings._sum(value)
        if checked is not None and any(int(number) < 1 for number in re.findall(r"\d+", checked)):
            raise ValueError("pictures are numbered from 1")
        return checked


def draw_code(size: int, seed: int, number: int) -> np.ndarray:
    """The code `[size]` float32, standard normal, of picture `number` (from 1) of a seed; the same everywhere."""
    sequence = np.random.SeedSequence(seed, spawn_key=(number - 1,))
    return np.random.Generator(np.random.PCG64(sequence)).standard_normal(size).astype(np.float32)


@dataclass(frozen=True)
class Noise:
    """The code of each picture, by its number from 1."""

    conditions: Conditions
    seed: int
    like: np.ndarray | None = None  # the code of a picture: the first is this, the others lie near it
    near: float = NEAR
    code: Sequence[Value] = ()  # values of InfoGAN's codes

    @classmethod
    def of(
        cls, model: LoadedModel, seed: int, *, like: Any, near: float | None, code: Any, name: Callable[[str], str]
    ) -> Self:
        """
        Args:
            name: of a setting, in errors.

        Raises:
            ValueError: no encoder or codes in the model, or other codes.
        """
        conditions = model.card.conditions
        values = [] if code is None else list(code) if isinstance(code, list | tuple | np.ndarray) else [code]
        if code is not None:
            try:
                conditions.codes.check(values)
            except ValueError as error:
                raise ValueError(str(error).replace("code:", f"{name('code')}:", 1)) from None
        if like is None:
            if near is not None:
                raise ValueError(f"{name('near')} is for {name('like')}: leave it out")
            return cls(conditions, seed, code=values)
        found = code_of(model, like, name=name("like"))
        return cls(conditions, seed, found, NEAR if near is None else near, values)

    def __call__(self, number: int) -> np.ndarray:
        z = draw_code(self.conditions.z, self.seed, number)
        if self.like is not None:
            z = self.like if number == 1 else between(self.like, z, self.near)
        return self.conditions.codes.put(z, self.code) if self.code else z


def sample(
    model: LoadedModel,
    count: int,
    *,
    seed: int = 0,
    label: Any = None,
    text: Any = None,
    z: Any = None,
    like: Any = None,
    near: float | None = None,
    code: Any = None,
) -> list[np.ndarray]:
    """`count` pictures `[H, W, Ct]`; see `Translator.sample`.

    Raises:
        ValueError: a model that takes pictures, or a condition that it does not take or know.
    """
    check(model)
    whole(count, name="count", least=0)
    whole(seed, name="seed", least=0)
    for name, given in (("like", like), ("code", code)):
        if z is not None and given is not None:
            raise ValueError(f"z and {name}: give the code itself, or what it follows from, not both")
    if near is not None and not 0 <= near <= 1:
        raise ValueError(f"near is a share from 0 to 1, not {near}")
    conditions = model.card.conditions
    noise = Noise.of(model, seed, like=like, near=near, code=code, name=str)
    requests = Requests(label=label, text=text, z=z).of_each(conditions, count, several=True)
    each = [one for (one,) in requests]
    codes = [one if one.z is not None else replace(one, z=noise(number)) for number, one in enumerate(each, 1)]
    return _run(model, [encode(conditions, one) for one in codes])


def check(model: LoadedModel) -> None:
    """
    Raises:
        ValueError: the model takes pictures.
    """
    if model.card.source is not None:
        raise ValueError(f"{model.card.model} translates pictures: use `translate convert MODEL IN OUT` for it")


def _run(model: LoadedModel, arrays: Sequence[Arrays]) -> list[np.ndarray]:
    """A picture for each condition. All passes have one batch size, so a picture does not depend on their number."""
    size, backend = model.card.size, model.backend
    assert isinstance(backend, NoiseBackend), "our backends generate from noise, too"
    block = max(1, min(MAX_BATCH_PICTURES, PASS_PIXELS // size.pixels))
    made: list[np.ndarray] = []
    for start in range(0, len(arrays), block):
        part = list(arrays[start : start + block])
        filled = part + [part[-1]] * (block - len(part))
        made += list(backend.generate(together(filled)))[: len(part)]
    return made


def write_samples(model: LoadedModel, out: Path, settings: SampleSettings) -> list[Path]:
    """Write the pictures and sheets that `settings` ask for to the folder `out`; returns their paths.

    Each is written whole or not at all.

    Raises:
        ValueError: a model that takes pictures, a label or text that it does not know, a file that is there already,
            or nothing to make.
        OSError: a file cannot be written.
    """
    check(model)
    card, conditions = model.card, model.card.conditions
    request = Request(label=settings.label, text=settings.text)
    encode(
        conditions, replace(request, z=draw_code(conditions.z, settings.seed, 1)), named=flag
    )  # errors before any work
    values = None if settings.code is None else parsed_code(settings.code)
    code = Noise.of(model, settings.seed, like=settings.like, near=settings.near, code=values, name=flag)
    if settings.sweep and not conditions.codes:
        raise ValueError("--sweep: this model has no codes to go through: train with --info-categorical")
    kinds = {"grid": settings.grid and settings.count, "interpolation": settings.interpolate}
    names = [name for name, wanted in {**kinds, "arithmetic": settings.arithmetic}.items() if wanted]
    names += [f"sweep-{place}" for place in range(1, len(conditions.codes) + 1) if settings.sweep]
    paths = [out / f"{number:04}.png" for number in range(1, settings.count + 1)]
    sheets = [out / f"{name}.png" for name in names]
    if not paths and not sheets:
        raise ValueError("--count 0 and no sheet: there is nothing to make")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, and pictures go into a folder")
    there = [path for path in (*paths, *sheets) if path.exists()]
    if there and not settings.overwrite:
        raise ValueError(f"{there[0]}: is there already: name another folder, or give --overwrite")
    if card.target.dtype == "float32" or (card.target.dtype == "uint16" and card.target.channels > 1):
        raise ValueError(f"{card.model}: PNG cannot hold {card.target.describe()}: use `sample` of the loaded model")

    def of(codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        return _run(model, [encode(conditions, replace(request, z=code)) for code in codes])

    shown: list[np.ndarray] = []
    for start in range(0, settings.count, 256):
        part = range(start, min(start + 256, settings.count))
        for index, pixels in zip(part, of([code(index + 1) for index in part]), strict=True):
            _save(paths[index], as_pil(Result(pixels)))
            shown += [displayable(pixels, card.target)] if settings.grid else []
    if settings.grid and shown:
        blank = np.full_like(shown[0], 255)
        shown += [blank] * (-len(shown) % COLUMNS)
        rows = [shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)]
        _save(out / "grid.png", sheet(rows, titles=[""] * COLUMNS))
    if settings.interpolate:
        steps = [step / (settings.interpolate - 1) for step in range(settings.interpolate)]
        rows = []
        for pair in range(PAIRS):
            one, other = code(2 * pair + 1), code(2 * pair + 2)
            codes = [one, *(between(one, other, share) for share in steps[1:-1]), other]
            rows.append([displayable(pixels, card.target) for pixels in of(codes)])
        _save(out / "interpolation.png", sheet(rows, titles=[f"{share:.0%}" for share in steps]))
    if settings.arithmetic:
        terms: list[tuple[str, str]] = re.findall(r"([+-]?)([\d,]+)", settings.arithmetic)
        means = [np.mean([code(int(number)) for number in numbers.split(",")], axis=0) for _, numbers in terms]
        total = np.sum([-mean if sign == "-" else mean for (sign, _), mean in zip(terms, means, strict=True)], axis=0)
        row = [displayable(pixels, card.target) for pixels in of([*means, total])]
        titles = [*(f"{sign}{numbers}" for sign, numbers in terms), "sum"]
        _save(out / "arithmetic.png", sheet([row], titles=titles))
    for place in range(len(conditions.codes)) if settings.sweep else ():
        swept = _swept(conditions.codes, place)
        rows = []
        for number in range(1, SWEPT + 1):
            codes = [conditions.codes.put(code(number), [*[None] * place, value]) for value in swept]
            rows.append([displayable(pixels, card.target) for pixels in of(codes)])
        whole = [f"{value:g}" if value == round(value) else "" for value in swept]  # others have no room
        _save(out / f"sweep-{place + 1}.png", sheet(rows, titles=whole))
    return [*paths, *sheets]


def _swept(codes: Codes, place: int) -> list[float]:
    """The values that a code goes through."""
    if place < len(codes.categorical):
        return [*range(min(codes.categorical[place], MAX_SWEPT))]
    return [round(2 * step / (SWEEP_STEPS - 1) - 1, 2) for step in range(SWEEP_STEPS)]


def _save(path: Path, image: Any) -> None:
    with atomic(path) as temporary:
        image.save(temporary, format="PNG")
