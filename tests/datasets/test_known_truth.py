"""What training would use of a set is what its maker meant, in any layout; where that is not clear, it says so."""

import random
from typing import Any

import pytest

from tests.datasets.layouts_of_known_truth import CLASSES, DOMAIN_LAYOUTS, PAIRS, UNPAIRED, Known, draw, litter, used
from translate.conditions import Conditions, DataNeeds
from translate.datasets.prepare import Prepared, prepare
from translate.settings import DataSettings


def run(given: dict[str, object], **how: Any) -> tuple[Prepared, str]:
    lines: list[str] = []
    prepared = prepare(DataSettings.make({"size": 8, "val_fraction": 0, **given}), say=lines.append, **how)
    return prepared, "\n".join(lines)


@pytest.mark.parametrize("way", PAIRS)
@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_used_as_they_were_meant(tmp_path, way, seed):
    rng = random.Random(f"{way} {seed}")
    known = Known(tmp_path, rng)
    PAIRS[way](known, draw(rng, classes=rng.sample(CLASSES, 3)), True)
    prepared, report = run(known.given)
    assert used(prepared, tmp_path) == known.truth, report
    assert prepared.problems == ()
    litter(known)
    again, report = run(known.given)
    assert used(again, tmp_path) == known.truth, report
    assert again.fingerprint == prepared.fingerprint
    assert [text for text in known.reported if text not in report] == [], report
    report.encode()  # can be printed anywhere


@pytest.mark.parametrize("way", UNPAIRED)
@pytest.mark.parametrize("seed", range(4))
def test_pictures_without_pairs_are_used_as_they_were_meant(tmp_path, way, seed):
    rng = random.Random(f"{way} {seed}")
    known = Known(tmp_path, rng)
    PAIRS[way](known, draw(rng, classes=rng.sample(CLASSES, 2)), False)
    litter(known)
    prepared, report = run(known.given, kind="unpaired")
    assert [text for text in known.reported if text not in report] == [], report
    assert used(prepared, tmp_path) == known.truth, report


@pytest.mark.parametrize("way", DOMAIN_LAYOUTS)
@pytest.mark.parametrize("seed", range(6))
def test_heaps_are_used_as_they_were_meant(tmp_path, way, seed):
    rng = random.Random(f"{way} {seed}")
    known = Known(tmp_path, rng)
    classes = list("ABCDEF") if way in ("{split}{kind}", "{split}_{kind}") and seed % 2 else CLASSES
    if way == "{split}{kind}":
        classes = list("ABCDEFG")
    DOMAIN_LAYOUTS[way](known, draw(rng, classes=rng.sample(classes, 4)))
    litter(known)
    prepared, report = run(known.given, kind="domains", data_needs=DataNeeds(label=True))
    assert [text for text in known.reported if text not in report] == [], report
    assert used(prepared, tmp_path, labels=True) == known.truth, report


AMBIGUOUS_PLACES = [
    # (files, what is asked for, what the refusal says)
    (["A/train/1", "A/val/2", "A/3", "B/train/1", "B/val/2", "B/3"], {}, "lie beside train/, val/"),
    (["A/train/1", "A/val/2", "A/cat/3", "B/train/1", "B/val/2", "B/cat/3"], {}, "named for splits and cat/ not"),
    (["A/train/1", "A/val/2", "B/train/1"], {}, "need the same splits"),
    (["A/train/1", "A/val/2", "B/1", "B/2"], {}, "need the same splits"),
    (["A/val/1", "B/val/1"], {}, "no train/"),
    (["A/train/1", "A/training/2", "B/train/1", "B/training/2"], {}, "both mean the train split"),
    (["A/x/train/1", "A/x/val/2", "B/x/train/1", "B/x/val/2"], {}, "deep inside"),
    (["A/x/train/1", "A/y/test/2", "B/x/train/1", "B/y/test/2"], {}, "deep inside"),
    (["A/train/1", "A/val/2", "B/train/1", "B/val/2", "valA/3", "valB/3"], {}, "both be the val split"),
    (["trainA/train/1", "trainA/val/2", "trainB/train/1", "trainB/val/2"], {}, "this is the train split"),
    (["A/trainA/1", "A/trainB/2", "B/trainA/1", "B/trainB/2"], {}, "give the folder of one side"),
    (["x/trainA/1", "x/trainB/1", "x/testA/2"], {"target": "x", "derive": "gray"}, "give the folder of one side"),
    (["x/train/1", "x/val/2"], {"derive": "gray"}, "deep inside"),
    (["train/1", "cat/2"], {"derive": "gray"}, "could be the training split, or a class"),
    (["x/1", "x/held/2", "y/1", "y/held/2"], {"source": "x", "target": "y", "val_source": "x/held",
      "val_target": "y/held"}, "put the folders beside each other"),
    (["x/train/1", "x/val/2", "y/train/1", "y/val/2", "v/1", "w/1"],
     {"source": "x", "target": "y", "val_source": "v", "val_target": "w"}, "leave out the one"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "asked", "message"), AMBIGUOUS_PLACES)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, files, asked, message):
    known = Known(tmp_path, random.Random(0))
    for file in files:
        known.put(f"{file}.png")
    given = {name: value if name == "derive" else tmp_path / value for name, value in asked.items()}
    with pytest.raises(ValueError, match=message):
        run(given if "target" in given else {"data": tmp_path, **given})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/1", "train/b/2", "c/3"], "could be a split, or a class beside c/"),
        (["train/a/1", "train/b/2", "trainA/3"], "nothing beside them"),
        (["a/train/1", "a/val/2", "b/3"], "b/ holds no train/, val/ or test/"),
        (["train_cat/1", "test_cat/2", "train_dog/3", "other/4"], "other/ not"),
        (["trainA/1", "train_A/2", "trainB/3"], "both trainA and train_A"),
        (["train/a/1", "train/b/val/2", "train/b/train/3"], "named for another"),
    ],
)
def test_classes_that_could_be_splits_are_refused(tmp_path, files, message):
    known = Known(tmp_path, random.Random(0))
    for file in files:
        known.put(f"{file}.png")
    with pytest.raises(ValueError, match=message):
        run({"data": tmp_path}, kind="domains", data_needs=DataNeeds(label=True))


def test_pictures_that_no_layout_takes_are_told_with_their_folders(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for letter in "ABCD":
        for number in range(2):
            known.put(f"train{letter}/{number}.png")
    known.put("other/deep/9.png")
    _, report = run({"data": tmp_path})
    assert (
        "5 pictures beside those of the layout, not used: other/deep/9.png; 2 in trainC/, such as 0.png; "
        "2 in trainD/, such as 0.png"
    ) in report
    prepared, report = run({"data": tmp_path}, kind="domains", data_needs=DataNeeds(label=True))
    assert prepared.conditions.labels == ("A", "B", "C", "D")
    assert len(prepared.train) == 8
    assert "not used: other/deep/9.png" in report


def test_files_of_two_folders_are_told_with_the_folder(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for file in ("x/1.png", "x/2.png", "x/in/3.png", "y/1.png", "y/in/4.png"):
        known.put(file)
    _, report = run({"source": tmp_path / "x", "target": tmp_path / "y"})
    lines = report.splitlines()
    unpaired = [line.split(": no file of this stem")[0] for line in lines if "no file of this stem" in line]
    assert unpaired == ["  x/2.png", "  x/in/3.png", "  y/in/4.png"]


def test_files_of_one_name_in_two_forms_are_one_too_many(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for file in ("A/\u00e9.png", "A/e\u0301.png", "B/\u00e9.png", "A/o.png", "B/o.png"):
        known.put(file)
    prepared, report = run({"data": tmp_path})
    assert [pair.name for pair in prepared.train] == ["o"]
    assert len(prepared.problems) == 3
    assert "keep one" in report


@pytest.mark.parametrize("layout", ["auto", "side-by-side"])
def test_files_among_side_by_side_pairs_that_are_none_are_left_out(tmp_path, layout):
    known = Known(tmp_path, random.Random(0))
    for number in range(12):
        known.put(f"train/{number}.png", size=(26 if number % 4 == 0 else 24, 12))
    known.put("train/deep/square.png", size=(24, 24))
    known.put("val/tall.png", size=(12, 24))
    known.put("val/three.png", size=(36, 12))
    known.put("val/wide.png", size=(28, 12))
    prepared, report = run({"data": tmp_path, "layout": layout})
    assert len(prepared.train) == 12
    assert [pair.name for pair in prepared.val] == ["wide.png"]
    reasons = {problem.path.name: problem.reason.split(":")[0] for problem in prepared.problems}
    assert reasons == {"square.png": "24x24", "tall.png": "12x24", "three.png": "36x12"}
    assert "1 file of other proportions than most side-by-side files" in report
    assert "  val/wide.png: 28x12" in report
    apart, _ = run({"data": tmp_path, "layout": layout}, kind="unpaired")
    assert all("square" not in pair.name for pair in apart.train)


def test_a_set_of_pairs_of_all_shapes_has_no_usual_one(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for number in range(12):
        known.put(f"{number}.png", size=(24 + 6 * number, 12))
    known.put("one/narrow.png", size=(20, 12))
    prepared, _ = run({"data": tmp_path})
    assert [problem.path.name for problem in prepared.problems] == ["narrow.png"]
    assert len(run({"data": tmp_path, "layout": "side-by-side"})[0].train) == 13


def test_thumbs_are_a_class_where_they_are_no_thumbnails(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for number in range(4):
        known.put(f"{'thumbs' if number % 2 else 'fist'}/{number}.png")
    assert run({"data": tmp_path}, kind="domains", data_needs=DataNeeds(label=True))[0].conditions.labels == (
        "fist",
        "thumbs",
    )


def test_a_label_is_known_in_any_form(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for file in ("train/\u00e9t\u00e9/1", "train/hiver/2", "val/e\u0301te\u0301/3", "val/hiver/4"):
        known.put(f"{file}.png")
    prepared, _ = run({"data": tmp_path}, kind="domains", data_needs=DataNeeds(label=True))
    assert prepared.conditions.labels == ("hiver", "\u00e9t\u00e9")
    assert prepared.problems == ()
    assert prepared.conditions.encode_label("e\u0301te\u0301").tolist() == [0, 1]
    earlier = Conditions(labels=("e\u0301te\u0301", "hiver"))  # of a run whose folders were all spelled so
    again, _ = run({"data": tmp_path}, kind="domains", data_needs=DataNeeds(label=True), conditions=earlier)
    assert len(again.train) == len(again.val) == 2


def test_a_class_may_be_called_like_a_split(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for kind, number in (("train", 1), ("plane", 2), ("tests", 3)):
        for side in "AB":
            known.put(f"{side}/{kind}/{number}.png")
    prepared, _ = run({"data": tmp_path}, data_needs=DataNeeds(label=True))
    assert {(pair.name, pair.label) for pair in prepared.train} == {
        ("train/1", "train"),
        ("plane/2", "plane"),
        ("tests/3", "tests"),
    }
    for number in range(4, 6):  # and among the domains
        for kind in ("train", "plane"):
            known.put(f"domains/{kind}/{number}.png")
    prepared, _ = run({"data": tmp_path / "domains"}, kind="domains", data_needs=DataNeeds(label=True))
    assert prepared.conditions.labels == ("plane", "train")


AMBIGUOUS_ROWS = [
    ("train,A/1.png,B/1.png", None),
    ("Validation,A/2.png,B/2.png", None),
    ("holdout,A/3.png,B/3.png", "split 'holdout' is none of train, val"),
    (",A/4.png,B/4.png", "its split is empty"),
    ("train,val/A.png,B/5.png", "its split is not clear: val/A.png in val"),
    ("train,A/6.png,test/B.png", "its split is not clear: test/B.png in test"),
    ("train,A/7.png,val/B.png", "its split is not clear: val/B.png in val"),
    ("test,test/A.png,B/8.png", None),
]


def test_lines_of_a_table_whose_split_is_not_clear_are_left_out(tmp_path):
    known = Known(tmp_path, random.Random(0))
    for row, _ in AMBIGUOUS_ROWS:
        for file in row.split(",")[1:]:
            known.put(file)
    text = "\n".join(["split,file_name,target_file_name", *(row for row, _ in AMBIGUOUS_ROWS)])
    (tmp_path / "metadata.csv").write_text(text)
    prepared, _ = run({"data": tmp_path})
    assert [len(part) for part in (prepared.train, prepared.val, prepared.test)] == [1, 1, 1]
    reasons = [problem.reason for problem in prepared.problems]
    for message, reason in zip((message for _, message in AMBIGUOUS_ROWS if message), reasons, strict=True):
        assert message in reason


def test_a_table_whose_folders_could_be_splits_or_classes_asks_for_a_column(tmp_path):
    known = Known(tmp_path, random.Random(0))
    places = ["brick/train/1.png", "brick/val/2.png", "wood/train/3.png"]
    for place in places:
        known.put(place)
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *(f"{place},x" for place in places)]))
    with pytest.raises(ValueError, match="or add a column split to metadata"):
        run({"data": tmp_path, "derive": "gray"})
