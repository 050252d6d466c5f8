"""What a model's pictures are: channels, depth, value range or palette. Stored with every model. Imports no torch."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from translate.outside import MAX_CHANNELS

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The value that means white in a picture of each depth."""

MAX_COLOURS = 65_536  # of a palette
MAX_VALUE = 1e30  # of a pixel: beyond it a range would not fit into 32-bit floats

Nodata = float | Literal["nan"] | None
"""The value that means "nothing was measured here", in the units of the files; `nan` is any that is not finite."""


class ImageSpec(BaseModel):
    """One side of a translation, source or target, as its files are and as the network sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(le=MAX_CHANNELS)  # of the files: 1 gray, 3 colour, 4 colour and alpha, or any number of bands
    dtype: Literal["uint8", "uint16", "float32"] = "uint8"
    low: FiniteFloat = 0.0  # the value that the network sees as -1
    high: FiniteFloat = 255.0  # the value that the network sees as +1; values outside are clipped
    bands: tuple[tuple[FiniteFloat, FiniteFloat], ...] | None = None  # images: each channel's own low and high
    nodata: Nodata = None  # images: the value of what was not measured, which the network sees as 0
    kind: Literal["image", "labels"] = "image"
    palette: tuple[tuple[int, ...], ...] | None = Field(None, max_length=MAX_COLOURS)  # labels: [K][channels] colours
    one_hot: bool = False  # labels: the network sees K channels in {-1, 1} instead of the colours
    ignore: tuple[int, ...] | None = None  # labels: the colour whose pixels are left out of the losses
    background: tuple[int, int, int] = (255, 255, 255)  # 8-bit colour that alpha is composited on

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.channels < 1:
            raise ValueError(f"an image needs at least one channel, not {self.channels}")
        if not self.low < self.high:
            raise ValueError(f"value range {self.low:g},{self.high:g} is empty: the low end must be below the high one")
        if max(abs(self.low), abs(self.high)) > MAX_VALUE:
            raise ValueError(f"value range {self.low:g},{self.high:g} goes beyond {MAX_VALUE:g}")
        if self.bands is not None:
            if len(self.bands) != self.channels or not all(low < high for low, high in self.bands):
                raise ValueError(f"{len(self.bands)} value ranges, low below high, for {self.channels} channels")
            if self.low != min(low for low, _ in self.bands) or self.high != max(high for _, high in self.bands):
                raise ValueError("the value range has to be the outermost of those of the channels")
        if isinstance(self.nodata, float) and not math.isfinite(self.nodata):
            raise ValueError('a no-data value is a finite number, or "nan" for all that are not finite')
        if not all(
            0 <= value <= 255 for value in (*self.background, *chain(*(self.palette or ())), *(self.ignore or ()))
        ):
            raise ValueError("the colours of palette, ignore and background are values from 0 to 255")
        if self.ignore is not None and len(self.ignore) != self.channels:
            raise ValueError(f"ignore is a colour of {self.channels} values")
        if self.kind == "labels":
            if self.bands is not None or self.nodata is not None:
                raise ValueError("a label map has no value ranges and no no-data value")
            if not self.palette:
                raise ValueError("a label map needs a palette")
            if self.dtype != "uint8" or any(len(colour) != self.channels for colour in self.palette):
                raise ValueError(f"a label map is 8 bits deep and its palette has {self.channels} values a colour")
        return self

    def describe(self) -> str:
        """The facts in a few words."""
        bands = f"{self.channels} channel{'s' if self.channels > 1 else ''}"
        if self.palette:
            return f"label maps of {len(self.palette)} colours, {bands}{', one-hot' if self.one_hot else ''}"
        depth = {"uint8": "8 bits", "uint16": "16 bits", "float32": "float"}[self.dtype]
        ranges = self.bands or ((self.low, self.high),)
        without = "" if self.nodata is None else f", {show_nodata(self.nodata)} is no data"
        return f"{bands}, {depth}, {', '.join(f'{low:g} to {high:g}' for low, high in ranges)} become -1 to 1{without}"

    @property
    def network_channels(self) -> int:
        """Channels of the tensor that the network takes or makes."""
        return len(self.palette) if self.one_hot and self.palette else self.channels

    @property
    def full_scale(self) -> bool:
        """Whether black and white of the file type are -1 and 1, so that other depths convert unambiguously."""
        return not self.measured and self.low == 0 and self.high == FULL_SCALE[self.dtype]

    @property
    def measured(self) -> bool:
        """Whether the bands are declared as measurements, none of which is alpha, also if a file declares one."""
        return self.bands is not None or self.nodata is not None

    @property
    def lows(self) -> np.ndarray:
        """The value that becomes -1 in each channel of the files, float64 `[C]`."""
        return np.array([low for low, _ in self.bands or ((self.low, self.high),) * self.channels])

    @property
    def spans(self) -> np.ndarray:
        """From the value that becomes -1 to the one that becomes +1, in each channel of the files, float64 `[C]`."""
        return np.array([high - low for low, high in self.bands or ((self.low, self.high),) * self.channels])

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """In the form that earlier versions read, if the newer fields have their defaults."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value is not None or name not in ("bands", "nodata")}


def show_nodata(nodata: Nodata) -> str:
    """The number as it can be given again: every float32 has its own text."""
    return nodata if isinstance(nodata, str) else f"{nodata:.9g}"
