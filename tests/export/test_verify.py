"""The contract by hand: what it lets through, what it refuses, and the figures it gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from translate.card import Card
from translate.export.verify import NotTheSame, Tolerance, textured, verify
from translate.images import ImageSpec

MakeSpec = Callable[..., ImageSpec]
MakeCard = Callable[..., Card]
NAMES = ("this", "that")


def grey(images: np.ndarray) -> np.ndarray:
    return np.full_like(images, 100)


def test_equal_pixels(card: MakeCard) -> None:
    check = verify(grey, grey, card(), names=NAMES)
    assert (check.largest, check.mean, check.psnr, check.flat, check.changed) == (0, 0, None, 0, None)
    assert "this against that" in check.describe()
    assert "equal" in check.describe()


def test_a_level_is_let_through_and_counted(card: MakeCard) -> None:
    """One value in four of every picture is a level higher: a mean of 1/4, and 255^2 over 1/4 as a ratio."""

    def higher(images: np.ndarray) -> np.ndarray:
        made = grey(images)
        made[..., ::2, ::2, :] += 1
        return made

    one_size = card(size=8)
    check = verify(higher, grey, one_size, names=NAMES)
    assert check.largest == 1
    assert check.mean == pytest.approx(0.25, abs=0.02)  # odd sides have a little more
    assert check.psnr == pytest.approx(10 * np.log10(255**2 / check.mean))
    assert check.flat == 1


def test_more_than_a_level_is_refused(card: MakeCard) -> None:
    def one_pixel(images: np.ndarray) -> np.ndarray:
        made = grey(images)
        made[0, -1, -1, 0] += 2
        return made

    with pytest.raises(NotTheSame, match="at most 2 of 255 levels"):
        verify(one_pixel, grey, card(), names=NAMES)


def test_a_level_of_a_deep_picture_is_less(card: MakeCard, spec: MakeSpec) -> None:
    deep = card(spec(1, "uint16"), spec(1, "uint16"))
    assert verify(lambda x: grey(x) + 257, grey, deep, names=NAMES).largest == pytest.approx(1)
    with pytest.raises(NotTheSame):
        verify(lambda x: grey(x) + 258, grey, deep, names=NAMES)


def test_a_narrow_range_has_coarser_levels(card: MakeCard, spec: MakeSpec) -> None:
    """The pictures' own level is 5.1 of 255, and rounding may go either way."""
    narrow = card(spec(1), spec(1, low=80, high=130))
    assert verify(lambda x: grey(x) + 1, grey, narrow, names=NAMES).largest == pytest.approx(5.1)
    with pytest.raises(NotTheSame):
        verify(lambda x: grey(x) + 2, grey, narrow, names=NAMES)


def test_floats_by_their_range(card: MakeCard, spec: MakeSpec) -> None:
    floats = card(spec(1), spec(1, "float32", low=-1, high=1))

    def half(images: np.ndarray) -> np.ndarray:
        return np.full(images.shape, 0.5, np.float32)

    assert verify(lambda x: half(x) + np.float32(2 / 256), half, floats, names=NAMES).largest < 1
    with pytest.raises(NotTheSame):
        verify(lambda x: half(x) + np.float32(2 / 254), half, floats, names=NAMES)


@pytest.mark.parametrize(("every", "good"), [(40, True), (20, False)])
def test_few_pixels_of_a_label_map_may_change(every: int, good: bool, card: MakeCard, spec: MakeSpec) -> None:
    """A pixel in 1600 or in 400; the two colours are further apart than any tolerance of levels."""
    labels = spec(1, kind="labels", palette=((0,), (255,)))

    def flipped(images: np.ndarray) -> np.ndarray:
        made = images.copy()
        made[:, ::every, ::every] = 255 - made[:, ::every, ::every]
        return made

    both = card(labels, labels, size=400)  # most of the pixels, and a multiple of both steps
    if good:
        assert verify(flipped, np.copy, both, names=NAMES).changed == pytest.approx(1 / every**2, rel=0.2)
    else:
        with pytest.raises(NotTheSame, match="of another class"):
            verify(flipped, np.copy, both, names=NAMES)


def test_a_wrong_shape_or_type_is_refused(card: MakeCard) -> None:
    with pytest.raises(NotTheSame, match=r"gives uint8 \[1, 7, 8, 3\] in place of uint8 \[1, 8, 8, 3\]"):
        verify(lambda x: grey(x)[:, 1:], grey, card(), names=NAMES)
    with pytest.raises(NotTheSame, match="float32"):
        verify(lambda x: grey(x).astype(np.float32), grey, card(), names=NAMES)


def test_flat_pictures_only_have_to_come_through(card: MakeCard) -> None:
    """They have to have the right size, and their difference is reported."""

    def amplified(images: np.ndarray) -> np.ndarray:
        return grey(images) + np.uint8(50 if np.ptp(images[0].reshape(-1, 3), axis=0).max() == 0 else 0)

    check = verify(amplified, grey, card(), names=NAMES)
    assert (check.largest, check.flat) == (0, 50)
    with pytest.raises(NotTheSame):
        verify(lambda x: grey(x) if x[0].size > 3 else grey(x)[:, :0], grey, card(), names=NAMES)


def test_the_texture_has_detail_and_fills_the_range(spec: MakeSpec) -> None:
    rng = np.random.default_rng(0)
    deep = textured(rng, spec(2, "uint16", low=300, high=4000), (2, 64, 48))
    assert (deep.shape, deep.dtype) == ((2, 64, 48, 2), np.uint16)
    assert 300 <= deep.min() < 900
    assert 3400 < deep.max() <= 4000
    assert np.abs(np.diff(deep.astype(int), axis=1)).mean() > 100
    palette = ((0, 0, 0), (9, 9, 9), (255, 0, 0))
    labels = textured(rng, spec(3, kind="labels", palette=palette), (1, 64, 48))
    assert {tuple(colour) for colour in labels.reshape(-1, 3).tolist()} == set(palette)


def test_real_pictures_are_judged_as_the_random_ones(card: MakeCard) -> None:
    """A fault that only they show; crops of them are tried, too; a white page does not count."""
    rng = np.random.default_rng(2)
    photos = [rng.integers(200, 256, (21 + index, 30, 3), dtype=np.uint8) for index in range(3)]
    page = np.full((20, 20, 3), 255, np.uint8)

    def off_where_bright(images: np.ndarray) -> np.ndarray:
        return grey(images) + np.uint8(2 * (images.min() >= 200))

    check = verify(grey, grey, card(), names=NAMES, real=[*photos, page])
    assert (check.real, check.random) == (3, True)
    assert {(1, 21, 30), (1, 19, 27), (3, 21, 30)} <= set(check.sizes)
    assert (1, 20, 20) not in check.sizes
    assert "3 real pictures" in check.describe()
    with pytest.raises(NotTheSame, match="at most 2 of 255 levels"):
        verify(off_where_bright, grey, card(), names=NAMES, real=photos)
    assert verify(off_where_bright, grey, card(), names=NAMES, real=[page]).flat == 2


@pytest.mark.parametrize(("off", "psnr"), [(3, 38.6), (8, 30.1)])
def test_other_precisions_are_judged_by_their_psnr(off: int, psnr: float, card: MakeCard) -> None:
    """All values are off by 3 or 8 levels: 20 log10(255 / 3) = 38.6 dB."""

    def shifted(images: np.ndarray) -> np.ndarray:
        return grey(images) + np.uint8(off)

    check = verify(shifted, grey, card(), names=NAMES, tolerance=Tolerance(psnr - 0.1))
    assert check.psnr == pytest.approx(psnr, abs=0.05)
    with pytest.raises(NotTheSame, match="nothing was written"):
        verify(shifted, grey, card(), names=NAMES, tolerance=Tolerance(psnr + 0.1))


def test_random_pictures_can_be_left_out_of_the_judgement(card: MakeCard) -> None:
    """Quantised files know the ranges of real ones only."""
    photo = np.random.default_rng(2).integers(200, 256, (64, 64, 3), dtype=np.uint8)

    def off_where_dark(images: np.ndarray) -> np.ndarray:
        return grey(images) + np.uint8(40 * (images.min() < 200))

    check = verify(off_where_dark, grey, card(), names=NAMES, real=[photo], random=False)
    assert (check.largest, check.flat) == (0, 40)
    assert set(check.sizes) == {(1, 64, 64), (1, 63, 61)}
    assert "not judged: flat and random ones, at most 40" in check.describe()


def test_what_is_no_number_is_never_good_enough(card: MakeCard, spec: MakeSpec) -> None:
    floats = card(spec(1), spec(1, "float32", low=-1, high=1))

    def lost(images: np.ndarray) -> np.ndarray:
        return np.full(images.shape, np.nan, np.float32)

    with pytest.raises(NotTheSame):
        verify(lost, lambda x: np.zeros(x.shape, np.float32), floats, names=NAMES, tolerance=Tolerance(psnr=0))
