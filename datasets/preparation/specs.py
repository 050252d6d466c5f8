"""Decides what the pictures of a side are, from the scan and the settings. Imports no torch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from translate.datasets.pairs import Problem
from translate.datasets.preparation.facts import ALPHA, DEPTHS, Colours, Facts, Pictures
from translate.datasets.preparation.looking import COLOURS_A_FILE, JPEG_TOLERANCE
from translate.datasets.preparation.roles import Colour, Side, format_colour, in_three
from translate.datasets.preparation.values import PERCENTILES, Sample, percentiles, remarks, sample
from translate.images import FULL_SCALE, ImageError, ImageSpec, show_nodata, to_spec

SHOWN_COLOURS = 12  # of a palette, listed in messages
NAMES = {"uint8": "8 bits", "uint16": "16 bits", "float32": "float"}


@dataclass(frozen=True)
class Decision:
    """The spec of one side, problems of the files that do not fit it, and notes for the user."""

    spec: ImageSpec
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def decide(side: Side, facts: Pictures, *, train: Pictures, paired: bool = True) -> Decision:
    """The spec of a side whose readable pictures are `facts`; those of `train` decide the value range.

    Raises:
        ValueError: label maps that are not clean, or settings that contradict the files.
    """
    assert facts, "nothing to decide from"
    return _labels(side, facts) if side.kind == "labels" else _image(side, facts, train=train, paired=paired)


def _image(side: Side, facts: Pictures, *, train: Pictures, paired: bool) -> Decision:
    channels = side.channels or _channels(facts)
    # Files with other bands go first: their depth and values must not count for the rest.
    fitting, problems = _fitting(facts, lambda depth: _full(side, channels, depth))
    if not fitting:
        return Decision(_full(side, channels, "uint8"), problems)
    dtype, notes = _dtype(side, fitting)
    _check_nodata(side, dtype)
    mixed = bool((fitting.column("depth") != DEPTHS.index(dtype)).any())
    found = sample(side, fitting, train=train, dtype=dtype, channels=channels)
    ranges, origin = _ranges(side, dtype, found, mixed=mixed)
    if len(ranges) not in (1, channels):
        raise ValueError(f"--{side.role}-range has {len(ranges)} ranges, and the files have {channels} bands")
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    bands = ranges if len(ranges) > 1 else None
    spec = _full(side, channels, dtype).model_copy(
        update={"low": low, "high": high, "bands": bands, "nodata": side.nodata}
    )
    more = _fitting(fitting, lambda _: spec)[1]
    named = f"{channels} channel{'s' if channels > 1 else ''}, {NAMES[dtype]}"
    shown = ", ".join(f"{low:g} to {high:g}" for low, high in ranges)
    notes = (*notes, f"{side.role}: {named}, {shown} become -1 to 1{origin}")
    excludable = paired and not side.derived
    return Decision(
        spec,
        problems + more,
        (*notes, *_transparency(side, spec, fitting), *remarks(side, spec, found, excludable=excludable)),
    )


def _check_nodata(side: Side, dtype: str) -> None:
    """
    Raises:
        ValueError: files of this depth cannot hold the no-data value.
    """
    if side.nodata is None or dtype == "float32":
        return
    most = FULL_SCALE[dtype]
    if side.nodata == "nan" or side.nodata != int(side.nodata) or not 0 <= side.nodata <= most:
        given = f"--{side.role}-nodata {show_nodata(side.nodata)}"
        raise ValueError(f"{given}: the files are of {NAMES[dtype]}, which hold whole numbers from 0 to {most:g}")


def _transparency(side: Side, spec: ImageSpec, facts: Pictures) -> tuple[str, ...]:
    """Whether pictures are laid on the background, which a band that is no alpha would do as well."""
    clear = facts.column("clear")
    shares = clear[clear > 0].tolist()
    pictures = f"{len(shares)} of {len(facts)} pictures are transparent in places"
    if shares and spec.kind == "labels":
        return (f"{side.role}: {pictures}, and have the colour of --background where they are it by half and more",)
    colour = format_colour(spec.background)
    if not shares or spec.channels in (2, 4):
        return ()
    channels = 4 if spec.channels == 3 else 2
    kept = f"give --{side.role}-channels {channels} --{side.role}-range bands"
    return (
        f"{side.role}: {pictures} ({np.mean(shares):.0%} of their pixels) and laid on {colour}, the --background; if "
        f"the last band is not alpha but measured (infrared, depth), {kept}",
    )


def _full(side: Side, channels: int, dtype: str) -> ImageSpec:
    """Pictures whose value range is that of their depth."""
    values = {"channels": channels, "dtype": dtype, "high": FULL_SCALE[dtype], "background": side.background}
    if side.nodata == "nan" and dtype == "float32":
        values["nodata"] = "nan"
    return ImageSpec.model_validate(values)


def _fitting(facts: Pictures, spec: Callable[[str], ImageSpec]) -> tuple[Pictures, tuple[Problem, ...]]:
    """Those whose two-pixel stub converts to the `spec` of its depth, as the whole will, and why the others do not."""
    kinds = np.stack([facts.column(name).astype(np.int64) for name in ("depth", "bands", "flags")], 1)
    each = np.arange(len(facts)) * (kinds[:, 0] == DEPTHS.index("float32"))  # whose values decide as well
    _, firsts, kind = np.unique(np.column_stack([kinds, each]), axis=0, return_index=True, return_inverse=True)
    reasons = [_misfit(facts.packed[facts.at[first]], spec) for first in firsts]
    misfit = np.array([bool(reason) for reason in reasons], bool)[kind.ravel()]
    problems = (Problem(facts.views[i].path, str(reasons[kind.ravel()[i]])) for i in np.flatnonzero(misfit).tolist())
    return facts.where(~misfit), tuple(problems)


def _misfit(facts: Facts, spec: Callable[[str], ImageSpec]) -> str | None:
    try:
        to_spec(facts.stub, spec(facts.dtype), name="")
    except ImageError as error:
        return str(error).removeprefix(": ")
    return None


def _channels(facts: Pictures) -> int:
    """Gray if all are, colour if some are; where there are more bands, the number that most files have."""
    bands, alpha = facts.column("bands").astype(int), facts.column("flags") & ALPHA > 0
    usual = np.isin(bands, (1, 3))
    ordinary, others = Counter(bands[usual].tolist()), Counter((bands + alpha)[~usual].tolist())
    if others.total() > ordinary.total():
        return max(others, key=lambda number: (others[number], number))
    return 3 if ordinary[3] else 1


def _dtype(side: Side, facts: Pictures) -> tuple[str, tuple[str, ...]]:
    """The depth of all files; of mixed ones the least, or the commonest where a range or a no-data value is given."""
    count = Counter({DEPTHS[depth]: n for depth, n in enumerate(np.bincount(facts.column("depth"))) if n})
    if len(count) == 1:
        return next(iter(count)), ()
    listed = ", ".join(f"{count[depth]} of {text}" for depth, text in NAMES.items() if count[depth])
    if side.samples_values or side.nodata is not None:  # the given values mean something at one depth only
        dtype = max(NAMES, key=lambda depth: count[depth])
        flag = f"--{side.role}-{'range' if side.samples_values else 'nodata'}"
        return dtype, (f"{side.role}: files of different depth ({listed}): {flag} is for {NAMES[dtype]}",)
    dtype = next(depth for depth in NAMES if count[depth])
    return dtype, (f"{side.role}: files of different depth ({listed}): all are used at {NAMES[dtype]}, full scale",)


def _ranges(side: Side, dtype: str, found: Sample, *, mixed: bool) -> tuple[tuple[tuple[float, float], ...], str]:
    """The values that become -1 and 1, of all bands or of each, and how they were found."""
    full = (0.0, FULL_SCALE[dtype])
    if isinstance(side.range, tuple):
        return side.range, f" (as given{_clipped(side.range, found)})"
    if side.range == "full" or (side.range == "auto" and (dtype == "uint8" or mixed)) or not len(found.every):
        return (full,), _clipped((full,), found)
    if side.range == "bands":  # a channel without values is alpha
        ranges = tuple(percentiles(values, dtype) if len(values) else full for values in found.bands)
        return ranges, f" (a band each; percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g}{_clipped(ranges, found)})"
    low, high = percentiles(found.every, dtype)
    if found.every.min() == found.every.max():
        return ((low, high),), f" (every sampled value is {found.every[0]:g}, so the full range is taken)"
    return (
        ((low, high),),
        f" (percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g}{_clipped(((low, high),), found)})",
    )


def _clipped(ranges: tuple[tuple[float, float], ...], found: Sample) -> str:
    """How much of the values lies outside the range, in words; empty for none."""
    groups = (found.every,) if len(ranges) == 1 else found.bands
    beyond = [(values < low) | (values > high) for values, (low, high) in zip(groups, ranges, strict=False)]
    share = float(np.concatenate(beyond).mean()) if sum(map(len, beyond)) else 0.0
    return f"; {share:.2%} of the sampled values are beyond and are clipped" if share else ""


def _labels(side: Side, facts: Pictures) -> Decision:
    found = [seen.colours for seen in facts.values() if seen.colours is not None]
    channels = _label_channels(side, facts)
    palette, notes = side.palette, []
    if palette is None:
        palette = _found_palette(side, found, channels=channels)
    elif outliers := sum(colours.outliers for colours in found):
        pixels = sum(map(int, facts.column("height").astype(np.int64) * facts.column("width")))
        far = sum(colours.far for colours in found) / pixels
        notes.append(
            f"{side.role}: {outliers / pixels:.2%} of the pixels are no colour of the palette and count "
            "as the nearest; "
            f"{far:.2%} are not even near one (within {JPEG_TOLERANCE} levels)"
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
    notes += _transparency(side, spec, facts)
    origin = "as given" if side.palette else "as found"
    notes.append(f"{side.role}: label maps of {len(palette)} colours, {origin}: {listed}")
    if not side.one_hot and _closest(palette) <= JPEG_TOLERANCE:
        notes.append(
            f"{side.role}: some of these colours are nearly the same, and so they are to the network; "
            f"--{side.role}-one-hot gives each class a channel instead"
        )
    return Decision(spec, problems, tuple(notes))


def _closest(palette: tuple[Colour, ...]) -> int:
    """Levels by which the two most similar colours differ in some channel."""
    pairs = itertools.combinations(palette, 2)
    return min((max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairs), default=255)


def _label_channels(side: Side, facts: Pictures) -> int:
    if side.palette is not None:
        return len(side.palette[0])
    bands = int(facts.column("bands").max())
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
        if all(max(abs(a - b) for a, b in zip(colour, other, strict=True)) > JPEG_TOLERANCE for other in kept):
            kept.append(colour)
        if len(kept) == SHOWN_COLOURS:
            break
    return kept
