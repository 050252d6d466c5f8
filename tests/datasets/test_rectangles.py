"""Crops that are not square: their geometry, and what a cache keeps of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from translate.datasets.batches import make_dataset
from translate.datasets.examples import transforms
from translate.datasets.examples.cache import cache_key
from translate.datasets.examples.transforms import Augment, centre, to_load_size
from translate.datasets.prepare import prepare
from translate.datasets.resizing import load_shape
from translate.images import ImageSpec
from translate.settings import DataSettings
from translate.sizes import Size

SIZES = ["16x40", "40x16", "7x61"]
PLACES = ImageSpec(channels=2, dtype="float32", low=0, high=1000)


def places(height: int, width: int) -> np.ndarray:
    """Row and column of every pixel."""
    return np.moveaxis(np.mgrid[:height, :width], 0, -1).astype(np.float32)


@pytest.mark.parametrize(
    ("fit", "shape", "expected"),
    [
        ("stretch", (100, 70), (16, 40)),
        ("cover", (100, 100), (40, 40)),
        ("cover", (10, 100), (16, 160)),
        ("cover", (32, 80), (16, 40)),
        ("none", (100, 70), (100, 70)),
    ],
)
def test_what_covers_a_rectangle_is_no_larger_than_it_has_to_be(
    fit: Any, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert load_shape(*shape, fit=fit, size=Size(16, 40)) == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["stretch", "cover", "none"])
def test_a_training_crop_is_a_window_and_all_windows_come(size: str, fit: Any) -> None:
    settings = DataSettings.make({"data": "x", "size": size, "fit": fit, "flip": False})
    augment = Augment(settings, source=PLACES, target=PLACES)
    picture = places(70, 80)
    _, loaded = to_load_size(None, picture, fit=fit, size=settings.resize_to, labels=(False, False), name="x")
    loaded = places(*loaded.shape[:2])  # where the pixels came from, whatever resizing made of their values
    corners = set()
    for seed in range(300):
        source, crop = augment.geometry(loaded, loaded, rng=np.random.default_rng(seed))
        top, left = crop[0, 0].astype(int)
        np.testing.assert_array_equal(crop, loaded[top : top + settings.size.height, left : left + settings.size.width])
        np.testing.assert_array_equal(crop, source)
        corners.add((top, left))
    room = np.subtract(loaded.shape[:2], settings.size)
    assert {int(min(c)) for c in zip(*corners, strict=True)} == {0}
    assert all(max(c) >= 0.9 * r for c, r in zip(zip(*corners, strict=True), room, strict=True))


@pytest.mark.parametrize("size", [*SIZES, "20"])
@pytest.mark.parametrize(
    "changes", [{"rotate": 180}, {"rotate": 30, "zoom": 0.4}, {"zoom": 0.5}, {"rotate": 70}], ids=str
)
def test_a_turned_or_shrunk_crop_sees_no_mirrored_border_where_the_picture_goes_on(
    size: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its pixels' places are one affine map of their own: a border that is mirrored would break it."""
    monkeypatch.setattr(transforms, "_place", lambda room, share: room // 2)
    settings = DataSettings.make({"data": "x", "size": size, "fit": "none", "flip": False, **changes})
    augment = Augment(settings, source=PLACES, target=PLACES)
    height, width = settings.size
    picture = places(height + 401, width + 401)
    grid = places(height, width).reshape(-1, 2)
    own = np.concatenate([grid, np.ones((len(grid), 1))], 1)
    spans = []
    for seed in range(40):
        crop = augment.geometry(None, picture, rng=np.random.default_rng(seed))[1]
        assert crop.shape == (height, width, 2)
        affine, *_ = np.linalg.lstsq(own, crop.reshape(-1, 2), rcond=None)
        assert np.abs(own @ affine - crop.reshape(-1, 2)).max() < 0.1
        spans.append(np.abs(affine[:2]))
    assert np.std(spans, 0).max() > 0.05  # it is turned or scaled


def test_the_middle_of_what_is_smaller_is_mirrored_outwards() -> None:
    picture = places(5, 9)
    padded = np.pad(picture, ((8, 8), (8, 8), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(centre(picture, Size(11, 3)), padded[5:16, 11:14])


@pytest.mark.parametrize("paired", [True, False])
def test_a_cache_keeps_rectangles(paired: bool, fronts: Path, unpaired_fronts: Path, tmp_path: Path) -> None:
    values = {"data": fronts if paired else unpaired_fronts, "size": "16x28", "rotate": 10}
    read = {}
    for cache in ("none", "memory", "disk"):
        settings = DataSettings.make({**values, "cache": cache})
        data = prepare(settings, kind="pairs" if paired else "unpaired", say=lambda line: None)
        dataset = make_dataset(data, settings=settings, part="train", seed=0)
        read[cache] = dataset.with_cache(folder=tmp_path, fingerprint="x")[1, 2]
    for other in ("memory", "disk"):
        np.testing.assert_array_equal(read[other].source, read["none"].source)
        np.testing.assert_array_equal(read[other].target, read["none"].target)
    assert read["none"].target.shape == (16, 28, 3)


def test_files_of_squares_are_found_by_the_key_that_they_had(fronts: Path, tmp_path: Path) -> None:
    settings = DataSettings.make({"data": fronts, "size": 16, "cache": "disk"})
    data = prepare(settings, say=lambda line: None)
    make_dataset(data, settings=settings, part="train", seed=0).with_cache(folder=tmp_path, fingerprint="x")
    specs = [spec.model_dump(mode="json") for spec in (data.source, data.target)]
    key = cache_key(fingerprint="x", specs=specs, side=18, pairs=[pair.name for pair in data.train])
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.pairs"]
