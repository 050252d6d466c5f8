"""Near-duplicates are found, stay on one side, and the choice depends on nothing but names and pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from translate.datasets.preparation.holdout import (
    NEAR_BITS,
    NEAR_COLOUR,
    Holdout,
    Looks,
    arrays,
    hold_out,
    looks,
    near_duplicates,
)
from translate.images import Picture

WHITE = (255, 255, 255)


def look(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Looks:
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return looks(Picture(pixels=pixels, alpha=alpha, format="PNG"), background=WHITE)


def scene(seed: int, *, side: int = 64) -> np.ndarray:
    """Smooth colour blobs `[side, side, 3]` uint8, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


def near(one: Looks, other: Looks) -> bool:
    colours = [abs(a - b) for a, b in zip(one.colour, other.colour, strict=True)]
    return (one.bits ^ other.bits).bit_count() <= NEAR_BITS and max(colours) <= NEAR_COLOUR


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_saved_again_looks_the_same(seed):
    pixels = scene(seed)
    original = look(pixels)
    assert near(original, look(jpeg(pixels, 30)))
    assert near(original, look(np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX))))
    assert near(original, look(pixels.astype(np.uint16) * 257))
    assert near(original, look(pixels.astype(np.float32) / 255))
    assert not near(original, look(scene(seed + 100)))
    assert not near(original, look(pixels[:, ::-1]))


def test_flat_pictures_differ_by_their_colour_and_not_by_grain():
    grain = np.random.default_rng(0).integers(-1, 2, (64, 64, 3))
    flat = np.full((64, 64, 3), 100, np.uint8)
    assert near(look(flat), look((flat + grain).astype(np.uint8)))
    assert not near(look(flat), look(flat + np.uint8(50)))


def test_what_a_transparent_pixel_hides_does_not_count():
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:48, 16:48] = 255
    drawing = scene(1)
    hiding = np.where(alpha[..., None] > 0, drawing, scene(2))
    shown = np.where(alpha[..., None] > 0, drawing, 255).astype(np.uint8)
    assert look(drawing, alpha) == look(hiding, alpha)
    assert near(look(drawing, alpha), look(shown))


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_any_number_of_bands_and_any_size(bands):
    assert look(np.zeros((1, 1, bands), np.uint16)).bits == 0
    assert look(np.broadcast_to(np.arange(90, dtype=np.uint8)[:, None], (3, 90, bands)).copy()).bits == 2**64 - 1


def closure(pairs: list[tuple[Looks, ...]]) -> set[frozenset[int]]:
    """Groups by comparing all with all."""
    groups = [{i} for i in range(len(pairs))]
    for i, one in enumerate(pairs):
        for j in range(i):
            if all(near(a, b) for a, b in zip(one, pairs[j], strict=True)):
                joined = next(g for g in groups if i in g) | next(g for g in groups if j in g)
                groups = [g for g in groups if not g & joined] + [joined]
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("sides", [1, 2])
def test_groups_are_those_of_comparing_all_with_all(sides):
    rng = np.random.default_rng(sides)
    pairs: list[tuple[Looks, ...]] = []
    for _ in range(30):
        centre = [(int(rng.integers(2**63)), int(rng.integers(250))) for _ in range(sides)]
        for _ in range(int(rng.integers(1, 8))):  # up to 5 bits away: some are near, some only through others
            pairs.append(
                tuple(
                    Looks(
                        bits ^ sum(1 << int(b) for b in set(rng.integers(0, 63, 5).tolist()[: int(rng.integers(6))])),
                        (c, c, c),
                    )
                    for bits, c in centre
                )
            )
    found = near_duplicates(*arrays(pairs))
    assert {frozenset(group) for group in found} == closure(pairs)
    assert sorted(i for group in found for i in group) == list(range(len(pairs)))
    assert any(len(group) > 2 for group in found)


def test_both_sides_have_to_be_alike():
    a, b, c = (Looks(bits, (0, 0, 0)) for bits in (0, 2**40 - 1, 2**64 - 2**30))
    assert sorted(map(sorted, near_duplicates(*arrays([(a, b), (a, c), (c, b), (a, b)])))) == [[0, 3], [1], [2]]


def divided(pairs: list[tuple[str, tuple[Looks, ...]]], *, fraction: float) -> Holdout:
    return hold_out([name for name, _ in pairs], *arrays([looks for _, looks in pairs]), fraction=fraction)


def named(count: int, *, alike: int = 1) -> list[tuple[str, tuple[Looks, ...]]]:
    """`count` pairs in runs of `alike` near-duplicates."""
    rng = np.random.default_rng(0)
    kinds = [Looks(int(rng.integers(2**63)), (0, 0, 0)) for _ in range(count)]
    return [(f"{i}.png", (kinds[i // alike],)) for i in range(count)]


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(100, 0.05, 5), (100, 0.001, 1), (2, 0.05, 1), (2, 0.9, 1), (1, 0.5, 0), (0, 0.5, 0), (100, 0.0, 0)],
)
def test_how_many_are_held_out(count, fraction, held_out):
    result = divided(named(count), fraction=fraction)
    assert len(result.val) == held_out
    assert sorted(result.train + result.val) == list(range(count))


def test_near_duplicates_stay_on_one_side():
    result = divided(named(60, alike=3), fraction=0.2)
    assert len(result.val) == 12
    assert {i // 3 for i in result.val}.isdisjoint(i // 3 for i in result.train)
    assert (result.together, result.divided) == (60, False)


def test_groups_larger_than_the_share_are_held_out_whole_and_the_smallest_of_them():
    pairs = named(20, alike=8)  # groups of 8, 8 and 4
    assert divided(pairs, fraction=0.05).val == (16, 17, 18, 19)


def test_if_all_are_near_duplicates_it_is_said():
    result = divided(named(10, alike=10), fraction=0.2)
    assert (len(result.val), result.divided) == (2, True)


def test_the_order_of_the_pairs_does_not_matter():
    pairs = named(50, alike=2)
    shuffled = [pairs[i] for i in np.random.default_rng(1).permutation(50)]
    chosen = [{some[i][0] for i in divided(some, fraction=0.3).val} for some in (pairs, shuffled)]
    assert chosen[0] == chosen[1]
