"""Intervals of means over pictures: how often they hold the true mean, and what they are in special cases."""

from collections.abc import Callable

import numpy as np
import pytest

from translate.evaluation.intervals import STUDENTS_T, mean_interval, mean_intervals, paired_interval

REPETITIONS = 1000
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
KINDS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.normal(3, 1, shape), 3),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1),
    "skewed": (lambda rng, shape: rng.lognormal(0, 0.7, shape), float(np.exp(0.245))),
    "even": (lambda rng, shape: rng.random(shape), 0.5),
    "shares": (lambda rng, shape: (rng.random(shape) < 0.9).astype(float), 0.9),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "least", "most"), [(200, 0.93, 0.97), (40, 0.91, 0.985)])
def test_the_true_mean_is_within_as_often_as_stated(kind, count, least, most):
    draw, mean = KINDS[kind]
    found = mean_intervals(draw(np.random.default_rng(0), (REPETITIONS, count)))
    covered = ((found[:, 0] <= mean) & (mean <= found[:, 1])).mean()
    assert least <= covered <= most


def test_a_paired_difference_is_known_better_than_the_means():
    rng = np.random.default_rng(0)
    hard = rng.exponential(5, 60)  # how hard the pictures are, for both
    first, second = hard + rng.normal(0.5, 0.2, 60), hard
    found, own = paired_interval(first, second), mean_interval(first)
    assert found is not None
    assert own is not None
    assert 0.4 < found.low < 0.5 < found.high < 0.6
    assert (own.high - own.low) > 10 * (found.high - found.low)


def test_the_same_values_always_have_the_same_interval_and_their_unit_goes_through():
    values = np.random.default_rng(0).exponential(1, 30)
    found = mean_interval(values)
    assert found is not None
    assert found == mean_interval(list(values))
    assert mean_interval(values * 1000 + 7) == pytest.approx((found.low * 1000 + 7, found.high * 1000 + 7))
    assert found.high - values.mean() > values.mean() - found.low  # skewed, as the values are


def test_many_values_are_resampled_in_parts():
    values = np.random.default_rng(0).normal(0, 1, 5000)
    found = mean_interval(values)
    assert found is not None
    half = 1.96 / 5000**0.5
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 10)


def test_few_values_have_a_wide_interval_and_one_has_none():
    assert mean_interval([0.3]) is None
    assert mean_interval([1.0, 2.0]) == pytest.approx((1.5 - 12.706 * 0.5, 1.5 + 12.706 * 0.5))
    students_t = pytest.importorskip("scipy.stats").t
    assert pytest.approx([students_t.ppf(0.975, n - 1) for n in range(2, 10)], abs=5e-4) == STUDENTS_T


def test_of_values_that_are_all_the_same_nothing_follows():
    assert mean_interval([0.25] * 20) is None
    assert mean_interval([1.0] * 20) is None
    assert paired_interval([0.25, 0.5], [0.25, 0.5]) is None


def test_shares_have_wilsons_interval():
    expected = (0.69897, 0.97213)  # of 18 of 20, from scipy.stats.binomtest(18, 20).proportion_ci(method="wilson")
    assert tuple(mean_interval([1.0] * 18 + [0.0] * 2) or ()) == pytest.approx(expected, abs=1e-5)
