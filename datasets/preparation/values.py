"""Value statistics of a side: its range, and warnings about no-data values and ranges hardly used. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from translate.datasets.preparation.facts import DEPTHS, FLOAT, PLACES, VALUES, Pictures
from translate.datasets.preparation.roles import Side
from translate.images import FULL_SCALE, ImageSpec, missing, show_nodata

PERCENTILES = (0.01, 99.99)  # of the values, so that a few hot or dead pixels do not decide
BULK = (0.5, 99.5)  # percentiles between which most values lie
MIN_USE = 0.05  # values that use less than this share of the range are reported
SPREAD_8_BITS = (
    1.5  # an extreme 8-bit value is reported if it is so many spreads of the others away: drawings have white paper
)
SPREAD = 0.05  # the same of other depths, whose values lie close, where the value is at least `COMMON`
COMMON = 0.01  # share of the values
MIN_EXTREME_SHARE = 2 * (100 - PERCENTILES[1]) / 100  # share of an extreme value from which on it may decide the range
MAX_CLASS_VALUES = 64  # no photograph has as few, and most label maps do
NAMED = 6  # bands that are named
SAMPLED = 2**18  # values of a band: a share of `MIN_EXTREME_SHARE` is still 50 of them


@dataclass(frozen=True)
class Sample:
    """Values of the training pictures of one depth."""

    every: np.ndarray  # [N] of all bands together, without those that mean no data
    bands: tuple[np.ndarray, ...]  # of each channel of the spec, likewise
    absent: float  # share of those that mean no data


def sample(side: Side, facts: Pictures, *, train: Pictures, dtype: str, channels: int) -> Sample:
    """What the scan has kept of the pictures of `train` that are `dtype`."""
    having = (facts.column("depth") == DEPTHS.index(dtype)) & (facts.column("flags") & VALUES > 0)
    facts = facts.where(having & np.isin(facts.at, train.at))
    parts: list[list[np.ndarray]] = [[] for _ in range(channels)]
    every = [np.zeros(0, dtype)]
    count = 0
    for values, places, sampled_bands in _stretches(facts, dtype):
        count += len(values)
        every.append(_measured(values, side))
        for band in range(sampled_bands):
            chosen = _measured(values[band::sampled_bands] if places is None else values[places == band], side)
            for channel in _channels_of(band, bands=sampled_bands, channels=channels):
                parts[channel].append(chosen)
    together = np.concatenate(every)
    bands = tuple(np.concatenate(part) if part else np.zeros(0, dtype) for part in parts)
    return Sample(together, bands, absent=1 - len(together) / count if count else 0.0)


def _stretches(facts: Pictures, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
    """Values, the band of each unless they come in turn, and how many bands; of pictures after each other together."""
    in_turn, bands = facts.column("flags") & PLACES == 0, facts.column("sampled_bands").tolist()
    whole = in_turn.all() and len(set(bands)) == 1 and not (facts.column("values") % max(bands[0], 1)).any()
    if whole:  # a single sequence then: an array of each picture would take ten times the memory
        starts = facts.column("place").astype(np.int64) + FLOAT.size * (dtype == "float32")
        ends = starts + facts.column("values") * np.dtype(dtype).itemsize
        values, rest = bytearray(), memoryview(facts.packed.rest)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            values += rest[start:end]
        yield np.frombuffer(values, dtype), None, bands[0]
        return
    for row, seen in zip(facts.at.tolist(), bands, strict=True):
        found = facts.packed[row]
        assert found.values is not None
        yield found.values, found.places, seen


def _measured(values: np.ndarray, side: Side) -> np.ndarray:
    return values if side.nodata is None else values[~missing(values, side.nodata)]


def _channels_of(band: int, *, bands: int, channels: int) -> range | tuple[int, ...]:
    """The channels that conversion makes of a band of a file: gray is repeated, and gray is made of colour."""
    if bands == 1:
        return range(channels - (channels in (2, 4)) if channels > 1 else 1)
    return (0,) if bands == 3 and channels < 3 else (band,)


def percentiles(values: np.ndarray, dtype: str) -> tuple[float, float]:
    """The range of values `[N]`, at least one, less its outermost; the full one where all are the same."""
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if dtype != "float32":
        low, high = float(np.floor(low)), float(np.ceil(high))
    return (low, high) if low < high else (min(low, 0.0), max(high, FULL_SCALE[dtype]))


def remarks(side: Side, spec: ImageSpec, found: Sample, *, excludable: bool) -> list[str]:
    """Warnings where the values suggest another range, label maps or a no-data value, with the flag for it.

    Args:
        excludable: whether a no-data value can be given.
    """
    lines: list[str] = []
    role = side.role
    if side.nodata is not None and len(found.every) + found.absent:
        share = f"{found.absent:.2%} of the sampled values" if found.absent else "none of the sampled values"
        lines.append(f"{role}: no data is {show_nodata(side.nodata)}, {share}; left out of range, losses and figures")
    bands = [values[:: 1 + len(values) // SAMPLED] for values in found.bands]
    extremes = [_extreme(values, eight_bits=spec.dtype == "uint8") for values in bands]
    rest = [values if e is None else values[values != e.value] for values, e in zip(bands, extremes, strict=True)]
    for value in dict.fromkeys(extreme.value for extreme in extremes if extreme):
        having = {number: e for number, e in enumerate(extremes, 1) if e and e.value == value}
        first = next(iter(having.values()))
        where = f" of band{'s' * (len(having) > 1)} {_named(having)}" if spec.channels > 1 else ""
        do = f"--{role}-nodata={show_nodata(value)} leaves it out"
        if not excludable or side.nodata is not None:  # which is one value
            do = "fill it in before training"
        lines.append(
            f"{role}: {_percent(first.share)} of the values{where} are {show_nodata(value)}, far from the others "
            f'({first.low:g} to {first.high:g}): if it means "nothing here", {do}'
        )
    if any(extremes) and _measured_range(side, spec):  # without that value the range is another
        low, high = percentiles(np.concatenate(rest), spec.dtype)
        spec = spec.model_copy(update={"low": low, "high": high})
    return lines + _narrow(side, spec, rest)


def _measured_range(side: Side, spec: ImageSpec) -> bool:
    """Whether the one range of all bands was found in the pictures."""
    full = (spec.low, spec.high) == (0, FULL_SCALE[spec.dtype])
    return side.range == "percentile" or (side.range == "auto" and not full)


def _named(bands: Iterable[int]) -> str:
    numbers = [*bands]
    return ", ".join(map(str, numbers[:NAMED])) + (", ..." if len(numbers) > NAMED else "")


@dataclass(frozen=True)
class Extreme:
    """A value at one end that is far from all others, and not rare."""

    value: float
    share: float  # of the band's values
    low: float  # ends of most of the others
    high: float


def _extreme(values: np.ndarray, *, eight_bits: bool) -> Extreme | None:
    """The extreme value of one band `[N]`, if there is one; the farther one where both ends are extreme."""
    best, apart = None, 0.0
    for end in (np.min, np.max) if len(values) else ():
        value = end(values)
        others = values[values != value].astype(np.float64)
        share = 1 - len(others) / len(values)
        if not len(others) or share < MIN_EXTREME_SHARE:
            continue
        low, high = np.percentile(others, BULK)
        spread = high - low
        if not spread:
            continue  # two values: a mask, or a drawing
        gaps = float(np.abs(others - float(value)).min()) / spread
        least = SPREAD_8_BITS if eight_bits else SPREAD if share >= COMMON else 1.0
        if gaps >= max(least, apart):
            best, apart = Extreme(float(value), share, float(low), float(high)), gaps
    return best


def _narrow(side: Side, spec: ImageSpec, bands: Sequence[np.ndarray]) -> list[str]:
    """Where most values use less than `MIN_USE` of the range: all bands together, or one by itself."""
    role = side.role
    every = np.concatenate(list(bands))
    one = _used(every, spec.low, spec.high)
    if one is not None and one.share < MIN_USE:
        line = f"{role}: most values lie between {one.low:g} and {one.high:g}, {_percent(one.share)} of the range "
        line += f"{spec.low:g} to {spec.high:g}, and to the network are nearly the same: "
        return [line + _remedy(side, spec, every, one)]
    each = [_used(values, low, low + span) for values, low, span in zip(bands, spec.lows, spec.spans, strict=True)]
    narrow = {number: used for number, used in enumerate(each, 1) if used is not None and used.share < MIN_USE}
    if not narrow or spec.channels == 1:
        return []
    number, used = min(narrow.items(), key=lambda item: item[1].share)
    names = _named(narrow)
    do = "give its range" if spec.bands else f"--{role}-range bands gives each band its own"
    which = f"bands {names} of {spec.channels} use" if len(narrow) > 1 else f"band {names} of {spec.channels} uses"
    worst = f"band {number}: mostly {used.low:g} to {used.high:g}, {_percent(used.share)} of it"
    return [f"{role}: {which} under a twentieth of the range ({worst}): {do}"]


@dataclass(frozen=True)
class Use:
    """Where most values lie, and the share of the range that this is."""

    low: float
    high: float
    share: float


def _used(values: np.ndarray, low: float, high: float) -> Use | None:
    """None without values, or where all are the same."""
    if not len(values):
        return None
    first, last = (float(value) for value in np.percentile(values, BULK))
    if first == last:
        first, last = float(values.min()), float(values.max())
    if first == last:
        return None
    inside = min(last, high) - max(first, low)
    return Use(first, last, max(inside, 0.0) / (high - low))


def _remedy(side: Side, spec: ImageSpec, values: np.ndarray, used: Use) -> str:
    """What to do about values that use so little of the range."""
    role = side.role
    ranged = f"--{role}-range percentile takes them apart"
    if side.range == "bands" or _measured_range(side, spec):
        ranged = f"--{role}-range={used.low:g},{used.high:g} takes them apart"
    whole = spec.dtype == "uint8" and spec.channels in (1, 3) and len(np.unique(values)) <= MAX_CLASS_VALUES
    return f"if they are classes, give --{role}-kind labels, else {ranged}" if whole else ranged


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.2%}"
