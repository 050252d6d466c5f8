"""Domains: their layouts, what is held out, and which picture is to become like which."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from translate.conditions import DataNeeds
from translate.datasets.batches import make_dataset, ordered_batches, training_batches
from translate.datasets.prepare import prepare
from translate.settings import DataSettings

RNG = np.random.default_rng(0)
LABELS = DataNeeds(label=True, required=True)


def photos(folder, count, *, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.fromarray(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def run(folder, data_needs=LABELS, **given):
    lines: list[str] = []
    settings = DataSettings.make({"data": folder, "size": 8, **given})
    return prepare(settings, kind="domains", data_needs=data_needs, say=lines.append), "\n".join(lines), settings


@pytest.mark.parametrize("place", ["train/{}", "{}", "train{}"])
def test_class_folders(tmp_path, place):
    for name, count in (("A", 6), ("B", 3)):
        photos(tmp_path / place.format(name), count)
    data, report, _ = run(tmp_path, val_fraction=0.34)
    assert data.conditions.labels == ("A", "B")
    assert (data.kind, data.val_paired, data.examples) == ("domains", False, 6)
    assert Counter(pair.label for pair in data.val) == {"A": 2, "B": 1}  # of each class a part
    assert data.source == data.target
    assert "9 pictures, 6 for training, 3 for validation" in report
    assert "held out 3 of 9 training pictures" in report


def test_given_splits_and_what_lies_beside_the_classes(tmp_path):
    for split in ("train", "val"):
        for name in ("summer", "winter"):
            photos(tmp_path / split / name, 2)
    photos(tmp_path / "val" / "autumn", 1)
    photos(tmp_path / "train", 1)
    (tmp_path / "train" / "empty").mkdir()
    data, report, _ = run(tmp_path)
    assert (len(data.train), len(data.val)) == (4, 4)
    assert [p.reason for p in data.problems] == ['no training picture has its label "autumn"']
    assert "1 picture beside those of the layout" in report
    assert "folders without pictures, so no classes: train/empty/" in report
    with pytest.raises(ValueError, match=r"--strict: 1 file .*autumn"):
        run(tmp_path, strict=True)


def test_a_table_of_captions(tmp_path):
    photos(tmp_path, 4)
    rows = ["0.png,a cat", "0.png,a small cat", "1.png,a dog", "2.png,", "3.png,a cow"]
    (tmp_path / "metadata.csv").write_text("file_name,text\n" + "\n".join(rows) + "\n")
    data, report, _ = run(tmp_path, DataNeeds(text=True, vocabulary=300, length=6), val_fraction=0)
    assert len(data.train) == 5  # a picture may have several captions
    assert "1 of 5 have no caption" in report
    (tmp_path / "metadata.csv").write_text("file_name,target_file_name,text\n0.png,1.png,a cat\n")
    with pytest.raises(ValueError, match="holds pairs, and this model learns from single pictures"):
        run(tmp_path, DataNeeds(text=True))


def test_each_becomes_like_any_other(tmp_path):
    photos(tmp_path / "x", 5)
    photos(tmp_path / "y", 3)
    data, _, settings = run(tmp_path, val_fraction=0.4, flip=False, load_size=8)
    dataset = make_dataset(data, settings=settings, part="train", seed=1)
    assert len(dataset) == len(data.train) == 5
    goals = Counter(dataset[epoch, 0].name for epoch in range(300))
    assert len(goals) == 4  # never itself
    assert min(goals.values()) > 40
    labels = dict(zip((pair.name for pair in data.train), (pair.label for pair in data.train), strict=True))
    for index in range(5):
        example = dataset[2, index]
        source, target = example.name.split(" + ")
        condition = example.condition
        assert condition["own_label"].tolist() == data.conditions.encode_label(labels[source]).tolist()
        assert condition["label"].tolist() == data.conditions.encode_label(labels[target]).tolist()
        assert (condition["wrong_label"] != condition["own_label"]).any()
        again = dataset[2, index]
        assert again.name == example.name
        assert np.array_equal(again.target, example.target)
    judged = make_dataset(data, settings=settings, part="val", seed=9)
    first = list(ordered_batches(judged, batch=2))
    assert all((b.condition["label"] != b.condition["own_label"]).any(1).all() for b in first)
    other = make_dataset(data, settings=settings, part="val", seed=5)
    assert [b.names for b in first] == [b.names for b in ordered_batches(other, batch=2)]


@pytest.mark.parametrize("cache", ["auto", "memory", "disk"])
def test_a_cache_changes_nothing(tmp_path, cache):
    photos(tmp_path / "data" / "x", 3)
    photos(tmp_path / "data" / "y", 3)
    data, _, settings = run(tmp_path / "data", cache=cache)
    dataset = make_dataset(data, settings=settings, part="train", seed=0)
    filled = dataset.with_cache(folder=tmp_path / "cache", fingerprint=data.fingerprint)
    assert (filled.growing > 0) == (cache == "auto")
    plain, kept = (next(training_batches(d, batch=4, seed=0)) for d in (dataset, filled))
    assert plain.source.equal(kept.source)
    assert plain.target.equal(kept.target)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"direction": "BtoA"}, "--direction has no meaning"),
        ({"val_paired": True}, "--val-paired has no meaning"),
        ({"photometric": 0.5}, "--photometric changes sources only"),
        ({"source_channels": 1}, "--source-channels has no meaning: --target-channels is for all"),
        ({"derive": "gray"}, "--derive needs pairs"),
        ({"layout": "folders"}, "--layout folders is not one of those for this model: auto, metadata, classes"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, given, message):
    photos(tmp_path / "x", 2)
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **given)


def test_two_folders_are_asked_to_be_one(tmp_path):
    photos(tmp_path / "x", 2)
    settings = DataSettings(source=tmp_path / "x", target=tmp_path / "y")
    with pytest.raises(ValueError, match=r"--source and --target: .* --data FOLDER"):
        prepare(settings, kind="domains", data_needs=LABELS, say=print)
    with pytest.raises(ValueError, match=r"no usable layout: found .* no folders of pictures in"):
        run(tmp_path / "x")
    with pytest.raises(ValueError, match="at least two labels"):
        run(tmp_path)


def test_pairs_models_do_not_take_class_folders(tmp_path):
    photos(tmp_path / "x", 2)
    with pytest.raises(ValueError, match="--layout classes is not one of those for this model"):
        prepare(DataSettings(data=tmp_path, layout="classes"), say=print)
