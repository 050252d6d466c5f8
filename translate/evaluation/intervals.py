"""Confidence intervals of figures that are means over pictures, by bootstrap.

They speak of pictures: where the mean of other pictures of the same kind, translated by the same weights, would lie.
They say nothing of what another training with another seed would give, which may differ by more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
STUDENTS_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)
"""The 97.5 % quantiles of Student's t for 2 to 9 values: the resamples of so few are too alike for a bootstrap."""
AT_ONCE = 2**22  # counts in memory together
NORMAL = 1.959964  # standard errors to both ends: the 97.5 % quantile of the standard normal distribution


class Interval(NamedTuple):
    """The lower and the upper end, within which the mean is with a probability of 95 %."""

    low: float
    high: float


def mean_interval(values: Sequence[float] | np.ndarray, *, seed: int = 0) -> Interval | None:
    """The interval of the mean of one figure, from its value of each picture.

    None of fewer than two, and where all are the same, of which nothing follows for others.

    The studentised bootstrap (Efron 1979; Hall 1988, "percentile-t"), which holds its level for skewed values too. Of
    shares, whose values are 0 and 1 alone, it is Wilson's (1927). The same values always give the same interval.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2 or (values == values[0]).all():
        return None
    low, high = mean_intervals(values[None], seed=seed)[0]
    return Interval(float(low), float(high))


def paired_interval(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, *, seed: int = 0
) -> Interval | None:
    """The interval of the mean difference, first less second, of the same pictures in the same order.

    It is mostly far narrower than those of the two means show, since pictures that are hard are so for both.
    """
    assert len(first) == len(second), "the same pictures"
    return mean_interval(np.subtract(first, second), seed=seed)


def mean_intervals(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The same of many sets at once, which share the resamples' places: `[R, N]`, N at least 2, gives `[R, 2]`."""
    count = values.shape[1]
    mean = values.mean(1)
    values = values - mean[:, None]  # keeps the squares exact
    error = values.std(1, ddof=1) / np.sqrt(count)
    if count - 2 < len(STUDENTS_T):
        found = np.outer(error, np.array([-1.0, 1.0]) * STUDENTS_T[count - 2])
    else:
        low, high = np.nanquantile(_studentised(values, seed=seed), [0.5 + LEVEL / 2, 0.5 - LEVEL / 2], axis=1)
        found = np.stack([-low * error, -high * error], 1)
    found = found + mean[:, None]
    shares = ((values == -mean[:, None]) | (values == 1 - mean[:, None])).all(1) & (error > 0)
    return np.where(shares[:, None], wilson(mean, count), found)


def _studentised(centred: np.ndarray, *, seed: int) -> np.ndarray:
    """Resampled means over their own standard errors, `[R, RESAMPLES]`; NaN where a resample has no spread."""
    count = centred.shape[1]
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, RESAMPLES, step := max(1, AT_ONCE // count)):
        rows = min(step, RESAMPLES - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        mean = centred @ times.T / count
        variance = np.square(centred) @ times.T / count - mean**2
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = mean / np.sqrt(variance.clip(0) / (count - 1))
        parts.append(np.where(variance > 1e-12 * centred.var(1)[:, None], scores, np.nan))
    found = np.concatenate(parts, 1)
    return np.where(np.isfinite(found).any(1)[:, None], found, 0.0)  # of values that are all the same


def wilson(share: np.ndarray, count: int) -> np.ndarray:
    """The score interval (Wilson 1927) of shares `[R]` of `count`, which holds near 0 and 1 too: `[R, 2]`."""
    z, share = NORMAL, share.clip(0, 1)
    middle = share + z**2 / (2 * count)
    reach = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (np.stack([middle - reach, middle + reach], 1) / (1 + z**2 / count)).clip(0, 1)
