"""Pairs that do not belong together, and pairs that are shifted against each other. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from translate.inspection.relation import CELLS, FIT_PAIRS, Half, Pictures, Relation, pooled, relation_of

MIN_PAIRS = 12  # with fewer nothing is typical, and nothing an exception
MAX_PAIRS = 4000  # a matrix of all against all is made
REACH = 1 / 8  # of a side: largest shift that is looked for
STILL = 1 / 128  # of a side: no shift
SHARP = 8.0  # pixels of 128: slower changes of the components do not locate

# Measured on facades, maps and openmoji, whole and spoiled: benchmarks/inspection.py
EXCHANGE_GAIN = 4.0  # deviations by which both pairs together are better exchanged
STRANGER = 0.4  # deviations over any other pair that a pair reaches at most if its sides do not belong together
ALIKE = 8.0  # times the distance from the typical pair to the worst quarter, beyond which a pair is an exception
TYPICAL = 3.0  # deviations that half of the pairs exceed, where strangers can be told at all
DOUBTFUL = 2.5  # below, pairs are also scored by a relation that was not learned from them
RELATED = 0.8  # deviations that half of those exceed, where the set is one of pairs
SHIFT_GAIN = 2.0  # deviations by which a shifted pair correlates better than one in place
OTHERS = 12  # other targets that a shifted pair has to surpass


@dataclass(frozen=True)
class Shift:
    """By how much a target lies off its source, in parts of its width and height: to the right and down."""

    index: int
    right: float
    down: float


@dataclass(frozen=True)
class Together:
    """What was found; pairs by their places."""

    related: bool  # whether the sides have anything to do with each other
    exchanged: tuple[tuple[int, int], ...] = ()
    strangers: tuple[int, ...] = ()
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True, eq=False)
class Correlator:
    """Correlates components of sources and targets over all shifts within reach."""

    side: int
    power: np.ndarray  # [n, n // 2 + 1, 1]: mean cross power of the set, which every pair has

    @staticmethod
    def spectrum(components: np.ndarray) -> np.ndarray:
        """`[side, side, K]` -> its spectrum, with room for the largest shift, without the slow changes."""
        import cv2

        side = len(components)
        slow = cv2.GaussianBlur(components, (0, 0), SHARP * side / 128, borderType=cv2.BORDER_REFLECT)
        room = side + round(side * REACH)
        return np.fft.rfft2(components - slow, (room, room), axes=(0, 1)).astype(np.complex64)

    def surface(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Correlation `[2R + 1, 2R + 1]` of two spectra at each shift of the target, of -R to R cells."""
        reach = round(self.side * REACH)
        cross = (source.conj() * target).sum(-1) / self.power
        size = np.linalg.norm(source / np.sqrt(self.power)[..., None]) * np.linalg.norm(
            target / np.sqrt(self.power)[..., None]
        )
        room = self.side + reach
        found = np.roll(np.fft.irfft2(cross, (room, room)), (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
        overlap = self.side - np.abs(np.arange(-reach, reach + 1))
        return found / (np.outer(overlap, overlap) / self.side**2) / max(float(size), 1e-12)


@dataclass(frozen=True)
class Peak:
    """The best shift beyond `STILL`, in cells, and how it compares."""

    gain: float  # deviations by which it correlates better than the place itself
    height: float
    right: float
    down: float


def peak_of(surface: np.ndarray, side: int) -> Peak:
    """The highest place of a correlation surface but for the middle."""
    reach = len(surface) // 2
    away = np.abs(np.arange(-reach, reach + 1)) > round(side * STILL)
    moved = np.where(away[:, None] | away[None], surface, -np.inf)
    row, column = divmod(int(moved.argmax()), surface.shape[1])
    in_place = float(np.where(np.isinf(moved), surface, -np.inf).max())
    height = float(surface[row, column])
    right, down = (
        place - reach + _between(line, place) for line, place in ((surface[row], column), (surface[:, column], row))
    )
    return Peak((height - in_place) / max(float(surface.std()), 1e-12), height, float(right), float(down))


def _between(line: np.ndarray, place: int) -> float:
    """Where between the cells a parabola through three of them is highest."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, here, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend


def compare(pairs: Sequence[Pictures], *, step: Callable[[], object] = lambda: None) -> Together:
    """Which of `pairs` are exchanged, strangers or shifted.

    Args:
        pairs: `MIN_PAIRS` to `MAX_PAIRS` of them, all pictures of one size.
        step: called after each pair.
    """
    assert MIN_PAIRS <= len(pairs) <= MAX_PAIRS
    relation = relation_of(pairs)
    side = len(pairs[0][0])
    correlator = Correlator(side, _power(pairs, relation))

    def work(pair: Pictures) -> tuple[np.ndarray, np.ndarray, Peak]:
        source, target = relation.source.components(pair[0]), relation.target.components(pair[1])
        surface = correlator.surface(*(correlator.spectrum(each) for each in (source, target)))
        step()
        return pooled(source, CELLS).ravel(), pooled(target, CELLS).ravel(), peak_of(surface, side)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        sources, targets, peaks = zip(*pool.map(work, pairs), strict=True)
    scores = standardised(np.stack(sources), np.stack(targets))
    typical = float(np.median(np.diag(scores)))
    if typical < DOUBTFUL and _unseen(pairs) < RELATED:
        return Together(related=False)
    exchanged = _exchanged(scores)
    wrong = {index for both in exchanged for index in both}
    shifts = [
        Shift(index, peak.right / side, peak.down / side)
        for index, peak in enumerate(peaks)
        if peak.gain > SHIFT_GAIN and index not in wrong and _surpasses(index, pairs, relation, correlator)
    ]
    wrong |= {shift.index for shift in shifts}
    # in a set whose pairs are all alike, less than half of what is typical is an exception as well
    usual = float(np.percentile(np.diag(scores), 25))
    limit = np.clip(typical - ALIKE * (typical - usual), STRANGER, typical / 2)
    strangers = tuple(
        index
        for index in range(len(pairs))
        if typical > TYPICAL and scores[index, index] < limit and index not in wrong
    )
    return Together(True, tuple(exchanged), strangers, tuple(shifts))


def _power(pairs: Sequence[Pictures], relation: Relation) -> np.ndarray:
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(len(pairs), 50)).round().astype(int)]

    def mean(half: Half, side: int) -> np.ndarray:
        spectra = (Correlator.spectrum(half.components(pair[side])) for pair in chosen)
        return np.mean([(np.abs(each) ** 2).mean(-1) for each in spectra], 0)

    power = np.sqrt(mean(relation.source, 0) * mean(relation.target, 1))
    return power + max(1e-3 * float(power.mean()), 1e-12)


def standardised(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Scores `[N, N]` of each source with each target, in deviations of its row and of its column."""
    one, other = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (sources, targets))
    scores = one @ other.T
    rows = (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-6)
    columns = (scores - scores.mean(0)) / np.maximum(scores.std(0), 1e-6)
    return (rows + columns) / 2


def _unseen(pairs: Sequence[Pictures]) -> float:
    """The typical score of pairs by the relation of the others: what few pairs share by chance does not count."""
    own: list[float] = []
    for part in (0, 1):
        scored, relation = pairs[part::2][:FIT_PAIRS], relation_of(pairs[1 - part :: 2])
        sides = (
            np.stack([pooled(half.components(pair[side]), CELLS).ravel() for pair in scored])
            for side, half in enumerate((relation.source, relation.target))
        )
        own += np.diag(standardised(*sides)).tolist()
    return float(np.median(own))


def _exchanged(scores: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of pairs that are better exchanged: each has its best partner in the other, and the sum is far better."""
    own = np.diag(scores)
    best = scores.argmax(1)
    found = []
    for one, other in enumerate(best.tolist()):
        if other <= one or best[other] != one:
            continue
        gains = scores[one, other] - own[one], scores[other, one] - own[other]
        if min(gains) > 0 and sum(gains) > EXCHANGE_GAIN:
            found.append((one, other))
    return found


def _surpasses(index: int, pairs: Sequence[Pictures], relation: Relation, correlator: Correlator) -> bool:
    """Whether a pair, shifted, correlates better than its source does with any of other targets, shifted or not."""
    source = correlator.spectrum(relation.source.components(pairs[index][0]))

    def height(other: int) -> float:
        target = correlator.spectrum(relation.target.components(pairs[other][1]))
        return float(correlator.surface(source, target).max())

    others = np.linspace(1, len(pairs) - 1, min(OTHERS, len(pairs) - 1)).round().astype(int)
    return height(index) > max(height((index + int(step)) % len(pairs)) for step in others)
