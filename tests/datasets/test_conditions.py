"""Labels and captions: what is found in the data, how it becomes numbers, and the conditions of each example."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.conditions import Conditions, DataNeeds
from translate.datasets.batches import make_dataset, ordered_batches, training_batches
from translate.datasets.examples.conditions import ExampleConditions
from translate.datasets.pairs import Listing, Pair, View
from translate.datasets.preparation.conditions import Pretrained, find_conditions, known, with_labels
from translate.datasets.preparation.vocabulary import learn_tokenizer
from translate.datasets.prepare import prepare
from translate.houses import write_paired
from translate.settings import DataSettings

RNG = np.random.default_rng(0)
LABELS = DataNeeds(label=True, required=True)
TEXTS = DataNeeds(text=True, vocabulary=300, length=12)


def pair(name, label=None, text=None):
    return Pair(name=name, target=View(Path(f"{name}.png")), label=label, text=text)


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)


def prepared(folder, data_needs=LABELS, **given):
    lines: list[str] = []
    settings = DataSettings.make({"data": folder, "size": 16, **given})
    return prepare(settings, data_needs=data_needs, say=lines.append), "\n".join(lines), settings


@pytest.mark.parametrize("layout", ["side-by-side", "folders", "single"])
def test_class_folders_are_labels_in_every_layout(tmp_path, layout):
    for kind in ("brick", "wood"):
        for i in range(3):
            for place in ("A", "B") if layout == "folders" else ("",):
                photo(tmp_path / "train" / place / kind / f"{i}.png")
    given = {"derive": "gray"} if layout == "single" else {"layout": layout}
    data, report, _ = prepared(tmp_path, val_fraction=0.4, **given)
    assert data.conditions.labels == ("brick", "wood")
    assert not data.conditions.several
    assert all(pair.label == pair.name.split("/")[0] for pair in (*data.train, *data.val))
    assert "2 labels, with so many training pictures each: brick" in report
    plain, *_ = prepared(tmp_path, DataNeeds(), val_fraction=0.4, **given)
    assert plain.fingerprint != data.fingerprint  # which covers the labels
    assert not plain.conditions


def test_labels_of_a_table_several_in_one_cell():
    listing = Listing(train=(pair("a", "tall, red"), pair("b", "red"), pair("c")), val=(pair("d", "green,red"),))
    labelled = with_labels(listing, LABELS)
    assert labelled.problems == ()  # no label is one answer more
    found, _ = find_conditions(labelled.listing.train, LABELS)
    assert (found.labels, found.several) == (("red", "tall"), True)
    assert known(labelled.listing, found).problems[0].reason.startswith('no training picture has its label "green"')
    assert known(labelled.listing, found).listing.val == ()


def test_pairs_without_a_label_are_problems_where_one_is_required():
    listing = Listing(train=(pair("a", "x"), pair("b", "y"), pair("c")))
    labelled = with_labels(listing, LABELS)
    assert [p.reason for p in labelled.problems] == ["it has no label"]
    assert len(labelled.listing.train) == 2
    assert with_labels(listing, DataNeeds(label=True)).listing == listing


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="column `text`"):
        with_labels(Listing(train=(pair("a"),)), TEXTS)
    with pytest.raises(ValueError, match="no training picture has one: they come from the column `label`"):
        with_labels(Listing(train=(pair("a"),)), LABELS)
    with pytest.raises(ValueError, match=r'at least two labels to tell apart, and all .* are "x"'):
        find_conditions((pair("a", "x"), pair("b", "x")), LABELS)
    with pytest.raises(ValueError, match="captions are the same to the model"):
        find_conditions((pair("a", text="A cat"), pair("b", text="a  cat")), TEXTS)


def test_a_tokenizer_reads_any_text_and_never_says_zero():
    captions = ["A red house", "a blue house with a door", "ＡＢ door"] * 3
    learned = learn_tokenizer(captions, vocabulary=300)
    assert learned == learn_tokenizer(captions[::-1], vocabulary=300)
    data = tuple(pair(str(i), text=text) for i, text in enumerate(captions))
    found, _ = find_conditions(data, TEXTS)
    text = found.text
    assert text.tokenizer == learned
    assert text.pad == 0
    assert 257 < text.vocabulary <= 300
    for strange in ("the filling", "日本 😀 \x00", "<pad>", "zebra", "İß"):
        ids = found.encode_text(strange)
        assert ids[0] > 0
        assert ids.max() < text.vocabulary
    assert np.array_equal(found.encode_text("A  RED\nhouse"), found.encode_text("a red house"))
    assert not found.encode_text(" ").any()
    assert json.loads(learned)["added_tokens"] == []


def test_a_pretrained_encoder_brings_its_tokenizer():
    brought = Pretrained(learn_tokenizer(["a", "b"], vocabulary=300), 7, {"model_type": "x"}, 300, 16)
    data_needs = DataNeeds(text=True, length=5, encoder="x")
    found, _ = find_conditions((pair("a", text="a"), pair("b", text="b")), data_needs, pretrained=brought)
    assert (found.text.pad, found.text.encoder, found.text.vocabulary) == (7, {"model_type": "x"}, 300)
    assert found.encode_text("a").tolist()[2:] == [7] * 3


def test_the_labels_of_the_model_one_starts_from_are_kept_where_they_cover():
    start = Conditions(labels=("x", "y", "z"), required=True)
    here = (pair("a", "x"), pair("b", "z"))
    assert find_conditions(here, LABELS, start=start)[0].labels == start.labels
    found, notes = find_conditions((pair("a", "x"), pair("b", "new")), LABELS, start=start)
    assert found.labels == ("new", "x")
    assert "not those of the model" in notes[0]


def test_wrong_captions_are_drawn_from_all_that_differ():
    data = tuple(pair(str(i), text=text) for i, text in enumerate(["one", "One", "two", "two", "two", "three", None]))
    conditions, _ = find_conditions(data, TEXTS)
    names = {conditions.encode_text(word).tobytes(): word for word in ("one", "two", "three")}
    example_conditions = ExampleConditions(data, conditions=conditions, train=True, seed=3)
    drawn = Counter(names[example_conditions.of_pair(e, 0)["wrong_tokens"].tobytes()] for e in range(800))
    assert drawn.keys() == {"two", "three"}
    assert 500 < drawn["two"] < 680  # 3 of 4, by pairs and not by texts
    again = ExampleConditions(data, conditions=conditions, train=True, seed=3)
    assert all(
        np.array_equal(example_conditions.of_pair(4, i)[k], again.of_pair(4, i)[k])
        for i in range(7)
        for k in ("tokens",)
    )
    calm = [ExampleConditions(data, conditions=conditions, train=False, seed=s).of_pair(s, 2) for s in (1, 2)]
    assert np.array_equal(calm[0]["wrong_tokens"], calm[1]["wrong_tokens"])


def test_codes_are_standard_normal_and_of_the_example_alone():
    conditions = Conditions(z=64)
    example_conditions = ExampleConditions([pair("a"), pair("b")], conditions=conditions, train=True, seed=0)
    codes = np.stack([example_conditions.of_pair(e, i)["z"] for e in range(50) for i in (0, 1)])
    assert codes.dtype == np.float32
    assert abs(codes.mean()) < 0.05
    assert abs(codes.std() - 1) < 0.05
    assert len(np.unique(codes[:, 0])) == 100


def test_batches_carry_conditions_whatever_reads_them(tmp_path):
    write_paired(tmp_path / "set", count_train=8, count_val=3, count_test=0, size=16, layout="metadata", colours="free")
    data, report, settings = prepared(tmp_path / "set", DataNeeds(label=True, text=True, z=4, length=8))
    assert "captions say left or right" in report
    assert "longer than that" in report
    dataset = make_dataset(data, settings=settings, part="train", seed=0)
    taken = []
    for workers in (0, 1):
        batches = training_batches(dataset, batch=3, seed=0, workers=workers)
        taken.append([next(batches) for _ in range(4)])
        del batches
    for one, other in zip(*taken, strict=True):
        assert one.condition.keys() == {"label", "wrong_label", "tokens", "wrong_tokens", "z"}
        assert all(one.condition[name].equal(other.condition[name]) for name in one.condition)
        assert len(one.condition["tokens"]) == 3
        assert (one.condition["label"] != one.condition["wrong_label"]).any(1).all()
    by_name = {pair.name: pair for pair in data.val}
    for batch in ordered_batches(make_dataset(data, settings=settings, part="val", seed=0), batch=2):
        for name, label in zip(batch.names, batch.condition["label"], strict=True):
            assert data.conditions.labels[int(label.argmax())] == by_name[name].label
    resumed = prepare(
        settings, data_needs=DataNeeds(label=True, text=True, z=4), conditions=data.conditions, say=lambda line: None
    )
    assert resumed.conditions == data.conditions
