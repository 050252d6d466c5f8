"""Resizing and augmentation: one geometry for both sides, any depth and channels, and labels stay labels."""

from typing import Any

import numpy as np
import pytest

from translate.datasets.examples.transforms import Augment, centre, to_load_size, window
from translate.datasets.resizing import resize
from translate.images import FULL_SCALE, ImageError, ImageSpec
from translate.settings import DataSettings
from translate.sizes import Size

SIZE = 32
EVERYTHING = {"flip_vertical": True, "rotate": 25, "zoom": 0.2}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "published": {},
    "still": {"flip": False, "load_size": SIZE},
    "flips": {"flip_vertical": True},
    "rotate": {"rotate": 180},
    "zoom": {"zoom": 0.4},
    "everything": EVERYTHING,
}
DTYPES = ("uint8", "uint16", "float32")
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [3, 200, 90], [250, 250, 17]], np.uint8)
LABELS = ImageSpec(channels=3, kind="labels", palette=tuple(map(tuple, PALETTE.tolist())))


def settings(**changes: Any) -> DataSettings:
    return DataSettings.make({"data": ".", "size": SIZE, **changes})


def spec_of(channels: int, dtype: str = "uint8") -> ImageSpec:
    return ImageSpec(channels=channels, dtype=dtype, low=0, high=FULL_SCALE[dtype])


def noise(height: int, width: int, channels: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    unit = np.random.default_rng(seed).random((height, width, channels)) * FULL_SCALE[dtype]
    return unit.astype(dtype)


def coordinates(height: int, width: int, scale: float = 1) -> np.ndarray:
    """A picture whose channels are the row and the column of each pixel, times `scale`."""
    rows, columns = np.mgrid[:height, :width]
    return (np.stack([rows, columns], -1) * scale).astype(np.float32)


def label_map(height: int, width: int) -> np.ndarray:
    return (
        PALETTE[np.random.default_rng(0).integers(0, len(PALETTE), (height // 6 + 1, width // 6 + 1))]
        .repeat(6, 0)
        .repeat(6, 1)[:height, :width]
    )


def augmented(
    source: np.ndarray | None,
    target: np.ndarray,
    source_spec: ImageSpec,
    target_spec: ImageSpec,
    seed: int,
    **changes: Any,
) -> tuple[np.ndarray | None, np.ndarray]:
    augment = Augment(settings(**changes), source=source_spec, target=target_spec)
    return augment.geometry(source, target, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("changes", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_a_source_equal_to_its_target_stays_equal(channels: int, dtype: str, changes: dict[str, Any]) -> None:
    picture, spec = noise(36, 36, channels, dtype), spec_of(channels, dtype)
    for seed in range(4):
        source, target = augmented(picture, picture.copy(), spec, spec, seed, **changes)
        assert target.shape == (SIZE, SIZE, channels)
        assert target.dtype == dtype
        np.testing.assert_array_equal(source, target)


@pytest.mark.parametrize("changes", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("labels_first", [True, False])
def test_labels_and_images_move_alike(labels_first: bool, changes: dict[str, Any]) -> None:
    """The labels hold the coordinates, too: 36 x 36 of them, as colours (row, column)."""
    grid = coordinates(36, 36)
    palette = tuple((r, c) for r in range(36) for c in range(36))
    labels = ImageSpec(channels=2, kind="labels", palette=palette)
    image = spec_of(2, "float32")
    for seed in range(6):
        if labels_first:
            source, target = augmented(grid.astype(np.uint8), grid, labels, image, seed, **changes)
        else:
            source, target = augmented(grid, grid.astype(np.uint8), image, labels, seed, **changes)
        assert source is not None
        assert np.abs(source.astype(float) - target).max() <= 0.51  # nearest is within half a pixel of linear


@pytest.mark.parametrize("changes", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("derived", [False, True])
def test_label_maps_keep_their_colours(derived: bool, changes: dict[str, Any]) -> None:
    stored = label_map(50, 41)
    _, loaded = to_load_size(None, stored, fit="stretch", size=Size(36, 36), labels=(False, True), name="x")
    source_spec = spec_of(3) if derived else LABELS
    for seed in range(6):
        _, target = augmented(None if derived else loaded, loaded, source_spec, LABELS, seed, **changes)
        assert set(map(tuple, target.reshape(-1, 3).tolist())) <= set(map(tuple, PALETTE.tolist()))


def test_the_published_recipe_is_a_crop_mirrored_half_of_the_time() -> None:
    picture, spec = coordinates(36, 36), spec_of(2, "float32")
    corners, mirrored = set(), 0
    for seed in range(300):
        _, crop = augmented(picture, picture, spec, spec, seed)
        if crop[0, 0, 1] > crop[0, -1, 1]:
            mirrored += 1
            crop = crop[:, ::-1]
        top, left = (int(v) for v in crop[0, 0])
        np.testing.assert_array_equal(crop, picture[top : top + SIZE, left : left + SIZE])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(5) for left in range(5)}
    assert 120 < mirrored < 180


def test_flips_are_independent_of_each_other() -> None:
    picture, spec = coordinates(SIZE, SIZE), spec_of(2, "float32")
    seen = set()
    for seed in range(40):
        _, crop = augmented(None, picture, spec, spec, seed, load_size=SIZE, flip_vertical=True)
        seen.add((bool(crop[0, 0, 0] > 0), bool(crop[0, 0, 1] > 0)))
    assert len(seen) == 4


def test_one_augmentation_more_leaves_the_others_as_they_were() -> None:
    picture, spec = noise(36, 36, 3), spec_of(3)
    for seed in range(10):
        _, plain = augmented(None, picture, spec, spec, seed, flip=False)
        _, flipped = augmented(None, picture, spec, spec, seed)
        assert np.array_equal(plain, flipped) or np.array_equal(plain, flipped[:, ::-1])


@pytest.mark.parametrize(("changes", "low", "high"), [({"zoom": 0.3}, 0.7, 1.3), ({"rotate": 30}, 1, 1)])
def test_turning_and_scaling_by_what_was_asked(changes: dict[str, Any], low: float, high: float) -> None:
    """On a large grid of coordinates the map is linear: its matrix can be read off three pixels."""
    picture, spec = coordinates(120, 120), spec_of(2, "float32")
    scales, angles = [], []
    for seed in range(60):
        _, crop = augmented(None, picture, spec, spec, seed, flip=False, load_size=120, **changes)
        step = (crop[20, 16] - crop[12, 16]) / 8  # rows and columns of the picture a row of the crop
        if not np.allclose(crop[28, 16] - crop[20, 16], step * 8, atol=0.1):  # a 32nd of a pixel is OpenCV's finest
            continue  # reaches beyond the border
        scales.append(1 / np.hypot(*step))
        angles.append(np.degrees(np.arctan2(step[1], step[0])))
    assert len(scales) > 20
    assert low - 0.01 <= min(scales) <= max(scales) <= high + 0.01
    limit = changes.get("rotate", 0)
    assert max(map(abs, angles)) <= limit + 0.5
    if limit:
        assert min(angles) < -limit / 2 < limit / 2 < max(angles)
    else:
        assert max(scales) - min(scales) > 0.3


def test_beyond_the_border_is_the_mirror_image() -> None:
    picture, spec = np.full((SIZE, SIZE, 3), 90, np.uint8), spec_of(3)
    for seed in range(5):
        _, turned = augmented(None, picture, spec, spec, seed, load_size=SIZE, rotate=180, zoom=0.9)
        np.testing.assert_array_equal(turned, picture)  # neither black nor white corners


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (7, 20), (33, 31), (32, 32)])
@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_pictures_smaller_than_the_crop_are_mirrored_outwards(shape: tuple[int, int], changes: dict[str, Any]) -> None:
    picture, spec = noise(*shape, 3), spec_of(3)
    source, target = augmented(picture, picture, spec, spec, 0, fit="none", **changes)
    assert target.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(source, target)


def test_window_is_numpys_reflection() -> None:
    picture = noise(9, 7, 3)
    padded = np.pad(picture, ((20, 20), (20, 20), (0, 0)), mode="reflect")
    for top, left, height, width in [(0, 0, 9, 7), (-3, 2, 6, 5), (-20, -20, 49, 47), (5, 6, 20, 20)]:
        expected = padded[top + 20 : top + 20 + height, left + 20 : left + 20 + width]
        np.testing.assert_array_equal(window(picture, top, left, height, width), expected)
    np.testing.assert_array_equal(centre(picture, Size(5, 5)), picture[2:7, 1:6])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 5, 8])
def test_shrinking_averages_areas(channels: int, dtype: str) -> None:
    picture = noise(40, 60, channels, dtype)
    means = picture.reshape(10, 4, 20, 3, channels).mean((1, 3))
    tolerance = 1e-6 if dtype == "float32" else 1
    np.testing.assert_allclose(resize(picture, 10, 20), means, atol=tolerance)
    # One side shrinks, the other grows: still no aliasing.
    mixed = resize(picture, 10, 60 * 2).astype(float)
    assert mixed.shape == (10, 120, channels)
    average = picture.reshape(10, 4, 60, channels).mean(1)
    np.testing.assert_allclose(mixed[:, ::2].mean((0, 1)), average.mean((0, 1)), rtol=0.05)
    assert mixed.std() < 1.05 * average.std()


def test_growing_interpolates_and_labels_do_not() -> None:
    ramp = coordinates(20, 20)
    inner = slice(4, -4)
    expected = (coordinates(50, 50) + 0.5) * 20 / 50 - 0.5
    np.testing.assert_allclose(resize(ramp, 50, 50)[inner, inner], expected[inner, inner], atol=0.02)
    nearest = resize(ramp.astype(np.uint8), 50, 50, labels=True)
    assert np.abs(nearest + 0.5 - (coordinates(50, 50) + 0.5) * 20 / 50).max() <= 0.5001  # the pixel it lies in
    assert resize(ramp, 20, 20) is ramp


def test_stored_sizes_may_differ_where_pictures_are_resized() -> None:
    def load(fit: Any, source: np.ndarray, target: np.ndarray) -> Any:
        return to_load_size(source, target, fit=fit, size=Size(36, 36), labels=(False, False), name="some/pair.png")

    small, large = noise(33, 50, 3), noise(67, 100, 3)
    for fit in ("stretch", "cover"):
        source, target = load(fit, small, large)
        assert source.shape == target.shape
    with pytest.raises(
        ImageError, match=r"^some/pair.png: the source is 50x33 pixels and the target 100x67.*same size"
    ):
        load("none", small, large)
    with pytest.raises(ImageError, match=r"^some/pair.png.*--fit cover needs the same proportions"):
        load("cover", noise(100, 50, 3), large)


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("uint16", 100, 4100), ("float32", -5, 20)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_photometric_is_linear_in_the_range_of_the_values(channels: int, dtype: str, low: float, high: float) -> None:
    """Pictures that look alike to the network look alike afterwards, whatever their units."""
    spec = ImageSpec(channels=channels, dtype=dtype, low=low, high=high)
    augment = Augment(settings(photometric=0.4), source=spec, target=spec)
    unit = np.linspace(0, 1, 40 * channels).reshape(8, 5, channels)
    values = unit * (high - low) + low
    pixels = (values if dtype == "float32" else np.rint(values)).astype(dtype)
    for seed in range(5):
        changed = augment.photometric(pixels, spec, rng=np.random.default_rng(seed))
        assert changed.dtype == dtype
        assert changed.shape == pixels.shape
        eight = ImageSpec(channels=1)
        reference = augment.photometric(
            np.rint(unit * 255).astype(np.uint8).reshape(8, -1, 1), eight, rng=np.random.default_rng(seed)
        ).reshape(pixels.shape)
        colours = slice(0, channels - 1 if channels in (2, 4) else channels)
        seen = (changed.astype(float) - low) / (high - low) * 255
        np.testing.assert_allclose(seen[..., colours], reference[..., colours], atol=2.1)
        assert not np.array_equal(changed[..., colours], pixels[..., colours])
        if channels in (2, 4):
            np.testing.assert_array_equal(changed[..., -1], pixels[..., -1])
