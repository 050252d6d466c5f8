"""Height and width of training crops and of what they are cut from. Imports no torch."""

from __future__ import annotations

import re
from numbers import Integral
from typing import Any, NamedTuple, Self

from translate.outside import MAX_SIDE

WRITTEN = re.compile(r"\s*([0-9]{1,9})\s*(?:[xX×*]\s*([0-9]{1,9})\s*)?")
HOW = "give one side in pixels, as 256, or HEIGHTxWIDTH, as 64x256"


class Size(NamedTuple):
    """Height and width in pixels, each at least 1.

    In settings and files it may be one number, which is a square, a text such as "64x256", or a list of the two; it is
    written as the list.
    """

    height: int
    width: int

    @classmethod
    def of(cls, value: object) -> Self:
        """What a number, a text or a pair means.

        Raises:
            ValueError: it is none of these, or a side is below 1.
        """
        sides: tuple[Any, ...]
        if isinstance(value, str):
            written = WRITTEN.fullmatch(value)
            sides = tuple(int(side) for side in written.groups(default=written[1])) if written else ()
        elif isinstance(value, list | tuple):
            sides = tuple(value)
        else:
            sides = (value, value)
        whole = [int(side) for side in sides if _is_whole(side)]
        if not len(sides) == len(whole) == 2:
            raise ValueError(HOW)
        if not 1 <= min(whole) <= max(whole) <= MAX_SIDE:
            raise ValueError(f"a side is 1 to {MAX_SIDE} pixels: {HOW}")
        return cls(*whole)

    @property
    def shorter(self) -> int:
        """The shorter side, which decides how deep networks are."""
        return min(self)

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.height * self.width

    def describe(self) -> str:
        """For a person: elsewhere sizes are written as width x height."""
        return f"{self} pixels" if self.height == self.width else f"{self} pixels (height x width)"

    def __str__(self) -> str:
        """As it is written on the command line."""
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls.of, serialization=core_schema.plain_serializer_function_ser_schema(list, when_used="json")
        )


def _is_whole(side: Any) -> bool:
    if isinstance(side, float):
        return side.is_integer()
    return isinstance(side, Integral) and not isinstance(side, bool)
