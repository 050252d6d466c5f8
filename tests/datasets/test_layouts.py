"""Where pairs are found, the message where none are, and that no picture is lost between the two."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.datasets.layouts import LAYOUTS, choose, find
from translate.datasets.pairs import Listing, Pair
from translate.settings import DataSettings


def picture(path: Path, *, size: tuple[int, int] = (8, 8)) -> Path:
    """A gray picture of `size` (width, height); its value follows from its path's last part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size[::-1], len(path.name), np.uint8)).save(path)
    return path


def found(**given: object) -> Listing:
    return find(DataSettings.make(given)).listing


def files(pair: Pair, root: Path) -> tuple[str | None, str]:
    """Source and target of a pair below `root`, with the half."""

    def text(view):
        return view and view.path.relative_to(root).as_posix() + (f":{view.half}" if view.half else "")

    return text(pair.source), text(pair.target)


@pytest.mark.parametrize(("direction", "halves"), [("AtoB", ("left", "right")), ("BtoA", ("right", "left"))])
def test_side_by_side_files(tmp_path, direction, halves):
    for name in ("train/1.png", "train/deep/2.png", "val/1.png", "test/3.png"):
        picture(tmp_path / name, size=(16, 8))
    listing = found(data=tmp_path, direction=direction)
    assert [pair.name for pair in listing.train] == ["1.png", "deep/2.png"]
    assert files(listing.val[0], tmp_path) == tuple(f"val/1.png:{half}" for half in halves)
    assert [pair.name for pair in listing.test] == ["3.png"]


def test_flat_side_by_side_files_and_validation_by_its_long_name(tmp_path):
    picture(tmp_path / "flat" / "1.png", size=(16, 8))
    assert len(found(data=tmp_path / "flat").train) == 1
    picture(tmp_path / "split/train/1.png", size=(16, 8))
    picture(tmp_path / "split/validation/2.png", size=(16, 8))
    assert [pair.name for pair in found(data=tmp_path / "split").val] == ["2.png"]


def test_test_pictures_are_not_validated_on(tmp_path):
    picture(tmp_path / "train/1.png", size=(16, 8))
    picture(tmp_path / "test/2.png", size=(16, 8))
    result = find(DataSettings(data=tmp_path))
    assert result.listing.val == ()
    assert "kept aside" in result.notes[0]


@pytest.mark.parametrize("place", ["train{}", "train/{}", "{}"])
def test_one_folder_a_side(tmp_path, place):
    for side in "AB":
        picture(tmp_path / place.format(side) / "deep" / "x.png")
        picture(tmp_path / f"test{side}" / "y.png")
    picture(tmp_path / place.format("B") / "deep" / "x.png").rename(tmp_path / place.format("B") / "deep" / "x.jpg")
    listing = found(data=tmp_path)
    a, b = f"{place.format('A')}/deep/x.png", f"{place.format('B')}/deep/x.jpg"
    assert [files(pair, tmp_path) for pair in listing.train] == [(a, b)]
    assert listing.train[0].name == "deep/x"
    assert [pair.name for pair in listing.test] == ["y"]
    assert [files(pair, tmp_path) for pair in found(data=tmp_path, direction="BtoA").train] == [(b, a)]


def test_two_folders_name_every_file_that_has_no_single_partner(tmp_path):
    for name in ("a/1.png", "a/2.png", "a/3.png", "a/3.jpg", "a/5.png"):
        picture(tmp_path / name)
    for name in ("b/1.png", "b/3.png", "b/4.png", "b/5.png", "b/5.bmp"):
        picture(tmp_path / name)
    listing = found(source=tmp_path / "a", target=tmp_path / "b")
    assert [pair.name for pair in listing.train] == ["1"]
    reasons = {p.path.relative_to(tmp_path).as_posix(): p.reason for p in listing.problems}
    assert reasons.keys() == {
        "a/2.png",
        "a/3.png",
        "a/3.jpg",
        "a/5.png",
        "b/3.png",
        "b/4.png",
        "b/5.png",
        "b/5.bmp",
    }
    assert "no file of this stem" in reasons["a/2.png"]
    assert "3.jpg" in reasons["a/3.png"]
    assert "3.png" in reasons["a/3.jpg"]
    assert "3.jpg and 3.png" in reasons["b/3.png"]


def test_two_folders_with_their_validation_folders(tmp_path):
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / name / "1.png")
    given = {"source": tmp_path / "a", "target": tmp_path / "b", "val_source": tmp_path / "c"}
    assert [files(p, tmp_path) for p in found(**given, val_target=tmp_path / "d").val] == [("c/1.png", "d/1.png")]
    with pytest.raises(ValueError, match="--val-source and --val-target go together"):
        found(**given)
    with pytest.raises(ValueError, match="--source and --target are the same folder"):
        found(source=tmp_path / "a", target=tmp_path / "a")


def test_folders_without_a_common_stem_are_not_pairs(tmp_path):
    picture(tmp_path / "trainA/horse.png")
    picture(tmp_path / "trainB/zebra.png")
    with pytest.raises(ValueError, match=r"no pairs.*horse.*zebra.*cyclegan"):
        found(data=tmp_path)


def test_half_a_split_is_an_error(tmp_path):
    picture(tmp_path / "trainA/1.png")
    picture(tmp_path / "trainB/1.png")
    picture(tmp_path / "valA/1.png")
    with pytest.raises(ValueError, match="valA/ but no valB/"):
        found(data=tmp_path)


ROWS = [
    {"file_name": "train/a.png", "target_file_name": "train/b.png", "label": "brick", "text": "a, b"},
    {"file_name": "train/a.png", "target_file_name": "train/c.png", "label": "", "text": ""},
    {"file_name": "val/a.png", "target_file_name": "val/b.png", "label": "7", "text": "ü"},
]


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".jsonl":
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        lines = [",".join(rows[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in rows)]
        text = "\ufeff" + "\r\n".join(lines)  # as spreadsheets save it
    path.write_text(text, encoding="utf-8", newline="")


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_metadata(tmp_path, table):
    for name in ("train/a.png", "train/b.png", "train/c.png", "val/a.png", "val/b.png"):
        picture(tmp_path / name)
    write_rows(tmp_path / table, ROWS)
    listing = found(data=tmp_path)
    assert [files(pair, tmp_path) for pair in listing.train] == [
        ("train/a.png", "train/b.png"),
        ("train/a.png", "train/c.png"),
    ]
    assert [pair.name for pair in listing.train] == ["train/a.png", "train/a.png#2"]
    assert (listing.train[0].label, listing.train[0].text) == ("brick", "a, b")
    assert (listing.train[1].label, listing.train[1].text) == (None, None)
    assert (listing.val[0].label, listing.val[0].text) == ("7", "ü")
    assert files(found(data=tmp_path, direction="BtoA").val[0], tmp_path) == ("val/b.png", "val/a.png")


def test_metadata_in_each_split(tmp_path):
    for split in ("train", "validation", "test"):
        picture(tmp_path / split / "a.png")
        picture(tmp_path / split / "b.png")
        write_rows(tmp_path / split / "metadata.csv", [{"file_name": "a.png", "target_file_name": "b.png"}])
    listing = found(data=tmp_path)
    assert files(listing.val[0], tmp_path) == ("validation/a.png", "validation/b.png")
    assert [len(part) for part in (listing.train, listing.val, listing.test)] == [1, 1, 1]


def test_metadata_of_targets_alone_when_sources_are_derived(tmp_path):
    picture(tmp_path / "a.png")
    write_rows(tmp_path / "metadata.csv", [{"file_name": "a.png", "text": "x"}])
    pair = found(data=tmp_path, derive="gray").train[0]
    assert (files(pair, tmp_path), pair.text) == ((None, "a.png"), "x")
    with pytest.raises(ValueError, match="no column target_file_name"):
        found(data=tmp_path, layout="metadata")


def test_metadata_rows_that_name_nothing_usable_are_problems(tmp_path):
    picture(tmp_path / "a.png")
    lines = [
        "file_name,target_file_name,text",
        "a.png,a.png,fine",
        "a.png,a.png,a comma, not quoted",
        "a.png,gone.png,",
        "a.png,,",
        "a.png,../outside.png,",
        "a.png",
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    listing = found(data=tmp_path)
    assert [pair.text for pair in listing.train] == ["fine"]
    assert [problem.path.name for problem in listing.problems] == [
        "metadata.csv",
        "gone.png",
        *["metadata.csv"] * 3,
    ]
    reasons = [problem.reason for problem in listing.problems]
    for number, (reason, word) in enumerate(
        zip(
            reasons,
            ["more cells", "no such file", "no target_file_name", "not a path below", "fewer"],
            strict=True,
        ),
        3,
    ):
        assert word in reason
        assert f"line {number}" in reason


def test_metadata_lines_that_are_not_json_are_problems(tmp_path):
    picture(tmp_path / "a.png")
    row = '{"file_name": "a.png", "target_file_name": "a.png", "label": 3, "house": "x"}'
    (tmp_path / "metadata.jsonl").write_text(f"{row}\n\nnonsense\n[1]\n")
    result = find(DataSettings(data=tmp_path))
    assert [pair.label for pair in result.listing.train] == ["3"]
    assert [problem.reason.split(":")[0] for problem in result.listing.problems] == ["line 3", "line 4"]
    assert result.notes == ("columns of the metadata that are not used: house",)


def test_one_folder_of_photos(tmp_path):
    for name in ("train/1.png", "train/deep/1.png", "val/2.jpg"):
        picture(tmp_path / name)
    listing = found(data=tmp_path, derive="gray")
    assert [files(pair, tmp_path) for pair in listing.train] == [
        (None, "train/1.png"),
        (None, "train/deep/1.png"),
    ]
    assert [pair.name for pair in listing.val] == ["2.jpg"]
    assert len(found(data=tmp_path / "train", derive="gray").train) == 2
    assert len(found(target=tmp_path / "train", derive="gray").train) == 2


def test_derived_sources_take_the_target_side_of_known_layouts(tmp_path):
    picture(tmp_path / "ab/1.png", size=(16, 8))
    pair = found(data=tmp_path / "ab", derive="gray", layout="side-by-side").train[0]
    assert files(pair, tmp_path) == (None, "ab/1.png:right")
    picture(tmp_path / "two/trainA/1.png")
    picture(tmp_path / "two/trainB/1.png")
    assert [files(p, tmp_path) for p in found(data=tmp_path / "two", derive="gray").train] == [
        (None, "two/trainB/1.png")
    ]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_says_what_it_misses_in_an_empty_folder(tmp_path, name):
    with pytest.raises(ValueError, match=f"--layout {name}"):
        choose(DataSettings(data=tmp_path, layout=name))


def test_where_nothing_fits_all_that_was_looked_for_is_said(tmp_path):
    for i in range(12):
        picture(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match="12 pictures directly in") as error:
        find(DataSettings(data=tmp_path))
    message = str(error.value)
    assert all(f"{name} (" in message for name in ("metadata", "folders", "side-by-side", "single"))
    assert "no train/" in message
    assert "8x8" in message  # why they are not taken for side-by-side pairs
    assert "add --derive" in message
    assert len(found(data=tmp_path, layout="side-by-side").train) == 12


def test_two_unknown_subfolders_are_answered_with_the_flags_to_use(tmp_path):
    source, target = picture(tmp_path / "labels/1.png").parent, picture(tmp_path / "photos/1.png").parent
    with pytest.raises(ValueError, match="no usable layout") as error:
        find(DataSettings(data=tmp_path))
    assert f"use --source {source} --target {target}, or the reverse. Looked for" in str(error.value)


def test_validation_without_training_folder_is_not_trained_on(tmp_path):
    picture(tmp_path / "val/1.png", size=(16, 8))
    for settings in (DataSettings(data=tmp_path), DataSettings(data=tmp_path, derive="gray")):
        with pytest.raises(ValueError, match="val/ but no train/"):
            find(settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "gone"}, "--data: no folder"),
        ({"data": "file.png"}, "this is a file"),
        ({"data": ".", "layout": "side-by-sides"}, 'did you mean "side-by-side"'),
        ({"source": ".", "target": ".", "layout": "single"}, "goes with --data"),
        ({"data": ".", "derive": "gray", "direction": "BtoA"}, "--direction BtoA has no meaning"),
    ],
)
def test_wrong_settings_are_named(tmp_path, given, message):
    picture(tmp_path / "file.png")
    folders = {k: tmp_path / v if k in ("data", "source", "target") else v for k, v in given.items()}
    with pytest.raises(ValueError, match=message):
        find(DataSettings.make(folders))


def test_links_hidden_and_stray_files(tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    for name in (".hidden.png", ".cache/2.png", "3.png"):
        picture(tmp_path / "data" / name)
    (tmp_path / "data/Thumbs.db").write_bytes(b"x")
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    listing = found(data=tmp_path / "data", derive="gray")
    assert [pair.name for pair in listing.train] == ["3.png", "linked/1.png"]
    assert listing.problems == ()


def test_real_layouts(shared_data):
    facades = found(data=shared_data / "facades")
    assert (len(facades.train), len(facades.val), facades.train[0].target.half) == (360, 40, "right")
    # The metadata.csv of this one has no file_name, so it is not taken for a table of pairs.
    openmoji = found(data=shared_data / "openmoji")
    assert (len(openmoji.train), len(openmoji.val), openmoji.problems) == (3408, 182, ())
    with pytest.raises(ValueError, match=r"200 file stems .* cyclegan"):
        found(data=shared_data / "horse2zebra")
