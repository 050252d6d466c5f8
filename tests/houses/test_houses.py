"""The synthetic set: the same in every process, exact labels, and captions that tell the truth."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.datasets.layouts import choose
from translate.houses import (
    COLOURED_PARTS,
    LABELS,
    MATERIALS,
    PALETTE,
    Colours,
    colours_in,
    draw,
    measured_colour,
    nearest_colour,
    part_colour,
    region,
    sample_house,
    write_paired,
    write_unpaired,
)
from translate.settings import DataSettings

MODES: tuple[Colours, ...] = ("fixed", "free")

DIGEST = """
import hashlib
from translate.houses import draw, sample_house
digest = hashlib.sha256()
for colours in ("fixed", "free"):
    for index in range(4):
        front = draw(sample_house(11, index, colours=colours), (40, 56))
        digest.update(front.labels.tobytes() + front.photo.tobytes() + front.caption.encode())
"""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(a.astype(float) - b))))


def test_a_fresh_process_draws_the_same_pixels() -> None:
    script = DIGEST + "import sys\nprint(digest.hexdigest(), 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here: dict[str, Any] = {}
    exec(DIGEST, here)
    assert run.stdout.split() == [here["digest"].hexdigest(), "False"]


def test_houses_of_a_seed_are_pinned() -> None:
    """A change here gives everybody other pictures: raise VERSION in write.py."""
    assert [draw(sample_house(0, index, colours="free"), 16).caption for index in range(3)] == [
        "a three-storey orange plaster house with a red roof, a grey door on the left, turquoise shutters, "
        "a turquoise balcony on the right and a tree on the right, under a clear sky",
        "a two-storey grey stone house with a brown roof, a red door on the left, a green balcony on the "
        "left and a tree on the left, under an overcast sky",
        "a two-storey grey stone house with a red roof, a black door in the middle, a turquoise balcony on "
        "the right and a tree on the right, under an evening sky",
    ]


def test_every_seed_and_index_is_another_house() -> None:
    houses = {sample_house(seed, index) for seed in range(3) for index in range(100)}
    assert len(houses) == 300


def test_free_colours_change_nothing_but_colours() -> None:
    named = {"colours", "wall", "roof", "door", "shutter", "balcony", "sky"}
    for index in range(20):
        fixed, free = (sample_house(1, index, colours=mode) for mode in MODES)
        assert all(getattr(fixed, f.name) == getattr(free, f.name) for f in fields(fixed) if f.name not in named)
        a, b = draw(fixed, 48), draw(free, 48)
        assert (region(a.labels, "wall") == region(b.labels, "wall")).all()
        assert region(a.labels, fixed.material).any()
        assert not region(b.labels, fixed.material).any(), "free colours: the label map must not tell the material"


@pytest.mark.parametrize("size", [1, 7, 16, 64, (48, 80), (80, 48), (5, 200)])
@pytest.mark.parametrize("colours", MODES)
def test_labels_hold_only_their_palette_at_any_size(size: int | tuple[int, int], colours: Colours) -> None:
    shape = (size, size, 3) if isinstance(size, int) else (*size, 3)
    for index in range(12):
        front = draw(sample_house(2, index, colours=colours), size)
        assert front.labels.shape == front.photo.shape == shape
        assert front.labels.dtype == front.photo.dtype == np.uint8
        assert set(map(tuple, front.labels.reshape(-1, 3).tolist())) <= set(LABELS.values())


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("colours", MODES)
def test_a_named_colour_is_the_colour_of_the_part(size: int, colours: Colours) -> None:
    table = np.array(list(PALETTE.values()), float)
    for index in range(120):
        house = sample_house(3, index, colours=colours)
        front = draw(house, size)
        named = colours_in(front.caption)
        assert named == {part: part_colour(house, part) for part in COLOURED_PARTS if part_colour(house, part)}
        assert {"wall", "roof", "door"} <= named.keys()
        for part, colour in named.items():
            pixels = front.photo[region(front.labels, part)].astype(float)
            assert len(pixels), f"house {index}: no {part} to be seen, though the caption names it"
            nearest = np.square(table - np.median(pixels, axis=0)).sum(-1).argmin()
            assert list(PALETTE)[nearest] == colour, f"house {index}: {part} is {colour} in the caption"
            assert measured_colour(front.photo, front.labels, part) == colour
        for part in COLOURED_PARTS:
            assert region(front.labels, part).any() == (part in named)


def test_the_door_is_where_the_caption_says() -> None:
    for index in range(80):
        front = draw(sample_house(4, index), 96)
        walls, door = (np.nonzero(region(front.labels, part))[1] for part in ("wall", "door"))
        left, right = walls.min(), walls.max()
        place = (np.median(door) - left) / (right - left)
        word = "on the left" if place < 0.42 else "on the right" if place > 0.58 else "in the middle"
        assert f"door {word}" in front.caption, f"house {index}: the door is at {place:.2f}"


def test_materials() -> None:
    fronts = [(house := sample_house(5, index, colours="free"), draw(house, 8)) for index in range(100)]
    assert {front.material for _, front in fronts} == set(MATERIALS)
    for house, front in fronts:
        assert front.material == house.material
        assert f"{house.wall} {front.material} house" in front.caption


def test_what_nobody_tells_is_only_texture() -> None:
    """Photos follow from labels, caption and material but for the grain of walls and the drift of clouds."""
    for index in range(12):
        house = replace(sample_house(6, index, colours="free"), tree=None, bushes=())  # foliage shows in the labels
        a, b = draw(house, 64), draw(replace(house, texture=house.texture ^ 0x5555555), 64)
        assert (a.labels == b.labels).all()
        assert a.caption == b.caption
        assert 22 < psnr(a.photo, b.photo) < 60


def test_fixed_colours_can_be_learnt_from_labels_alone() -> None:
    """The mean colour of each class must beat the mean picture by far: a demo lives on that margin."""
    train, test = ([draw(sample_house(7, first + i), 32) for i in range(n)] for first, n in ((0, 150), (10**6, 40)))
    mean = np.mean([front.photo for front in train], axis=0)
    labels, photos = (np.stack([getattr(front, name) for front in train]) for name in ("labels", "photo"))
    class_means = {}
    for name in LABELS:
        pixels = photos[(labels == np.array(LABELS[name])).all(-1)]
        class_means[name] = pixels.mean(0) if len(pixels) else np.zeros(3)
    gains = []
    for front in test:
        guess = np.zeros(front.photo.shape)
        for name, colour in class_means.items():
            guess[(front.labels == np.array(LABELS[name])).all(-1)] = colour
        gains.append(psnr(front.photo, guess) - psnr(front.photo, mean))
    assert np.mean(gains) > 5


def test_nearest_colour_and_separation() -> None:
    for name, colour in PALETTE.items():
        assert nearest_colour(colour) == name
    colours = np.array(list(PALETTE.values()), float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)[~np.eye(len(colours), dtype=bool)]
    assert apart.min() > 60


def test_wrong_arguments_are_named() -> None:
    house = sample_house(0, 0)
    with pytest.raises(ValueError, match='"fixed" or "free", got \'loose\''):
        sample_house(0, 0, colours="loose")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'windows'.*mean \"window\""):
        region(draw(house, 8).labels, "windows")
    with pytest.raises(ValueError, match=r"'shuter'.*mean \"shutter\""):
        part_colour(house, "shuter")
    with pytest.raises(ValueError, match="0x8"):
        draw(house, (0, 8))


COUNTS: dict[str, Any] = {"count_train": 5, "count_val": 2, "count_test": 3}
SPLITS = {"train": 5, "val": 2, "test": 3}


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def pairs_on_disk(folder: Path, layout: str, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    if layout == "side-by-side":
        both = read(folder / split / name)
        return both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    if layout == "folders":
        return read(folder / f"{split}A" / name), read(folder / f"{split}B" / name)
    with (folder / split / "metadata.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["file_name"].endswith(name))
    return read(folder / split / row["file_name"]), read(folder / split / row["target_file_name"])


@pytest.mark.parametrize("layout", ["side-by-side", "folders", "metadata"])
def test_written_sets_are_what_was_drawn(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "set"
    calls: list[tuple[int, int]] = []
    drawn = write_paired(
        folder, **COUNTS, size=(32, 32), seed=8, layout=layout, progress=lambda *done: calls.append(done)
    )
    assert drawn == 10
    assert calls == [(i, 10) for i in range(1, 11)]
    assert choose(DataSettings(data=folder)) == layout
    first = {"train": 0, "val": 10**9, "test": 2 * 10**9}
    for split, count in SPLITS.items():
        for index in range(count):
            front = draw(sample_house(8, first[split] + index), 32)
            labels, photo = pairs_on_disk(folder, layout, split, f"{index:04}.png")
            assert (labels == front.labels).all()
            assert (photo == front.photo).all()
    assert len(list(folder.rglob("*.png"))) == (10 if layout == "side-by-side" else 20)


def test_metadata_tells_material_and_caption(tmp_path: Path) -> None:
    write_paired(tmp_path / "set", **COUNTS, size=16, seed=9, layout="metadata", colours="free")
    for split, count in SPLITS.items():
        with (tmp_path / "set" / split / "metadata.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == count
        for row in rows:
            assert list(row) == ["file_name", "target_file_name", "label", "text"]
            assert row["label"] in MATERIALS
            assert f" {row['label']} house with " in row["text"]
            assert colours_in(row["text"]).keys() >= {"wall", "roof", "door"}


def test_the_same_call_again_completes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_paired(folder, **COUNTS, size=16, seed=1)
    assert write_paired(folder, **COUNTS, size=16, seed=1) == 0
    lost = folder / "train" / "0003.png"
    content = lost.read_bytes()
    lost.unlink()
    assert write_paired(folder, **COUNTS, size=16, seed=1) == 1
    assert lost.read_bytes() == content


def test_a_larger_training_set_keeps_the_other_splits(tmp_path: Path) -> None:
    for count in (1, 3):
        write_paired(tmp_path / str(count), count_train=count, count_val=1, count_test=0, size=16, seed=1)
    for name in ("train/0000.png", "val/0000.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    assert not (tmp_path / "1" / "test").exists()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("private")
    with pytest.raises(ValueError, match=r"mine: is not empty"):
        write_paired(tmp_path / "mine", **COUNTS, size=16)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]
    with pytest.raises(ValueError, match=r"diary\.txt: is a file"):
        write_paired(tmp_path / "mine" / "diary.txt", **COUNTS, size=16)

    write_paired(tmp_path / "set", **COUNTS, size=16, seed=1)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "set").rglob("*"))
    with pytest.raises(ValueError, match=r"another synthetic set \(seed 1 there, 2 wanted\)"):
        write_paired(tmp_path / "set", **COUNTS, size=16, seed=2)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "set").rglob("*"))
    assert json.loads((tmp_path / "set" / "synthetic.json").read_text())["seed"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "side_by_side"}, r'"side-by-side"'),
        ({"size": 0}, "0x0"),
        ({"count_val": -1}, "count_val"),
        ({"count_train": 0, "count_val": 0, "count_test": 0}, "nothing to write"),
        ({"colours": "grey"}, '"fixed" or "free"'),
    ],
)
def test_wrong_settings_write_nothing(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_paired(tmp_path / "set", **{**COUNTS, "size": 16, **change})
    assert not (tmp_path / "set").exists()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("colours", MODES)
def test_an_unpaired_set_trains_on_different_houses_and_validates_on_pairs(tmp_path: Path, colours: Colours) -> None:
    folder = tmp_path / "set"
    assert write_unpaired(folder, count_train=5, count_val=2, count_test=1, size=24, seed=4, colours=colours) == 13
    assert choose(DataSettings(data=folder), kind="unpaired") == "folders"
    names = {place.name: sorted(file.name for file in place.iterdir()) for place in folder.iterdir() if place.is_dir()}
    assert names == {
        "trainA": [f"a000{i}.png" for i in range(5)],
        "trainB": [f"b000{i}.png" for i in range(5)],
        **{side: ["0000.png", "0001.png"] for side in ("valA", "valB")},
        **{side: ["0000.png"] for side in ("testA", "testB")},
    }
    write_paired(tmp_path / "pairs", count_train=5, count_val=2, count_test=1, size=24, seed=4, colours=colours)
    for split in ("val", "test"):  # the same pairs as those of the paired set
        pair = np.concatenate([pixels(folder / f"{split}{side}/0000.png") for side in "AB"], axis=1)
        np.testing.assert_array_equal(pair, pixels(tmp_path / "pairs" / split / "0000.png"))
    paired = [np.split(pixels(file), 2, axis=1) for file in sorted((tmp_path / "pairs/train").iterdir())]
    fronts = [pixels(file) for file in sorted((folder / "trainB").iterdir())]
    for file, (labels, _) in zip(sorted((folder / "trainA").iterdir()), paired, strict=True):
        np.testing.assert_array_equal(pixels(file), labels)
    assert not any(np.array_equal(front, photo) for front in fronts for _, photo in paired)
    assert len({front.tobytes() for front in fronts}) == 5


def test_an_unpaired_set_is_completed_and_knows_others(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    given: dict[str, Any] = {"count_train": 3, "count_val": 1, "size": 16}
    write_unpaired(folder, **given)
    assert write_unpaired(folder, **given) == 0
    (folder / "trainB/b0001.png").unlink()
    assert write_unpaired(folder, **given) == 1
    with pytest.raises(ValueError, match=r"another synthetic set \(layout unpaired there, side-by-side wanted"):
        write_paired(folder, **given, count_test=0)
    with pytest.raises(ValueError, match="count_val must be from 0"):
        write_unpaired(tmp_path / "other", **{**given, "count_val": -1})
    assert not (tmp_path / "other").exists()


def test_unseen_pairs_of_colours_are_never_trained_on(tmp_path):
    counts: dict[str, Any] = {"count_train": 60, "count_val": 20, "count_test": 5, "size": 8}
    assert write_paired(tmp_path / "set", **counts, layout="metadata", colours="free", unseen=True) == 85

    def pairs(split):
        with (tmp_path / "set" / split / "metadata.csv").open() as file:
            captions = [colours_in(row["text"]) for row in csv.DictReader(file)]
        return {(colours["roof"], colours["door"]) for colours in captions}

    assert pairs("train").isdisjoint(pairs("val") | pairs("test"))
    for part in (0, 1):  # each colour alone is known
        assert {pair[part] for pair in pairs("val")} <= {pair[part] for pair in pairs("train")}
    assert write_paired(tmp_path / "set", **counts, layout="metadata", colours="free", unseen=True) == 0
    with pytest.raises(ValueError, match="unseen True there, None wanted"):
        write_paired(tmp_path / "set", **counts, layout="metadata", colours="free")
    with pytest.raises(ValueError, match='unseen goes with colours="free"'):
        write_paired(tmp_path / "other", **counts, unseen=True)
