"""The settings of one side, source or target, parsed before any file is opened. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from PIL import ImageColor

from translate.datasets.pairs import Role
from translate.fields import flag
from translate.images import Nodata, show_nodata
from translate.settings import REDUCED, DataSettings

Colour = tuple[int, ...]
"""One value of a gray label map, or three of a colour one, 0 to 255 each."""

INFINITE_AT_32_BITS = 3.4028235677973366e38  # numbers from here on round to it
RANGES = ("auto", "full", "percentile", "bands")

OF_A_SIDE = ("kind", "channels", "range", "nodata", "palette", "one_hot", "ignore")
"""Settings that source and target have each, after `source_` and `target_`."""


@dataclass(frozen=True)
class Side:
    """The settings of one side, with their texts converted."""

    role: Role
    kind: Literal["image", "labels"]
    background: tuple[int, int, int]
    channels: int | None = None  # None: as the files are
    range: str | tuple[tuple[float, float], ...] = (
        "auto"  # one of RANGES, or what becomes -1 and 1, of all or each band
    )
    nodata: Nodata = None
    derived: bool = False  # the other side is made of this one
    palette: tuple[Colour, ...] | None = None  # None: the colours found
    one_hot: bool = False
    ignore: Colour | None = None

    @property
    def samples_values(self) -> bool:
        """Whether 8-bit files, too, have to be sampled to know how their values spread."""
        return self.range not in ("auto", "full")

    @property
    def needs_pixels(self) -> bool:
        """Whether what these pictures are can only be decided from all their pixels."""
        return self.kind == "labels" or self.samples_values or self.nodata is not None


def source_side(settings: DataSettings) -> Side | None:
    """The settings of the source, or None where it is derived from the target.

    Raises:
        ValueError: as `target_side`, or a setting of source files where there are none.
    """
    if not settings.derive:
        if settings.derive_amount is not None:
            raise ValueError("--derive-amount goes with --derive: give that too, or leave both out")
        if settings.photometric and settings.source_kind == "labels":
            raise ValueError("--photometric changes colours, and the sources are label maps, whose colours are classes")
        return _side(settings, "source")
    for name in OF_A_SIDE:
        field = f"source_{name}"
        if getattr(settings, field) != DataSettings.model_fields[field].default:
            if settings.derive == REDUCED:
                raise ValueError(f"{flag(field)} is for --source FOLDER: without one, sources are the targets reduced")
            raise ValueError(f"{flag(field)} does not go with --derive, which decides what the sources are")
    return None


def target_side(settings: DataSettings) -> Side:
    """The settings of the target.

    Raises:
        ValueError: a colour, palette or range that cannot be read, or settings that contradict each other.
    """
    return _side(settings, "target")


def _side(settings: DataSettings, role: Role) -> Side:
    given: dict[str, Any] = {name: getattr(settings, f"{role}_{name}") for name in OF_A_SIDE}
    if given["kind"] == "image":
        for name in ("palette", "one_hot", "ignore"):
            if given[name]:
                raise ValueError(f"{flag(f'{role}_{name}')} is for label maps: add --{role}-kind labels")
    elif given["range"] != "auto":
        raise ValueError(f"--{role}-range is for images, not for label maps, whose palette decides")
    elif given["nodata"] is not None:
        raise ValueError(f"--{role}-nodata is for images; the colour of a label map is --{role}-ignore")
    if isinstance(given["nodata"], float) and abs(given["nodata"]) >= INFINITE_AT_32_BITS:
        reason = "floats are read at 32 bits, where this is infinity: give nan, which means all not finite"
        raise ValueError(f"--{role}-nodata {show_nodata(given['nodata'])}: {reason}")
    if given["nodata"] is not None and settings.derive not in (None, REDUCED):  # reducing leaves it out
        raise ValueError(f"--{role}-nodata does not go with --derive, which would make sources of it: fill it in first")
    side = Side(
        role=role,
        kind=given["kind"],
        background=parse_background(settings.background),
        channels=given["channels"],
        range=parse_range(given["range"], flag=f"--{role}-range"),
        nodata=given["nodata"],
        derived=settings.derive is not None,
        palette=parse_palette(given["palette"], flag=f"--{role}-palette") if given["palette"] else None,
        one_hot=given["one_hot"],
        ignore=parse_colour(given["ignore"], flag=f"--{role}-ignore") if given["ignore"] else None,
    )
    if side.palette and side.channels not in (None, len(side.palette[0])):
        raise ValueError(f"--{role}-channels {side.channels} and --{role}-palette of {len(side.palette[0])} disagree")
    return side


def parse_background(text: str) -> tuple[int, int, int]:
    """`#rrggbb` or a CSS colour name -> 8-bit colour.

    Raises:
        ValueError: it is neither.
    """
    try:
        return ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ValueError(f"--background {text!r} is no colour: give #rrggbb or a name such as white") from None


def parse_range(text: str, *, flag: str) -> str | tuple[tuple[float, float], ...]:
    """A name of `RANGES`, or `LOW,HIGH` for all bands, or `LOW,HIGH,LOW,HIGH,...` for one after another.

    Raises:
        ValueError: it is neither, or a range is empty.
    """
    word = text.strip().lower()
    if word in RANGES:
        return word
    try:
        numbers = [float(part) for part in text.split(",")]
        ranges = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    except ValueError:
        raise ValueError(
            f"{flag} {text!r}: give {', '.join(RANGES)}, two numbers LOW,HIGH, or two for each band"
        ) from None
    if not all(-float("inf") < low < high < float("inf") for low, high in ranges):
        raise ValueError(f"{flag} {text}: the low end must be below the high one, and both finite")
    return ranges


def parse_palette(text: str, *, flag: str) -> tuple[Colour, ...]:
    """`#rrggbb,#rrggbb,...`, or `0,1,2,...` for gray maps.

    Raises:
        ValueError: a colour that cannot be read, one given twice, gray and colour mixed, or more than 256.
    """
    colours = tuple(parse_colour(part, flag=flag) for part in text.split(","))
    if len({len(colour) for colour in colours}) > 1:
        raise ValueError(f"{flag} mixes gray values and #rrggbb colours: use one of the two")
    twice = next((colour for colour in colours if colours.count(colour) > 1), None)
    if twice is not None:
        raise ValueError(f"{flag} holds {format_colour(twice)} twice")
    if len(colours) > 256:
        raise ValueError(f"{flag} holds {len(colours)} colours: at most 256 are possible")
    return colours


def parse_colour(text: str, *, flag: str) -> Colour:
    """`#rrggbb` -> three values, a number from 0 to 255 -> one.

    Raises:
        ValueError: it is neither.
    """
    word = text.strip()
    if word.isascii() and word.isdigit() and int(word) <= 255:
        return (int(word),)
    if re.fullmatch("#[0-9a-fA-F]{6}", word):
        return tuple(bytes.fromhex(word[1:]))
    raise ValueError(f"{flag}: {word!r} is no colour of a label map: give #rrggbb, or 0 to 255 for gray maps")


def format_colour(colour: Colour) -> str:
    """The text that `parse_colour` reads."""
    return str(colour[0]) if len(colour) == 1 else "#" + bytes(colour).hex()


def in_three(colour: Colour) -> Colour:
    """A gray value as the colour that it is."""
    return colour * 3 if len(colour) == 1 else colour
