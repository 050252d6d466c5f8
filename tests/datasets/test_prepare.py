"""From a folder to decisions: what the pictures are, which are left out, and the report on them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from translate.datasets.preparation.roles import parse_background, parse_colour, parse_palette, parse_range
from translate.datasets.prepare import Prepared, prepare
from translate.datasets.regions import read_pair
from translate.settings import DataSettings

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        planes = "contig" if pixels.ndim == 3 else None
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig=planes)
    else:
        Image.fromarray(pixels).save(path)
    return path


def photos(folder: Path, count: int = 6, *shape: int) -> Path:
    """A folder of `count` different pictures."""
    for i in range(count):
        save(folder / f"{i}.png", noise(*(shape or (16, 16, 3))))
    return folder


def run(**given: Any) -> tuple[Prepared, str]:
    """What was prepared and the report."""
    lines: list[str] = []
    prepared = prepare(DataSettings.make(given), say=lines.append)
    for pair in (*prepared.val, *prepared.test, *prepared.train)[:50]:  # what was promised can be read
        read_pair(pair, source=prepared.specs["source"], target=prepared.target, max_pixels=10**8)
    assert all("\n" not in line for line in lines)
    return prepared, "\n".join(lines)


def test_counts_come_first_then_names_with_reasons(tmp_path):
    photos(tmp_path, 4)
    for i in range(23):
        (tmp_path / f"bad{i:02}.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    prepared, report = run(data=tmp_path, derive="gray")
    lines = report.splitlines()
    assert "4 pairs, 3 for training, 1 for validation" in lines[0]
    assert lines[1] == "23 files cannot be used:"
    assert lines[2] == "  bad00.png: the file is empty (0 bytes)"
    assert lines[21].startswith("  bad19.png")
    assert lines[22] == "  and 3 more"
    assert "1 other file skipped: notes.txt" in lines
    assert len(prepared.problems) == 23


def test_strict_stops_with_the_first_ones(tmp_path):
    photos(tmp_path)
    for i in range(5):
        (tmp_path / f"bad{i}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"--strict: 5 files .*bad0\.png: .*bad2\.png: .*and 2 more"):
        run(data=tmp_path, derive="gray", strict=True)
    for path in tmp_path.glob("bad*"):
        path.unlink()
    assert run(data=tmp_path, derive="gray", strict=True)[0].problems == ()


def test_nothing_usable_says_what_was_looked_for_and_why_each_failed(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"single: one folder.*2 files that cannot be used: 0\.png: .*; 1\.png: "):
        run(data=tmp_path, derive="gray")


def test_a_broken_partner_leaves_out_the_pair_and_names_the_broken_one(tmp_path):
    photos(tmp_path / "a", 3)
    photos(tmp_path / "b", 3)
    (tmp_path / "b/1.png").write_bytes(b"")
    prepared, _ = run(source=tmp_path / "a", target=tmp_path / "b")
    assert {pair.name for pair in (*prepared.train, *prepared.val)} == {"0", "2"}
    assert [problem.path for problem in prepared.problems] == [tmp_path / "b/1.png"]


def test_pictures_outside_the_layout_are_mentioned(tmp_path):
    photos(tmp_path / "trainA", 2)
    photos(tmp_path / "trainB", 2)
    photos(tmp_path / "more", 5)
    _, report = run(data=tmp_path)
    assert "5 pictures beside those of the layout, not used: 5 in more/, such as 0.png" in report


def test_pairs_of_different_shape_are_kept_and_mentioned(tmp_path):
    photos(tmp_path / "a", 3, 20, 30)
    photos(tmp_path / "b", 3, 40, 61)
    save(tmp_path / "b/1.png", noise(30, 20))
    prepared, report = run(source=tmp_path / "a", target=tmp_path / "b")
    assert len(prepared.train) + len(prepared.val) == 3
    assert prepared.problems == ()
    assert "1 of 3 pairs have a source and a target of different shape" in report
    assert "  1: source 30x20, target 20x30" in report


def test_validation_pairs_met_in_training_are_mentioned(tmp_path):
    photos(tmp_path / "train", 3)
    photos(tmp_path / "val", 2)
    shutil.copy(tmp_path / "train/1.png", tmp_path / "val/copy.png")
    _, report = run(data=tmp_path, derive="gray")
    assert "1 of 3 validation pairs are training pairs as well" in report
    assert "copy.png" in report


def test_no_validation_is_said(tmp_path):
    assert "--val-fraction is 0" in run(data=photos(tmp_path / "a"), derive="gray", val_fraction=0)[1]
    assert "a single training pair" in run(data=photos(tmp_path / "b", 1), derive="gray")[1]


@pytest.mark.parametrize(
    ("shapes", "given", "channels"),
    [
        ([(8, 8), (8, 8)], {}, 1),
        ([(8, 8), (8, 8, 3)], {}, 3),
        ([(8, 8, 4), (8, 8, 3)], {}, 3),  # alpha is laid on the background
        ([(8, 8, 4), (8, 8, 3)], {"target_channels": 4}, 4),
        ([(8, 8), (8, 8, 3)], {"target_channels": 1}, 1),
    ],
)
def test_channels(tmp_path, shapes, given, channels):
    for i, shape in enumerate(shapes):
        save(tmp_path / f"{i}.png", noise(*shape))
    assert run(data=tmp_path, derive="blur", **given)[0].target.channels == channels


def test_gray_stored_as_colour_counts_as_colour(tmp_path):
    save(tmp_path / "a.png", noise(8, 8, 1).repeat(3, axis=2))
    assert run(data=tmp_path, derive="blur")[0].target.channels == 3


def test_files_with_other_bands_than_most_are_problems(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.tif", noise(8, 8, 6))
    save(tmp_path / "colour.png", noise(8, 8, 3))
    prepared, _ = run(data=tmp_path, derive="blur")
    assert prepared.target.channels == 6
    assert [problem.path.name for problem in prepared.problems] == ["colour.png"]
    assert "channels" in prepared.problems[0].reason


def test_twelve_bits_in_sixteen_get_the_range_of_the_data(tmp_path):
    pixels = [RNG.integers(100, 4000, (64, 64)).astype(np.uint16) for _ in range(4)]
    pixels[0][:2, 0] = 65535  # two hot pixels in 16,384
    for i, picture in enumerate(pixels):
        save(tmp_path / f"{i}.tif", picture)
    prepared, report = run(data=tmp_path, derive="blur", val_fraction=0)
    low, high = np.percentile(np.stack(pixels), [0.01, 99.99])
    assert prepared.target.dtype == "uint16"
    assert (prepared.target.low, prepared.target.high) == (np.floor(low), np.ceil(high))
    assert prepared.source.high == prepared.target.high
    assert f"{prepared.target.low:g} to {prepared.target.high:g} become -1 to 1 (percentiles 0.01 and 99.99" in report
    share = np.mean((np.stack(pixels) > prepared.target.high) | (np.stack(pixels) < prepared.target.low))
    assert f"{share:.2%} of the sampled values are beyond" in report


@pytest.mark.parametrize(
    ("text", "low", "high"), [("full", 0, 65535), ("10,2000.5", 10, 2000.5), (" -5 , 7e4", -5, 70000)]
)
def test_ranges_that_are_given(tmp_path, text, low, high):
    save(tmp_path / "a.tif", RNG.integers(0, 4000, (32, 32)).astype(np.uint16))
    prepared, report = run(data=tmp_path, derive="blur", target_range=text)
    assert (prepared.target.low, prepared.target.high) == (low, high)
    assert ("beyond" in report) == (high < 4000)


def test_float_pictures_in_their_own_units(tmp_path):
    pixels = RNG.normal(-300, 50, (64, 64)).astype(np.float32)
    save(tmp_path / "a.tif", pixels)
    spec = run(data=tmp_path, derive="blur")[0].target
    assert spec.dtype == "float32"
    np.testing.assert_allclose([spec.low, spec.high], np.percentile(pixels, [0.01, 99.99]), rtol=1e-6)


@pytest.mark.parametrize(("value", "low", "high"), [(0, 0, 1), (0.5, 0, 1), (-3, -3, 1), (9, 0, 9)])
def test_constant_data_still_gives_a_range(tmp_path, value, low, high):
    save(tmp_path / "a.tif", np.full((8, 8), value, np.float32))
    prepared, report = run(data=tmp_path, derive="blur")
    assert (prepared.target.low, prepared.target.high) == (low, high)
    assert f"every sampled value is {value:g}" in report


def test_mixed_depths_become_eight_bits_and_that_is_said(tmp_path):
    save(tmp_path / "a.png", noise(8, 8))
    save(tmp_path / "b.tif", noise(8, 8).astype(np.uint16))
    save(tmp_path / "c.tif", RNG.random((8, 8), np.float32))
    save(tmp_path / "d.tif", 100 * RNG.random((8, 8), np.float32))
    prepared, report = run(data=tmp_path, derive="blur")
    assert (prepared.target.dtype, prepared.target.high) == ("uint8", 255)
    assert "different depth (1 of 8 bits, 1 of 16 bits, 2 of float): all are used at 8 bits" in report
    assert [problem.path.name for problem in prepared.problems] == ["d.tif"]  # 0 to 100 means nothing there


def test_a_range_holds_for_one_depth_and_the_rarer_ones_are_problems(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.tif", RNG.integers(0, 4096, (8, 8)).astype(np.uint16))
    save(tmp_path / "eight.png", noise(8, 8))
    prepared, _ = run(data=tmp_path, derive="blur", target_range="0,4095")
    assert (prepared.target.dtype, prepared.target.high) == ("uint16", 4095)
    assert [problem.path.name for problem in prepared.problems] == ["eight.png"]


def label_maps(folder: Path, colours: list[tuple[int, ...]], *, suffix: str = "png") -> Path:
    table = np.array(colours, np.uint8)
    for i in range(4):
        save(folder / f"{i}.{suffix}", table[RNG.integers(0, len(colours), (16, 16))].squeeze())
    return folder


def test_label_maps_give_their_colours(tmp_path):
    label_maps(tmp_path / "a", [(255, 0, 0), (0, 0, 0), (0, 9, 0)])
    photos(tmp_path / "b", 4)
    given = {"source": tmp_path / "a", "target": tmp_path / "b", "source_kind": "labels"}
    prepared, report = run(**given)
    assert prepared.source.palette == ((0, 0, 0), (0, 9, 0), (255, 0, 0))
    assert prepared.source.network_channels == 3
    assert "label maps of 3 colours, as found: #000000,#000900,#ff0000" in report
    more = run(**given, source_one_hot=True, source_ignore="#ffffff")[0].source
    assert (more.palette, more.ignore) == ((*prepared.source.palette, (255, 255, 255)), (255, 255, 255))
    assert more.network_channels == 4


def test_gray_label_maps(tmp_path):
    label_maps(tmp_path, [(0,), (7,), (200,)])
    given = {"data": tmp_path, "derive": "blur", "target_kind": "labels"}
    assert run(**given)[0].target.palette == ((0,), (7,), (200,))
    assert run(**given, target_channels=3)[0].target.palette == ((0, 0, 0), (7, 7, 7), (200, 200, 200))
    spec, report = run(**given, target_palette="7,0", target_ignore="255")
    assert spec.target.palette == ((7,), (0,), (255,))
    assert "of the pixels are no colour of the palette" in report
    assert "--target-one-hot gives each class a channel" in report
    assert "nearly the same" not in run(**given, target_one_hot=True)[1] + run(**given, target_palette="0,99,255")[1]
    with pytest.raises(ValueError, match="--target-ignore #ff0000: the label maps are gray"):
        run(**given, target_ignore="#ff0000")


def test_one_coloured_pixel_in_gray_label_maps_is_found_before_training(tmp_path):
    label_maps(tmp_path, [(0,), (7,)])
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[5, 6] = (1, 2, 3)
    save(tmp_path / "coloured.png", pixels)
    prepared, _ = run(data=tmp_path, derive="blur", target_kind="labels", target_palette="0,7")
    assert [problem.path.name for problem in prepared.problems] == ["coloured.png"]


def test_noise_is_told_from_a_wrong_palette(tmp_path):
    label_maps(tmp_path, [(2, 0, 1), (250, 9, 0)])
    given = {"data": tmp_path, "derive": "blur", "target_kind": "labels"}
    right, wrong = (run(**given, target_palette=text)[1] for text in ("#000000,#ff0000", "#000000,#0000ff"))
    assert "100.00% of the pixels are no colour of the palette" in right
    assert "0.00% are not even near one" in right
    assert "0.00% are not even near one" not in wrong


def test_changes_of_colour_do_not_go_with_label_maps(tmp_path):
    label_maps(tmp_path / "a", [(0,), (7,)])
    photos(tmp_path / "b", 4)
    with pytest.raises(ValueError, match=r"--photometric changes colours.*label maps"):
        run(source=tmp_path / "a", target=tmp_path / "b", source_kind="labels", photometric=0.1)


def test_unclean_label_maps_are_refused_with_colours_to_copy(tmp_path):
    blocks = np.array([(200, 0, 0), (0, 0, 200), (0, 200, 0)], np.uint8)[RNG.integers(0, 3, (8, 8))]
    for i in range(3):
        picture = Image.fromarray(blocks).resize((150, 150), Image.Resampling.NEAREST)
        picture.save(tmp_path / f"{i}.jpg", quality=50)
    with pytest.raises(ValueError, match=r"not clean .*--target-palette.*commonest") as error:
        run(data=tmp_path, derive="blur", target_kind="labels")
    shown = parse_palette(str(error.value).rsplit(" ", 1)[1], flag="")
    for colour in ((200, 0, 0), (0, 0, 200), (0, 200, 0)):
        assert min(max(abs(a - b) for a, b in zip(colour, s, strict=True)) for s in shown) < 20
    given = run(data=tmp_path, derive="blur", target_kind="labels", target_palette="#c80000,#0000c8,#00c800")[0]
    assert given.target.palette == ((200, 0, 0), (0, 0, 200), (0, 200, 0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target_palette": "0,1"}, "--target-palette is for label maps: add --target-kind labels"),
        ({"target_kind": "labels", "target_range": "full"}, "--target-range is for images"),
        ({"target_kind": "labels", "target_palette": "0,1", "target_channels": 3}, "disagree"),
        ({"source_channels": 3}, "--source-channels does not go with --derive"),
        ({"background": "lilac-ish"}, "--background 'lilac-ish' is no colour"),
        ({"derive": "grey"}, "gray"),
        ({"derive_amount": 2}, "--derive-amount"),
        (
            {"derive": None, "layout": "side-by-side", "derive_amount": 2},
            "--derive-amount goes with --derive",
        ),
    ],
)
def test_settings_that_contradict_are_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        run(**{"data": photos(tmp_path, 2), "derive": "gray", **given})


def test_texts_of_settings():
    assert parse_background("#102030") == (16, 32, 48)
    assert parse_background("Black") == (0, 0, 0)
    assert parse_range("Auto", flag="") == "auto"
    assert parse_palette("#ff0000, #00FF00", flag="") == ((255, 0, 0), (0, 255, 0))
    assert parse_colour("12", flag="") == (12,)
    for wrong in ("1,2,3", "5,5", "9,1", "low,high", "nan,1", "0,inf"):
        with pytest.raises(ValueError, match="--x"):
            parse_range(wrong, flag="--x")
    for wrong in ("256", "-1", "red", "#12345", "#12345g", "", "0,#ffffff", "3,3", "#ab  cd"):
        with pytest.raises(ValueError, match="--x"):
            parse_palette(wrong, flag="--x")


def test_fingerprint_follows_contents_and_not_the_place(tmp_path):
    photos(tmp_path / "one" / "a", 5)
    photos(tmp_path / "one" / "b", 5)

    def fingerprint(folder: str, a: str = "a", b: str = "b") -> str:
        return run(source=tmp_path / folder / a, target=tmp_path / folder / b)[0].fingerprint

    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = fingerprint("one")
    assert len(first) == 64
    assert fingerprint("two") == first
    assert fingerprint("one", "b", "a") != first
    save(tmp_path / "two/a/3.png", noise(16, 16, 3))
    assert fingerprint("two") != first
    shutil.move(tmp_path / "one/a/3.png", tmp_path / "one/a/9.png")
    shutil.move(tmp_path / "one/b/3.png", tmp_path / "one/b/9.png")
    assert fingerprint("one") != first


def test_the_held_out_part_does_not_depend_on_the_place(tmp_path):
    photos(tmp_path / "one", 20)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    parts = [
        {p.name for p in run(data=tmp_path / name, derive="gray", val_fraction=0.2)[0].val} for name in ("one", "two")
    ]
    assert len(parts[0]) == 4
    assert parts[0] == parts[1]


def test_copies_of_a_photo_stay_on_one_side(tmp_path):
    for i in range(8):
        photo = Image.fromarray(noise(6, 6, 3)).resize((64, 64), Image.Resampling.BICUBIC)
        photo.save(tmp_path / f"{i}.png")
        photo.resize((32, 32), Image.Resampling.BOX).save(tmp_path / f"{i}_small.bmp")
    prepared, report = run(data=tmp_path, derive="gray", val_fraction=0.3)
    assert {p.name[0] for p in prepared.train}.isdisjoint(p.name[0] for p in prepared.val)
    assert len(prepared.val) == 4
    assert "near-duplicates (16 pairs) were kept on one side" in report


def test_real_facades_in_both_directions(shared_data):
    forth, report = run(data=shared_data / "facades")
    back, _ = run(data=shared_data / "facades", direction="BtoA")
    assert (len(forth.train), len(forth.val), len(forth.test)) == (360, 40, 0)
    assert (forth.source, forth.target, forth.problems) == (back.target, back.source, ())
    assert forth.source.channels == 3
    assert forth.fingerprint != back.fingerprint
    assert forth.train[0].source == back.train[0].target
    assert "400 pairs, 360 for training, 40 for validation" in report
    with pytest.raises(ValueError, match=r"#0000de.*#0030ff"):  # its maps carry JPEG noise
        run(data=shared_data / "facades", direction="BtoA", source_kind="labels")


def test_real_awkward_files(shared_data):
    prepared, report = run(data=shared_data / "awkward", derive="gray")
    assert (prepared.source.channels, prepared.target.channels, prepared.target.dtype) == (1, 3, "uint8")
    assert {problem.path.name for problem in prepared.problems} >= {
        "empty.jpg",
        "text.jpg",
        "truncated_half.png",
    }
    assert "3 other files skipped: Thumbs.db, manifest.csv, no_extension" in report
    assert "of several frames or pages" in report
    halved, _ = run(data=shared_data / "awkward", layout="side-by-side")
    reasons = {problem.path.name: problem.reason for problem in halved.problems}
    assert "its width of 301 is odd" in reasons["ab_odd_width_301x128.png"]
