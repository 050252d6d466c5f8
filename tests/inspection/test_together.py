"""Pairs that are exchanged, moved or strangers are told from right ones, by what all pairs have in common."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from translate.inspection import relation, together
from translate.inspection.relation import describe, relation_of
from translate.inspection.together import Correlator, compare, peak_of, standardised


def blobs(seed: int, side: int = 64) -> np.ndarray:
    """Large fields of few colours, with borders in places of their own."""
    small = np.random.default_rng(seed).integers(0, 4, (9, 9)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.NEAREST))


def pair_of(classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A map of the classes, and a noisy picture in which they have other colours."""
    rng = np.random.default_rng(1000 + seed)
    labels = np.array([[0, 0, 255], [255, 128, 0], [0, 200, 0], [90, 0, 90]], np.uint8)[classes]
    photo = np.array([[120, 90, 60], [130, 160, 200], [60, 110, 50], [200, 200, 190]])[classes]
    noise = rng.normal(0, 25, photo.shape) + rng.normal(0, 20, 3)
    return labels, np.clip(photo + noise, 0, 255).astype(np.uint8)


def pairs(count: int = 32) -> list[tuple[np.ndarray, np.ndarray]]:
    return [pair_of(blobs(seed), seed) for seed in range(count)]


def test_right_pairs_are_left_alone() -> None:
    assert compare(pairs()) == together.Together(related=True)


def test_each_wrong_pair_is_told_as_what_it_is() -> None:
    made = pairs()
    made[3], made[17] = (made[3][0], made[17][1]), (made[17][0], made[3][1])
    made[8] = made[8][0], pair_of(blobs(999), 999)[1]
    made[30] = made[30][0], np.roll(made[30][1], (-3, 5), (0, 1))
    found = compare(made)
    assert found.related
    assert found.exchanged == ((3, 17),)
    assert found.strangers == (8,)
    (shift,) = found.shifts
    assert shift.index == 30
    assert (shift.right * 64, shift.down * 64) == pytest.approx((5, -3), abs=0.5)


def test_pictures_that_have_nothing_in_common_are_not_pairs() -> None:
    made = pairs()
    order = np.random.default_rng(0).permutation(len(made))
    mixed = [(source, made[i][1]) for (source, _), i in zip(made, order, strict=True)]
    assert not compare(mixed).related


def test_sources_that_are_one_picture_are_not_called_exchanged() -> None:
    made = pairs()
    same = made[0][0]
    found = compare([(same, target) if i < 10 else (source, target) for i, (source, target) in enumerate(made)])
    assert not found.exchanged


def test_one_source_for_all_is_not_called_anything_else() -> None:
    made = pairs(12)
    flat = np.full_like(made[0][0], 255)
    assert not compare([(flat, target) for _, target in made]).related


def test_canonical_correlations_are_those_of_the_orthogonal_bases() -> None:
    """The cosines of the angles between the two spaces (Bjorck and Golub 1973), by QR rather than by covariances."""
    made = pairs(30)
    bases = []
    for side in (0, 1):
        maps = [describe(pair[side]) for pair in made]
        rows = np.concatenate([(each - np.mean(maps, 0)).reshape(-1, each.shape[-1]) for each in maps])
        bases.append(np.linalg.qr(rows / rows.std(0))[0])
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert relation_of(made).correlations[:4] == pytest.approx(cosines[:4], abs=0.02)  # a little is shrunk on purpose
    assert cosines[0] > 0.5


def test_a_peak_lies_where_the_target_was_moved_to() -> None:
    texture = np.random.default_rng(0).normal(size=(64, 64, 2))
    source, target = (Correlator.spectrum(each) for each in (texture, np.roll(texture, (4, -6), (0, 1))))
    correlator = Correlator(64, np.ones((*source.shape[:2],)))
    peak = peak_of(correlator.surface(source, target), 64)
    assert (peak.right, peak.down) == pytest.approx((-6, 4), abs=0.3)
    assert peak.gain > together.SHIFT_GAIN
    assert peak_of(correlator.surface(source, source), 64).gain < 0


def test_a_surface_is_the_correlation_at_each_shift() -> None:
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 32, 32, 3))
    spectra = [np.fft.rfft2(each, (36, 36), axes=(0, 1)) for each in (source, target)]
    surface = Correlator(32, np.ones((36, 19))).surface(*spectra)
    assert surface.shape == (9, 9)
    down, right = 2, -3  # the target at (y + 2, x - 3) against the source at (y, x)
    by_hand = (source[:30, 3:] * target[2:, :29]).sum() * 32**2 / (30 * 29)
    middle = (source * target).sum()
    assert surface[4 + down, 4 + right] / surface[4, 4] == pytest.approx(by_hand / middle)


def test_scores_are_deviations_of_row_and_column() -> None:
    rng = np.random.default_rng(2)
    found = standardised(rng.normal(size=(20, 50)), rng.normal(size=(20, 50)))
    assert found.mean() == pytest.approx(0, abs=1e-6)
    same = rng.normal(size=(20, 50))
    assert np.diag(standardised(same, same)).min() > 3


def test_descriptions_have_one_place_for_each_pixel() -> None:
    assert describe(blobs(0)[..., None].repeat(3, -1)).shape == (64, 64, 12)
    assert relation.pooled(np.ones((64, 64, 12)), 32).shape == (32, 32, 12)
