"""Pictures without pairs: what is used of each side, what is held out, and the report on them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.examples.paired import PairDataset
from translate.datasets.examples.unpaired import UnpairedDataset
from translate.datasets.pairs import Pair, of_side, views
from translate.datasets.prepare import Prepared, prepare
from translate.houses import write_paired, write_unpaired
from translate.settings import DataSettings

RNG = np.random.default_rng(0)


def photos(folder: Path, names: str, *, shape: tuple[int, ...] = (16, 16, 3)) -> Path:
    """A folder with a different picture for each letter of `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def run(**given: Any) -> tuple[Prepared, str]:
    """What was prepared, all of whose examples could be read, and the report."""
    lines: list[str] = []
    settings = DataSettings.make({"size": 8, **given})
    prepared = prepare(settings, kind="unpaired", say=lines.append)
    for part in ("train", "val"):
        dataset = make_dataset(prepared, settings=settings, part=part, seed=0)
        for batch in ordered_batches(dataset, batch=1):
            if part == "train" or not settings.val_whole:
                assert batch.source.shape[1:3] == batch.target.shape[1:3] == (8, 8)
    assert all("\n" not in line for line in lines)
    return prepared, "\n".join(lines)


def names(pairs: Sequence[Pair]) -> tuple[str, str]:
    """Letters of the sources and of the targets."""
    sources, targets = ("".join(Path(p.name).stem for p in of_side(pairs, role)) for role in ("source", "target"))
    return sources, targets


@pytest.mark.parametrize("place", ["train{}", "train/{}", "{}"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_every_picture_of_either_side_is_used(tmp_path, place, direction):
    photos(tmp_path / place.format("A") / "deep", "xyz")
    photos(tmp_path / place.format("B"), "klmno")
    photos(tmp_path / "valA", "v")
    photos(tmp_path / "valB", "wu")
    photos(tmp_path / "testA", "t")
    photos(tmp_path / "testB", "s")
    prepared, report = run(data=tmp_path, direction=direction)
    train, val, test = names(prepared.train), names(prepared.val), names(prepared.test)
    if direction == "BtoA":
        train, val, test = train[::-1], val[::-1], test[::-1]
    assert (train, val, test) == (("xyz", "klmno"), ("v", "uw"), ("t", "s"))
    assert all(len(views(pair)) == 1 for pair in (*prepared.train, *prepared.val, *prepared.test))
    assert (prepared.kind == "pairs", prepared.val_paired, prepared.examples) == (False, False, 5)
    assert prepared.problems == ()
    counts = "3 sources and 5 targets for training, 1 source and 2 targets for validation, 1 source and 1 target for"
    if direction == "AtoB":
        assert f"{tmp_path} (folders, no pairs): {counts} testing" in report
    assert "pair" not in report.replace("no pairs", "")


def test_two_folders_of_any_counts(tmp_path):
    a, b = photos(tmp_path / "a", "abcdefghij"), photos(tmp_path / "b", "xyz", shape=(30, 9))
    prepared, report = run(source=a, target=b, val_fraction=0.2)
    assert prepared.examples == 8
    assert [len(of_side(prepared.val, role)) for role in ("source", "target")] == [2, 1]
    assert set(prepared.train).isdisjoint(prepared.val)
    assert len(prepared.train) + len(prepared.val) == 13
    assert (prepared.source.channels, prepared.target.channels) == (3, 1)  # each side is what its files are
    assert "held out 2 of 10 training sources for validation" in report
    assert "held out 1 of 3 training targets for validation" in report
    with pytest.raises(ValueError, match="--direction BtoA has no meaning"):
        run(source=a, target=b, direction="BtoA")


def test_the_held_out_part_is_the_same_wherever_the_folders_lie(tmp_path):
    for side, letters in (("A", "abcdefghij"), ("B", "klmnopqrst")):
        photos(tmp_path / "one" / f"train{side}", letters)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (run(data=tmp_path / name, val_fraction=0.3)[0] for name in ("one", "two"))
    assert names(one.val) == names(two.val)
    assert list(map(len, names(one.val))) == [3, 3]
    assert one.fingerprint == two.fingerprint


def test_near_duplicates_stay_together_on_each_side(tmp_path):
    for side in "AB":
        for letter in "abcdefgh":
            small = Image.fromarray(RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            photo = small.resize((64, 64), Image.Resampling.BICUBIC)
            (tmp_path / f"train{side}").mkdir(exist_ok=True)
            photo.save(tmp_path / f"train{side}" / f"{letter}.png")
            photo.resize((32, 32), Image.Resampling.BOX).save(tmp_path / f"train{side}" / f"{letter}.bmp")
    prepared, report = run(data=tmp_path, val_fraction=0.25)
    for role in ("source", "target"):
        trained, held = ({pair.name[0] for pair in of_side(part, role)} for part in (prepared.train, prepared.val))
        assert trained.isdisjoint(held)
        assert len(held) == 2
    assert "held out 4 of 16 training sources for validation; near-duplicates (16) were kept together" in report


def test_true_validation_pairs_on_request(tmp_path):
    photos(tmp_path / "trainA", "abc")
    photos(tmp_path / "trainB", "abc")
    photos(tmp_path / "valA", "xyz")
    photos(tmp_path / "valB", "yzw", shape=(40, 40, 3))
    single, _ = run(data=tmp_path)
    assert (single.val_paired, len(single.val)) == (False, 6)
    prepared, report = run(data=tmp_path, val_paired=True)
    assert (prepared.kind == "pairs", prepared.val_paired) == (False, True)
    assert [(pair.name, len(views(pair))) for pair in prepared.val] == [("y", 2), ("z", 2)]
    assert {problem.path.relative_to(tmp_path).as_posix() for problem in prepared.problems} == {
        "valA/x.png",
        "valB/w.png",
    }
    assert "3 sources and 3 targets for training, 2 true pairs for validation" in report
    assert prepared.fingerprint != single.fingerprint
    settings = DataSettings.make({"data": tmp_path, "size": 8})
    assert isinstance(make_dataset(prepared, settings=settings, part="val", seed=0), PairDataset)
    assert isinstance(make_dataset(prepared, settings=settings, part="train", seed=0), UnpairedDataset)
    assert isinstance(make_dataset(single, settings=settings, part="val", seed=0), UnpairedDataset)


def test_true_validation_pairs_that_cannot_be(tmp_path):
    a, b = photos(tmp_path / "trainA", "abc"), photos(tmp_path / "trainB", "xyz")
    with pytest.raises(ValueError, match=r"--val-paired: .* holds no valA/ and valB/.*leave it out"):
        run(data=tmp_path, val_paired=True)
    with pytest.raises(ValueError, match="--val-paired goes with --val-source FOLDER and --val-target FOLDER"):
        run(source=a, target=b, val_paired=True)
    with pytest.raises(ValueError, match="--val-paired is for models without pairs"):
        prepare(DataSettings(data=tmp_path, val_paired=True), say=print)
    c, d = photos(tmp_path / "c", "k"), photos(tmp_path / "d", "l")
    with pytest.raises(ValueError, match=r"c and .*d hold no pairs.*leave out --val-paired"):
        run(source=a, target=b, val_source=c, val_target=d, val_paired=True)
    (d / "l.png").rename(d / "k.png")
    assert run(source=a, target=b, val_source=c, val_target=d, val_paired=True)[0].val_paired
    (d / "k.png").write_bytes(b"")
    with pytest.raises(ValueError, match="--val-paired: there are no usable validation pairs"):
        run(source=a, target=b, val_source=c, val_target=d, val_paired=True)


def test_sizes_need_to_go_together_only_in_true_pairs(tmp_path):
    photos(tmp_path / "trainA", "abc", shape=(20, 30, 3))
    photos(tmp_path / "trainB", "abc", shape=(40, 9, 3))
    photos(tmp_path / "valA", "xy")
    photos(tmp_path / "valB", "x")
    photos(tmp_path / "valB", "y", shape=(16, 17, 3))
    for fit in ("cover", "none"):
        assert run(data=tmp_path, fit=fit)[0].problems == ()
    prepared, _ = run(data=tmp_path, fit="none", val_paired=True)
    assert [pair.name for pair in prepared.val] == ["x"]
    assert [problem.path.name for problem in prepared.problems] == ["y.png"]


def test_side_by_side_pairs_are_taken_apart_and_validated_on_whole(tmp_path):
    write_paired(tmp_path / "set", count_train=10, count_val=0, count_test=2, size=16, seed=0)
    prepared, report = run(data=tmp_path / "set", val_fraction=0.2)
    assert (prepared.kind == "pairs", prepared.val_paired, prepared.examples, len(prepared.val)) == (False, True, 8, 2)
    assert "(side-by-side, no pairs): 8 sources and 8 targets for training, 2 true pairs for validation" in report
    assert "pairs are taken apart for training" in report
    seen = {view.path for pair in prepared.train for view in views(pair)}
    assert seen.isdisjoint(view.path for pair in prepared.val for view in views(pair))
    assert {view.half for pair in of_side(prepared.train, "source") for view in views(pair)} == {"left"}


def test_a_table_of_pairs_is_taken_apart_without_losing_or_doubling_a_picture(tmp_path):
    photos(tmp_path, "abcdefgh")
    (tmp_path / "d.png").write_bytes(b"")
    rows = ["file_name,target_file_name", "a.png,b.png", "a.png,c.png", "d.png,e.png", "f.png,g.png"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    prepared, report = run(data=tmp_path, val_fraction=0)
    files = [
        "".join(view.path.stem for p in of_side(prepared.train, r) for view in views(p)) for r in ("source", "target")
    ]
    assert files == ["af", "bceg"]  # e, too, whose partner is broken
    assert [problem.path.name for problem in prepared.problems] == ["d.png"]
    assert "1 picture beside those of the layout, not used: h.png" in report
    held = run(data=tmp_path, val_fraction=0.4)[0]
    assert len(held.val) == 1
    trained = {view for pair in held.train for view in views(pair)}
    assert trained.isdisjoint(views(held.val[0]))


def test_what_is_odd_is_told(tmp_path):
    a, b = photos(tmp_path / "trainA", "abcd"), photos(tmp_path / "trainB", "k")
    v, w = photos(tmp_path / "valA", "x"), photos(tmp_path / "valB", "y")
    shutil.copy(a / "c.png", v / "again.png")
    _, report = run(data=tmp_path)
    assert "there is a single target to train on" in report
    assert "1 of 2 validation sources are trained on, too: again.png" in report
    shutil.copy(a / "b.png", b / "copy.png")
    shutil.rmtree(v)
    shutil.rmtree(w)
    _, report = run(data=tmp_path, val_fraction=0)
    assert "1 picture on both sides, as source and as target: b.png" in report
    assert "no validation: there are no pictures for it, and --val-fraction is 0" in report


def test_the_only_picture_of_a_side_is_learned_from(tmp_path):
    a, b = photos(tmp_path / "a", "abcd"), photos(tmp_path / "b", "k")
    prepared, report = run(source=a, target=b)
    assert (len(names(prepared.train)[0]), names(prepared.train)[1], names(prepared.val)[1]) == (3, "k", "k")
    assert "the only training target serves in validation as well" in report
    assert "trained on, too" not in report
    assert run(source=b, target=photos(tmp_path / "c", "z"))[1].count("no validation: ") == 1


@pytest.mark.parametrize(("empty", "side"), [("trainA", "source"), ("trainB", "target")])
def test_a_side_with_nothing_usable_is_named(tmp_path, empty, side):
    photos(tmp_path / "trainA", "ab")
    photos(tmp_path / "trainB", "ab")
    for path in (tmp_path / empty).iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=rf"nothing to train on, no usable {side} pictures.*{empty}/a\.png: the file is empty"
    ):
        run(data=tmp_path)
    photos(tmp_path / empty, "c")
    for letter in "AB":
        photos(tmp_path / f"val{letter}", "v")
    (tmp_path / empty.replace("train", "val") / "v.png").write_bytes(b"")
    with pytest.raises(ValueError, match=f"no usable {side} pictures for validation"):
        run(data=tmp_path)


def test_broken_files_are_left_out_or_stop_a_strict_run(tmp_path):
    a, b = photos(tmp_path / "a", "abc"), photos(tmp_path / "b", "xyz")
    (a / "b.png").write_bytes(b"")
    prepared, report = run(source=a, target=b, val_fraction=0)
    assert names(prepared.train) == ("ac", "xyz")
    assert "  a/b.png: the file is empty" in report
    with pytest.raises(ValueError, match=r"--strict: 1 file cannot be used: a/b\.png"):
        run(source=a, target=b, strict=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"derive": "gray"}, "--derive needs pairs"),
        ({"source_kind": "labels", "source_ignore": "0"}, "--source-ignore needs pairs"),
        ({"target_kind": "labels", "target_ignore": "#ff0000"}, "--target-ignore needs pairs"),
    ],
)
def test_what_needs_pairs_is_refused(tmp_path, given, message):
    photos(tmp_path / "trainA", "a")
    photos(tmp_path / "trainB", "a")
    with pytest.raises(ValueError, match=message):
        run(data=tmp_path, **given)


def test_folders_that_fit_nothing_are_answered_without_pairs(tmp_path):
    source, target = photos(tmp_path / "horses", "a"), photos(tmp_path / "zebras", "b")
    with pytest.raises(ValueError, match="no usable layout") as error:
        run(data=tmp_path)
    assert f"To translate between these two folders, use --source {source} --target {target}, or the reverse" in str(
        error.value
    )
    assert "add --derive" not in str(error.value)
    assert "single (" not in str(error.value)
    with pytest.raises(ValueError, match="no usable layout") as error:
        run(data=source)
    assert "add --derive" not in str(error.value)
    assert "single (" not in str(error.value)


def test_each_side_has_its_own_kind_depth_and_range(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for i in range(3):
        Image.fromarray(RNG.choice(np.array([0, 7], np.uint8), (16, 16))).save(maps / f"{i}.png")
    deep = tmp_path / "deep"
    deep.mkdir()
    for i in range(3):
        Image.fromarray(RNG.integers(100, 4000, (16, 16)).astype(np.uint16)).save(deep / f"{i}.png")
    prepared, _ = run(source=maps, target=deep, source_kind="labels", source_one_hot=True, target_range="0,4095")
    assert (prepared.source.palette, prepared.source.network_channels) == (((0,), (7,)), 2)
    assert (prepared.target.dtype, prepared.target.high) == ("uint16", 4095)


def test_fingerprint_covers_the_sides(tmp_path):
    a, b = photos(tmp_path / "a", "abc"), photos(tmp_path / "b", "klm")

    def fingerprint(source: Path, target: Path) -> str:
        return run(source=source, target=target, val_fraction=0)[0].fingerprint

    first = fingerprint(a, b)
    assert fingerprint(b, a) != first
    (a / "c.png").rename(b / "c.png")
    moved = fingerprint(a, b)
    assert moved != first
    photos(b, "c")
    assert fingerprint(a, b) not in (first, moved)


def test_the_synthetic_set_without_pairs(tmp_path):
    write_unpaired(tmp_path / "set", count_train=4, count_val=2, count_test=1, size=16, seed=0)
    prepared, report = run(data=tmp_path / "set", val_paired=True)
    assert (
        "4 sources and 4 targets for training, 2 true pairs for validation, 1 source and 1 target for testing" in report
    )
    assert (prepared.val_paired, prepared.problems) == (True, ())
    with pytest.raises(ValueError, match="hold no pairs"):  # nobody pairs different houses by mistake
        prepare(DataSettings(data=tmp_path / "set"), say=print)


def test_real_horses_and_zebras(shared_data):
    folder = shared_data / "horse2zebra"
    forth, report = run(data=folder, load_size=8)
    back, _ = run(data=folder, load_size=8, direction="BtoA")
    for role in ("source", "target"):
        assert [len(of_side(part, role)) for part in (forth.train, forth.val, forth.test)] == [190, 10, 60]
    assert (forth.examples, forth.problems) == (190, ())
    assert forth.source.channels == forth.target.channels == 3  # two zebras are gray files
    assert {view.path.parent.name for pair in of_side(forth.train, "source") for view in views(pair)} == {"trainA"}
    assert {view.path.parent.name for pair in of_side(back.train, "source") for view in views(pair)} == {"trainB"}
    assert forth.fingerprint != back.fingerprint
    assert "the test pictures are kept aside and not validated on" in report


def test_a_real_awkward_folder_as_one_side(shared_data):
    prepared, report = run(source=shared_data / "awkward", target=shared_data / "horse2zebra/testB")
    assert prepared.examples == 57  # the zebras, less three
    assert {problem.path.name for problem in prepared.problems} >= {"empty.jpg", "text.jpg", "truncated_half.png"}
    assert all(problem.path.parent.name == "awkward" for problem in prepared.problems)
    assert "3 other files skipped: 3 in awkward/, such as Thumbs.db" in report
