"""What the scan remembers of pictures, against the pictures themselves."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from translate.datasets.pairs import Pair, View
from translate.datasets.preparation.facts import Facts
from translate.datasets.preparation.roles import source_side, target_side
from translate.datasets.preparation.scan import VALUES_A_FILE, Scan, scan
from translate.datasets.regions import open_view, read_pair, read_view
from translate.images import ImageError, ImageSpec
from translate.settings import DataSettings

COLOUR = ImageSpec(channels=3)
RNG = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray) -> Path:
    if path.suffix == ".tif":
        planes = "contig" if pixels.ndim == 3 else None
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig=planes)
    else:
        Image.fromarray(pixels).save(path)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def run(*pairs: Pair, max_pixels: int = 10**6, **given: Any) -> Scan:
    settings = DataSettings.make({"data": ".", **given})
    return scan(pairs, source=source_side(settings), target=target_side(settings), max_pixels=max_pixels)


def alone(path: Path, **given: Any) -> Facts:
    """Facts of one picture that is the target."""
    result = run(Pair(name="x", target=View(path)), derive="gray", **given)
    assert result.problems == ()
    return result.facts["target", View(path)]


def test_size_depth_digest_and_frames(tmp_path):
    path = save(tmp_path / "a.png", noise(6, 9, 3))
    result = run(Pair(name="x", target=View(path)), derive="gray")
    facts = result.facts["target", View(path)]
    assert (facts.height, facts.width, facts.bands, facts.dtype, facts.frames) == (6, 9, 3, "uint8", 1)
    assert facts.colours is None
    assert result.digest("target", View(path)) == hashlib.sha256(path.read_bytes()).digest()
    frames = [Image.fromarray(noise(4, 4)) for _ in range(3)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    assert alone(tmp_path / "b.gif").frames == 3


def test_halves_of_one_file_are_two_pictures(tmp_path):
    pixels = noise(8, 20, 3)
    path = save(tmp_path / "a.png", pixels)
    left, right = View(path, "left"), View(path, "right")
    pair = Pair(name="x", source=left, target=right)
    facts = run(pair).facts
    assert [(facts[key].height, facts[key].width) for key in (("source", left), ("target", right))] == [(8, 10)] * 2
    source, target = read_pair(pair, source=COLOUR, target=COLOUR, max_pixels=10**6)
    assert source is not None
    np.testing.assert_array_equal(np.concatenate([source, target], 1), pixels)
    np.testing.assert_array_equal(read_view(left, COLOUR, max_pixels=10**6), pixels[:, :10])


def test_alpha_is_halved_too(tmp_path):
    path = save(tmp_path / "a.png", noise(8, 20, 4))
    picture = open_view(View(path, "right"), max_pixels=10**6)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, np.asarray(Image.open(path))[:, 10:, 3])


def test_what_cannot_be_used_is_named_once_with_the_reason(tmp_path):
    odd = save(tmp_path / "odd.png", noise(4, 5))
    large = save(tmp_path / "large.png", noise(40, 40))
    cut = tmp_path / "cut.png"
    cut.write_bytes(large.read_bytes()[:500])
    pairs = [Pair(path.name, View(path, "left"), View(path, "right")) for path in (odd, large, cut)]
    pairs.append(Pair("gone", View(tmp_path / "gone.png"), View(tmp_path / "gone2.png")))
    result = run(*pairs, max_pixels=1000)
    reasons = {problem.path.name: problem.reason for problem in result.problems}
    assert len(result.problems) == len(reasons) == 5
    assert "its width of 5 is odd" in reasons["odd.png"]
    assert "over the limit of 1,000" in reasons["large.png"]
    assert str(tmp_path) not in "".join(reasons.values())
    with pytest.raises(ImageError, match=r"odd\.png: its width of 5 is odd"):
        open_view(View(odd, "left"), max_pixels=1000)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_values_are_a_fair_sample(tmp_path, dtype):
    pixels = (np.arange(600 * 500) % 4000).reshape(600, 500).astype(dtype)
    values = alone(save(tmp_path / "a.tif", pixels)).values
    assert values is not None
    assert len(values) == VALUES_A_FILE[1]
    assert values.dtype == dtype
    np.testing.assert_allclose(np.percentile(values, [5, 50, 95]), [200, 2000, 3800], atol=40)


def test_values_of_small_pictures_are_all_of_them(tmp_path):
    pixels = noise(5, 7)
    path = save(tmp_path / "a.png", pixels)
    values = alone(path, target_range="percentile").values
    np.testing.assert_array_equal(values, pixels.ravel())


def test_values_are_known_by_their_band(tmp_path):
    for number, (height, width) in enumerate([(6, 5), (300, 200)]):  # all of them, and some
        pixels = np.arange(height * width * 4).reshape(height, width, 4) % 7 + np.array([0, 50, 100, 150])
        found = alone(save(tmp_path / f"{number}.tif", pixels.astype(np.uint8)))
        assert found.values is not None
        assert found.places is None
        np.testing.assert_array_equal(found.values // 50, np.arange(len(found.values)) % 4)
        found = alone(tmp_path / f"{number}.tif", target_range="percentile")
        assert found.values is not None
        places = np.arange(len(found.values)) % 4 if found.places is None else found.places
        np.testing.assert_array_equal(found.values // 50, places)
        assert set(places.tolist()) == {0, 1, 2, 3}


def test_colours_of_label_maps_are_counted(tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 10], [1, 2, 3]], np.uint8)
    index = RNG.integers(0, 3, (20, 30))
    found = alone(save(tmp_path / "a.png", colours[index]), target_kind="labels").colours
    assert found is not None
    assert found.counts == {tuple(colours[i].tolist()): int((index == i).sum()) for i in range(3)}
    assert (found.distinct, found.outliers) == (3, 0)
    gray = alone(save(tmp_path / "b.png", index.astype(np.uint8)), target_kind="labels").colours
    assert gray is not None
    assert gray.counts == {(i,): int((index == i).sum()) for i in range(3)}


def test_palette_files_have_the_colours_of_their_palette(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "P")
    picture.putpalette([9, 8, 7, 6, 5, 4])
    picture.save(tmp_path / "a.png")
    found = alone(tmp_path / "a.png", target_kind="labels").colours
    assert found is not None
    assert found.counts == {(9, 8, 7): 1, (6, 5, 4): 3}


def test_transparent_pixels_of_label_maps_are_background(tmp_path):
    pixels = np.full((4, 4, 4), (10, 20, 30, 255), np.uint8)
    pixels[0, :, 3] = 0
    found = alone(save(tmp_path / "a.png", pixels), target_kind="labels", background="red").colours
    assert found is not None
    assert found.counts == {(10, 20, 30): 12, (255, 0, 0): 4}


def test_pixels_beside_the_palette_are_counted(tmp_path):
    pixels = np.array([[[0, 0, 0], [255, 255, 255], [7, 7, 7], [1, 2, 3]]], np.uint8)
    path = save(tmp_path / "a.png", pixels)
    for palette, ignore, outliers, far in [
        ("#000000,#ffffff", None, 2, 0),
        ("0,255", None, 2, 0),
        ("0,255", "7", 1, 0),
        ("#ff0000,#ffffff", None, 3, 3),
        ("#000029,#ffffff", None, 3, 1),  # black is 41 levels from it in one channel
        ("#000029,#ffffff", "0", 2, 0),
    ]:
        found = alone(path, target_kind="labels", target_palette=palette, target_ignore=ignore).colours
        assert found is not None
        assert (found.outliers, found.far) == (outliers, far)


def test_noisy_maps_are_counted_but_not_kept(tmp_path):
    pixels = noise(64, 64, 3)
    pixels[:10] = (1, 2, 3)
    found = alone(save(tmp_path / "a.png", pixels), target_kind="labels").colours
    assert found is not None
    assert found.distinct == len(np.unique(pixels.reshape(-1, 3), axis=0))
    assert len(found.counts) < 20
    assert next(iter(found.counts)) == (1, 2, 3)


@pytest.mark.parametrize("pixels", [noise(4, 4).astype(np.uint16), noise(4, 4, 5)], ids=["16 bits", "five bands"])
def test_label_maps_of_other_depth_or_bands_are_problems(tmp_path, pixels):
    pair = Pair(name="x", target=View(save(tmp_path / "a.tif", pixels)))
    result = run(pair, derive="gray", target_kind="labels")
    assert len(result.problems) == 1
    assert "label maps" in result.problems[0].reason


def test_awkward_files_do_as_their_list_says(shared_data):
    import csv

    from translate.datasets.layouts import find

    folder = shared_data / "awkward"
    listing = find(DataSettings(data=folder, derive="gray")).listing
    result = scan(
        listing.train,
        source=None,
        target=target_side(DataSettings(data=folder, derive="gray")),
        max_pixels=10**8,
    )
    usable = {view.path.name for _, view in result.facts}
    failed = {problem.path.name for problem in result.problems}
    assert not usable & failed
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name, expected = row["file"], row["expect"]
            if expected in ("ok", "ok-first-frame"):
                assert name in usable, name
            elif expected == "must-fail":
                assert name in failed, name
            elif expected == "must-be-skipped":
                assert name not in usable | failed, name
            elif expected in ("ok-or-clear-error", "ok-first-frame-or-fail"):
                assert name in usable | failed, name
