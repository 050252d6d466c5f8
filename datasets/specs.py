"""Decides what the pictures of a side are, from what the scan saw and the settings ask. Imports no torch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from translate.datasets.pairs import Problem, View
from translate.datasets.scan import COLOURS_A_FILE, SHADE, Colours, Facts
from translate.datasets.sides import Colour, Side, format_colour, in_three
from translate.images import FULL_SCALE, ImageError, ImageSpec, to_spec

PERCENTILES = (0.01, 99.99)  # of the values, so that a few hot or dead pixels do not decide
SHOWN_COLOURS = 12  # of a palette that is told to the user
DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "float"}


@dataclass(frozen=True)
class Decision:
    """What one side is, which of its files do not fit that, and what the user should know about it."""

    spec: ImageSpec
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def decide(side: Side, facts: Mapping[View, Facts], *, train: Collection[View]) -> Decision:
    """The spec of a side whose readable pictures are `facts`; those of `train` decide the value range.

    Raises:
        ValueError: label maps that are not clean, or settings that contradict the files.
    """
    assert facts, "nothing to decide from"
    return _labels(side, facts) if side.kind == "labels" else _image(side, facts, train=train)


def _image(side: Side, facts: Mapping[View, Facts], *, train: Collection[View]) -> Decision:
    channels = side.channels or _channels(facts)
    # Files with other bands go first: their depth and values must not count for the rest.
    fitting, problems = _fitting(facts, lambda seen: _full(side, channels, seen.dtype))
    if not fitting:
        return Decision(_full(side, channels, "uint8"), problems)
    dtype, notes = _dtype(side, fitting)
    low, high, said = _range(side, dtype, fitting, train=train)
    spec = _full(side, channels, dtype).model_copy(update={"low": low, "high": high})
    more = _fitting(fitting, lambda _: spec)[1]
    named = f"{channels} channel{'s' if channels > 1 else ''}, {DEPTHS[dtype]}"
    return Decision(spec, problems + more, (*notes, f"{side.role}: {named}, {low:g} to {high:g} become -1 to 1{said}"))


def _full(side: Side, channels: int, dtype: str) -> ImageSpec:
    """Pictures whose value range is that of their depth."""
    values = {"channels": channels, "dtype": dtype, "high": FULL_SCALE[dtype], "background": side.background}
    return ImageSpec.model_validate(values)


def _fitting(
    facts: Mapping[View, Facts], spec: Callable[[Facts], ImageSpec]
) -> tuple[dict[View, Facts], tuple[Problem, ...]]:
    """Those whose two-pixel stub converts to its `spec`, as the whole will, and why the others do not."""
    fitting, problems = {}, []
    for view, seen in facts.items():
        try:
            to_spec(seen.stub, spec(seen), name=str(view.path))
            fitting[view] = seen
        except ImageError as error:
            problems.append(Problem(view.path, str(error).removeprefix(f"{view.path}: ")))
    return fitting, tuple(problems)


def _channels(facts: Mapping[View, Facts]) -> int:
    """Gray if all are, colour if some are; where there are more bands, the number that most files have."""
    ordinary = Counter(seen.bands for seen in facts.values() if seen.bands in (1, 3))
    others = Counter(seen.bands + (seen.stub.alpha is not None) for seen in facts.values() if seen.bands not in (1, 3))
    if others.total() > ordinary.total():
        return max(others, key=lambda number: (others[number], number))
    return 3 if ordinary[3] else 1


def _dtype(side: Side, facts: Mapping[View, Facts]) -> tuple[str, tuple[str, ...]]:
    """The depth of all files; of mixed ones the least, or the commonest where a range is asked for."""
    count = Counter(seen.dtype for seen in facts.values())
    if len(count) == 1:
        return next(iter(count)), ()
    listed = ", ".join(f"{count[depth]} of {text}" for depth, text in DEPTHS.items() if count[depth])
    if side.samples_values:  # the given values mean something at one depth only
        dtype = max(DEPTHS, key=lambda depth: count[depth])
        return dtype, (f"{side.role}: files of different depth ({listed}): --{side.role}-range is for {DEPTHS[dtype]}",)
    dtype = next(depth for depth in DEPTHS if count[depth])
    return dtype, (f"{side.role}: files of different depth ({listed}): all are used at {DEPTHS[dtype]}, full scale",)


def _range(side: Side, dtype: str, facts: Mapping[View, Facts], *, train: Collection[View]) -> tuple[float, float, str]:
    """The values that become -1 and 1, and how they were found."""
    mixed = any(seen.dtype != dtype for seen in facts.values())
    sampled = [
        seen.values for view, seen in facts.items() if view in train and seen.dtype == dtype and seen.values is not None
    ]
    values = np.concatenate(sampled) if sampled else np.zeros(0, dtype)
    full = (0.0, FULL_SCALE[dtype])
    if isinstance(side.range, tuple):
        return *side.range, f" (as given{_clipped(values, *side.range)})"
    if side.range == "full" or (side.range == "auto" and (dtype == "uint8" or mixed)) or not len(values):
        return *full, _clipped(values, *full)
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if dtype != "float32":
        low, high = float(np.floor(low)), float(np.ceil(high))
    if low == high:
        low, high = min(low, full[0]), max(high, full[1])
        return low, high, f" (every sampled value is {values[0]:g}, so the full range is taken)"
    return (
        low,
        high,
        f" (percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g}{_clipped(values, low, high)})",
    )


def _clipped(values: np.ndarray, low: float, high: float) -> str:
    """How much of `values` lies outside the range, in words; empty for none."""
    share = float(((values < low) | (values > high)).mean()) if len(values) else 0.0
    return f"; {share:.2%} of the sampled values are beyond and are clipped" if share else ""


def _labels(side: Side, facts: Mapping[View, Facts]) -> Decision:
    found = [seen.colours for seen in facts.values() if seen.colours is not None]
    channels = _label_channels(side, facts)
    palette, notes = side.palette, []
    if palette is None:
        palette = _found_palette(side, found, channels=channels)
    elif strays := sum(colours.strays for colours in found):
        pixels = sum(seen.height * seen.width for seen in facts.values())
        far = sum(colours.far for colours in found) / pixels
        notes.append(
            f"{side.role}: {strays / pixels:.2%} of the pixels are no colour of the palette and count as the nearest; "
            f"{far:.2%} are not even near one (within {SHADE} levels)"
        )
    ignore = in_three(side.ignore) if side.ignore and channels == 3 else side.ignore
    if ignore and len(ignore) != channels:
        raise ValueError(f"--{side.role}-ignore {format_colour(ignore)}: the label maps are gray, give 0 to 255")
    if ignore and ignore not in palette:
        palette = (*palette, ignore)
        notes.append(f"{side.role}: the ignored colour {format_colour(ignore)} was added to the palette")
    values = {
        "channels": channels,
        "palette": palette,
        "one_hot": side.one_hot,
        "ignore": ignore,
        "kind": "labels",
    }
    spec = ImageSpec.model_validate({**values, "background": side.background})
    problems = _fitting(facts, lambda _: spec)[1]
    listed = ",".join(map(format_colour, palette[:SHOWN_COLOURS])) + (",..." if len(palette) > SHOWN_COLOURS else "")
    origin = "as given" if side.palette else "as found"
    notes.append(f"{side.role}: label maps of {len(palette)} colours, {origin}: {listed}")
    if not side.one_hot and _closest(palette) <= SHADE:
        notes.append(
            f"{side.role}: some of these colours are nearly the same, and so they are to the network; "
            f"--{side.role}-one-hot gives each class a channel instead"
        )
    return Decision(spec, problems, tuple(notes))


def _closest(palette: tuple[Colour, ...]) -> int:
    """Levels by which the two most similar colours differ in some channel."""
    pairs = itertools.combinations(palette, 2)
    return min((max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairs), default=255)


def _label_channels(side: Side, facts: Mapping[View, Facts]) -> int:
    if side.palette is not None:
        return len(side.palette[0])
    bands = max(seen.bands for seen in facts.values())
    if side.channels is not None and (side.channels not in (1, 3) or side.channels < bands):
        raise ValueError(f"--{side.role}-channels {side.channels}: these label maps have {bands}, leave it out")
    return side.channels or bands


def _found_palette(side: Side, found: list[Colours], *, channels: int) -> tuple[Colour, ...]:
    """Every colour of the maps, in order of value.

    Raises:
        ValueError: there are more than a clean map has; lists the commonest, to be copied.
    """
    counts: Counter[Colour] = Counter()
    for colours in found:
        for colour, count in colours.counts.items():
            counts[in_three(colour) if channels == 3 else colour] += count
    most = max(len(counts), *(colours.distinct for colours in found))
    if most > COLOURS_A_FILE:
        raise ValueError(
            f"the {side.role} label maps hold {most} colours or more: they are not clean (JPEG noise, soft "
            f"edges?): give the real ones with --{side.role}-palette. The commonest, noise apart, are "
            f"{','.join(map(format_colour, _commonest(counts)))}"
        )
    return tuple(sorted(counts))


def _commonest(counts: Counter[Colour]) -> list[Colour]:
    """The most frequent colours that are not a shade of a more frequent one."""
    kept: list[Colour] = []
    for colour, _ in counts.most_common():
        if all(max(abs(a - b) for a, b in zip(colour, other, strict=True)) > SHADE for other in kept):
            kept.append(colour)
        if len(kept) == SHOWN_COLOURS:
            break
    return kept
