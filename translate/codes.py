"""InfoGAN's codes: which numbers of a model's noise they are, and how a person sets them. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from translate.outside import brief

ANY = "any"  # in place of a code's value: drawn
MOST_CODES = 64
EDGE = 0.9999  # continuous codes are set to this at most: 1 is infinitely far out in the noise

Value = int | float | None
"""Of a code: from 0 on of a categorical one, in [-1, 1] of a continuous one; None: drawn."""


class Codes(BaseModel):
    """The codes in a noise `z`, all of whose numbers are standard normal.

    First come the categorical ones, each of as many numbers as it has values: the largest says which. Then the
    continuous ones: the normal distribution's share below the number, as one in [-1, 1]. So a categorical code is
    uniform, and a continuous one too, and whoever draws a normal `z` draws codes.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    categorical: tuple[Annotated[int, Field(ge=2, le=1000)], ...] = Field((), max_length=MOST_CODES)  # values of each
    continuous: int = Field(0, ge=0, le=MOST_CODES)

    @property
    def numbers(self) -> int:
        """Numbers of `z` that the codes are made of."""
        return sum(self.categorical) + self.continuous

    def __bool__(self) -> bool:
        return self.numbers > 0

    def __len__(self) -> int:
        return len(self.categorical) + self.continuous

    @classmethod
    def read(cls, categorical: str | None, continuous: int) -> Self:
        """From settings: `"10,10"`, and a number."""
        return cls(
            categorical=tuple(map(int, (categorical or "").split(","))) if categorical else (), continuous=continuous
        )

    def put(self, z: np.ndarray, values: Sequence[Value]) -> np.ndarray:
        """`z` `[Z]` with these codes, one after the other; those that are None or not given stay as drawn.

        Raises:
            ValueError: more values than codes, or one that its code does not have.
        """
        self.check(values)
        z = np.array(z, np.float32)
        start = 0
        for count, value in zip(self.categorical, values, strict=False):
            if value is not None:
                numbers = z[start : start + count]
                largest, chosen = int(numbers.argmax()), int(value)
                numbers[largest], numbers[chosen] = numbers[chosen], numbers[largest]  # as if it had been drawn
                if int(numbers.argmax()) != chosen:  # of equal ones
                    numbers[chosen] += 1
            start += count
        for index, value in enumerate(values[len(self.categorical) :], sum(self.categorical)):
            if value is not None:
                z[index] = NormalDist().inv_cdf((min(max(value, -EDGE), EDGE) + 1) / 2)
        return z

    def check(self, values: Sequence[Value]) -> None:
        """
        Raises:
            ValueError: as `put`.
        """
        if not self:
            raise ValueError("code: this model has no codes of its own: train with --info-categorical")
        if len(values) > len(self):
            raise ValueError(f"code: {len(values)} values, and the model has {self.describe()}")
        for place, value in enumerate(values):
            if value is None:
                continue
            known = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if place < len(self.categorical):
                count = self.categorical[place]
                if not known or value != int(value) or not 0 <= value < count:
                    raise ValueError(
                        f"code: value {place + 1} is a whole number from 0 to {count - 1}, not {brief(value)}"
                    )
            elif not known or not -1 <= value <= 1:
                raise ValueError(f"code: value {place + 1} is a number from -1 to 1, not {brief(value)}")

    def describe(self) -> str:
        """For a person."""
        parts = [f"a categorical code of {count} values" for count in self.categorical]
        if self.continuous:
            parts.append(f"{self.continuous} continuous code{'s' * (self.continuous > 1)}")
        return ", ".join(parts)


def parsed_code(text: str) -> list[Value]:
    """`"3,any,0.5"` -> `[3, None, 0.5]`.

    Raises:
        ValueError: something that is neither a number nor `any`.
    """
    values: list[Value] = []
    for part in (part.strip() for part in text.split(",")):
        if part != ANY and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", part):
            raise ValueError(f"give numbers with commas between, like 3 or 3,{ANY},0.5; {ANY} is drawn")
        values.append(None if part == ANY else int(part) if part.isdecimal() else float(part))
    return values
