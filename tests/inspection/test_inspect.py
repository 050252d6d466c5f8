"""A set that was spoiled on purpose is told exactly how; one that was not is told nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import translate
from tests.parts import made_once
from translate.cli import main
from translate.console import duration
from translate.houses import write_paired
from translate.inspection.options import InspectedData
from translate.inspection.reading import kind_of
from translate.inspection.summary import Inspection
from translate.inspection.trying import Trial

COUNT = 30  # pairs to train on


def looked_through(data: Path, **flags: Any) -> Inspection:
    """The inspection of a folder, without steps unless they are asked for."""
    return translate.inspect(data, **{"try_steps": 0, **flags})


def reported(inspection: Inspection) -> dict[str, list[str]]:
    """Each finding's files by its kind."""
    return {finding.kind: list(finding.files) for finding in inspection.findings}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps and fronts of drawn houses, in two folders, 64 pixels; four for validation."""

    def make(folder: Path) -> None:
        write_paired(folder, count_train=COUNT, count_val=4, count_test=0, size=64, layout="folders", seed=3)

    return made_once(tmp_path_factory, "inspected", make)


@pytest.fixture
def street(drawn: Path, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(drawn, tmp_path / "street"))


def picture(path: Path, seed: int = 0, *, mode: str = "RGB", size: tuple[int, int] = (24, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path)
    return path


def test_a_good_set_is_told_nothing(drawn: Path) -> None:
    inspection = looked_through(drawn)
    assert reported(inspection) == {}
    assert "nothing to correct" in inspection.text()
    assert str(inspection) == inspection.text()
    assert len(repr(inspection)) < 2000  # whatever the number of pictures
    assert inspection.suggestion.settings["source_kind"] == "labels"
    assert inspection.suggestion.command == f"translate train pix2pix --data {drawn} --size 64 --source-kind labels"


def test_each_fault_is_told_and_nothing_else(street: Path) -> None:
    a, b = street / "trainA", street / "trainB"
    one, other = (np.asarray(Image.open(b / f"{name}.png")) for name in ("0004", "0011"))
    Image.fromarray(other).save(b / "0004.png")
    Image.fromarray(one).save(b / "0011.png")
    front = Image.open(b / "0017.png")
    Image.fromarray(np.roll(np.asarray(front), 5, 1)).save(b / "0017.png")
    for side in "AB":
        shutil.copy(street / f"train{side}" / "0002.png", street / f"val{side}" / "copy.png")
    (b / "0020.png").write_bytes((b / "0020.png").read_bytes()[:1000])
    Image.open(b / "0023.png").convert("L").save(b / "0023.png")
    shutil.copy(a / "0001.png", a / "alone.png")
    found = reported(looked_through(street))
    assert found.keys() == {"unreadable", "unpaired", "copies", "exchanged", "gray", "shifted"}
    assert found["unreadable"][0].startswith("trainB/0020.png: ")
    assert found["unpaired"][0].startswith("trainA/alone.png: no file of this stem")
    assert found["copies"] == ["valA/copy.png and valB/copy.png = trainA/0002.png and trainB/0002.png"]
    assert found["exchanged"] == ["trainA/0004.png and trainB/0004.png <-> trainA/0011.png and trainB/0011.png"]
    assert found["gray"] == ["trainB/0023.png"]
    assert found["shifted"] == ["trainA/0017.png and trainB/0017.png: the target lies about 5 px to the right"]


def test_few_pairs_are_not_judged_and_that_is_said(street: Path) -> None:
    for number in range(10, COUNT):
        for side in "AB":
            (street / f"train{side}" / f"{number:04}.png").unlink()
    for side in "AB":
        shutil.rmtree(street / f"val{side}")
    inspection = looked_through(street)
    assert reported(inspection) == {}
    assert inspection.remarks == ("not looked at: whether the 10 pairs belong together, which takes 12 of them",)


def test_the_same_pair_twice_and_saved_again(tmp_path: Path) -> None:
    for number in range(6):
        for side in "AB":
            picture(tmp_path / f"train{side}" / f"{number}.png", number + 50 * (side == "B"), size=(64, 64))
    for side in "AB":
        shutil.copy(tmp_path / f"train{side}" / "1.png", tmp_path / f"train{side}" / "again.png")
        saved = Image.open(tmp_path / f"train{side}" / "2.png")
        saved.save(tmp_path / f"train{side}" / "jpeg.jpg", quality=90)
    shutil.copy(tmp_path / "trainA" / "3.png", tmp_path / "trainA" / "other.png")
    picture(tmp_path / "trainB" / "other.png", 99, size=(64, 64))
    found = reported(looked_through(tmp_path))
    assert found.keys() == {"duplicates", "near-duplicates", "many-targets"}
    assert found["duplicates"] == ["trainA/again.png and trainB/again.png = trainA/1.png and trainB/1.png"]
    assert found["near-duplicates"] == ["trainA/jpeg.jpg and trainB/jpeg.jpg = trainA/2.png and trainB/2.png"]
    assert found["many-targets"] == ["trainA/3.png and trainB/3.png: 2 targets"]
    assert "near-duplicates" not in reported(looked_through(tmp_path, near_duplicates=False))


def test_sides_without_pairs(tmp_path: Path) -> None:
    for number in range(30):
        picture(tmp_path / "trainA" / f"a{number}.png", number)
        picture(tmp_path / "trainB" / f"b{number}.png", 100 + number)
    picture(tmp_path / "trainB" / "old.png", 7000, mode="L")
    picture(tmp_path / "trainB" / "sepia.png", 7001, mode="L")
    Image.open(tmp_path / "trainB" / "sepia.png").convert("RGB").save(tmp_path / "trainB" / "sepia.png")
    shutil.copy(tmp_path / "trainA" / "a3.png", tmp_path / "trainB" / "horse.png")
    for side, name in (("A", "a5"), ("B", "new")):
        source = tmp_path / f"train{side}" / f"{name}.png"
        target = tmp_path / f"test{side}" / f"{name}.png"
        target.parent.mkdir()
        shutil.copy(source, target) if source.exists() else picture(target, 8000)
    inspection = looked_through(tmp_path)
    assert inspection.read.kind == "unpaired"
    found = reported(inspection)
    assert found.keys() == {"copies", "both-sides", "gray"}
    assert found["copies"] == ["testA/a5.png = trainA/a5.png"]
    assert found["both-sides"] == ["trainA/a3.png = trainB/horse.png"]
    assert found["gray"] == ["trainB/old.png"]  # a black and white photo is one of the domain
    assert "2 gray" in inspection.text()


def test_classes_of_single_pictures(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / "train" / "summer" / f"{number}.png", number)
        picture(tmp_path / "train" / "winter" / f"{number}.png", 50 + number)
    picture(tmp_path / "train" / "spring" / "one.png", 99)
    shutil.copy(tmp_path / "train" / "summer" / "2.png", tmp_path / "train" / "winter" / "warm.png")
    inspection = looked_through(tmp_path)
    assert inspection.read.kind == "domains"
    assert inspection.suggestion.model == "stargan"
    assert reported(inspection) == {
        "contradictions": ["train/summer/2.png = train/winter/warm.png"],
        "small-classes": ["spring: train/spring/one.png"],
    }


def test_folders_of_files_of_the_same_names_may_be_pairs(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "phase" / f"{i}.png", 2 * i, mode="L")
        picture(tmp_path / "stain" / f"{i}.png", 2 * i + 1, mode="L")
    text = looked_through(tmp_path).text()
    assert f"if these are pairs, inspect --source {tmp_path}/phase --target {tmp_path}/stain" in text
    pairs = translate.inspect(source=tmp_path / "phase", target=tmp_path / "stain", try_steps=0)
    assert "method pix2pix: each source has its target\n" in pairs.text()  # gray: no word of sharper photos
    assert "gray" not in pairs.text()  # of one channel, which is said


LAYOUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "the same names": (("trainA/1.png", "trainB/1.png", "trainA/2.png", "trainB/2.png"), "pairs"),
    "a few same names": (("trainA/1.png", "trainB/1.png", *(f"train{s}/{s}{i}.png" for s in "AB" for i in range(9))),
                         "unpaired"),
    "other names": (("trainA/1.png", "trainB/2.png"), "unpaired"),
    "classes": (("summer/1.png", "winter/1.png"), "domains"),
    "one folder": (("1.png", "2.png"), "targets"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_kind_follows_from_the_layout(name: str, tmp_path: Path) -> None:
    files, kind = LAYOUTS[name]
    for number, file in enumerate(files):
        picture(tmp_path / file, number)
    assert kind_of(InspectedData.make({"data": tmp_path})) == kind


def test_wide_files_are_pairs_and_a_given_kind_counts(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", number, size=(48, 24))
    assert looked_through(tmp_path).read.kind == "pairs"
    assert looked_through(tmp_path, kind="targets").read.kind == "targets"
    assert looked_through(tmp_path, derive="gray", layout="single").read.kind == "pairs"


def test_the_files_that_are_written(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "<script>alert(1)</script>&amp;\x1b[2J.png"
    for side in "AB":
        shutil.copy(street / f"train{side}" / "0002.png", street / f"val{side}" / hostile.replace("/", "_"))
    names = {name: tmp_path / f"out.{name}" for name in ("json", "html")} | {"sheet": tmp_path / "sheet.png"}
    words = [word for name, path in names.items() for word in (f"--{name}", str(path))]
    assert main(["inspect", str(street), "--try-steps", "0", "--strict", *words]) == 1
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "in training too" in text
    found = json.loads(names["json"].read_text(encoding="utf-8"))
    assert found["splits"] == {"train": {"pairs": COUNT}, "val": {"pairs": 5}}
    assert found["sides"]["source"]["sizes"] == {"64x64": COUNT + 5}
    assert [finding["kind"] for finding in found["findings"]] == ["copies"]
    assert found["suggestion"]["argv"][:3] == ["translate", "train", "pix2pix"]
    assert found["trial"] is None
    page = names["html"].read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "Content-Security-Policy" in page
    assert 'src="http' not in page
    assert page.count("data:image/png;base64,") >= 3  # the sheet, and the pair with its copy
    with Image.open(names["sheet"]) as sheet:
        assert sheet.size == (4 + 6 * (64 + 4), 16 + 6 * (64 + 4) + 4)  # three pairs beside each other, six below


def test_strict_is_content_with_a_good_set(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--data", str(drawn), "--try-steps", "0", "--strict", "--no-check-pairs"]) == 0
    assert "nothing to correct" in capsys.readouterr().out


def test_a_finding_names_three_files_or_all(street: Path) -> None:
    for number in range(5):
        for side in "AB":
            shutil.copy(street / f"train{side}" / f"{number:04}.png", street / f"val{side}" / f"copy{number}.png")
    inspection = looked_through(street, check_pairs=False)
    assert inspection.text().count("valA/copy") == 3
    assert "and 2 more (--all)" in inspection.text()
    assert inspection.text(every=True).count("valA/copy") == 5


@pytest.mark.parametrize(
    ("kind", "model", "steps"),
    [
        ("targets", "dcgan", -(-COUNT * 200 // 64)),
        pytest.param("pairs", "pix2pix", COUNT * 200, marks=pytest.mark.slow),
    ],
)
def test_a_real_step_is_timed(kind: str, model: str, steps: int, drawn: Path) -> None:
    data = drawn if kind == "pairs" else drawn / "trainB"
    inspection = looked_through(data, kind=kind, size=32, try_steps=1, device="cpu", val_fraction=0)
    trial = inspection.trial
    assert isinstance(trial, Trial)
    assert (trial.model, trial.size, trial.device, trial.steps) == (model, "32", "cpu", 1)
    assert trial.total_steps == steps
    assert trial.seconds > 0
    assert trial.hours == pytest.approx(trial.seconds * steps / 3600)
    assert f"({steps:,} steps) take about" in inspection.text()
    assert inspection.as_json()["trial"]["total_steps"] == steps
    assert "--size" in inspection.suggestion.command


def test_a_trial_is_one_line() -> None:
    trial = Trial("pix2pix", "256", "cpu", 3, 0.7, 2.1, 80_000, 400, 200, "pairs")
    assert trial.describe() == (
        "a step of pix2pix at 256 takes 0.7 s and 2.1 GB here (cpu): 200 epochs of 400 pairs (80,000 steps) take "
        "about 16 h"
    )
    assert [duration(seconds) for seconds in (20, 300, 7_200, 600_000)] == ["20 s", "5 min", "2 h", "6.9 days"]


def test_steps_that_cannot_be_made_are_a_line(drawn: Path) -> None:
    inspection = looked_through(drawn, size=16, try_steps=1, device="cpu", check_pairs=False)
    assert "no step could be tried: --patch 70 needs pictures of at least 24 pixels" in inspection.text()
    assert inspection.as_json()["trial"]["failed"].startswith("no step could be tried")


REFUSED = {
    "--try-steps 0 --device cpu": "--device cpu changes nothing with --try-steps 0",
    "--try-steps 0 --rotate 5": "--rotate changes nothing with --try-steps 0",
    "--val-crop --fit none": "--val-crop is for validation",
    "--frobnicate 1": "--frobnicate",
    "--kind sideways": "--kind got",
    "--data elsewhere": "give the folder once",
    "--kind unpaired --derive gray": "--derive",
    "--kind unpaired --no-check-pairs": "--check-pairs is for pairs, and these pictures are unpaired",
    "--html . --try-steps 0": "--html .: this is a folder; give the file to write",
    "--html a.x": "--html got 'a.x': what is written there needs a name that ends in .html or .htm",
    "--layout nonsense": "--layout nonsense is not one of",
}


def test_what_only_a_command_has_is_refused_in_python(drawn: Path) -> None:
    with pytest.raises(ValueError, match="look at `findings`"):
        looked_through(drawn, strict=True)


@pytest.mark.parametrize("flags", REFUSED)
def test_flags_without_an_effect_are_refused(flags: str, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(drawn), *flags.split()]) == 2
    assert REFUSED[flags] in capsys.readouterr().err


def test_nothing_to_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert "no usable layout" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert main(["inspect"]) == 2


EXPECTED: dict[str, dict[str, int]] = {
    "facades": {},
    "maps": {},
    "horse2zebra": {"gray": 2},
    "openmoji": {"many-targets": 258},
}


LARGE = ("openmoji", "maps")  # a minute's work, and ten seconds'


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.exhaustive if n in LARGE else pytest.mark.slow) for n in EXPECTED]
)
def test_real_sets(name: str, shared_data: Path) -> None:
    inspection = looked_through(shared_data / name)
    assert {kind: len(files) for kind, files in reported(inspection).items()} == EXPECTED[name]
    if name == "openmoji":
        # 1,697 by their pixels: two of the 1,698 distinct files show the same
        assert "1,697 distinct sources of 3,408 pairs, in 1,698 distinct files" in inspection.text()


@pytest.mark.slow
def test_real_pairs_spoiled_on_purpose(shared_data: Path, tmp_path: Path) -> None:
    train, val = tmp_path / "train", tmp_path / "val"
    for folder, count in ((train, 100), (val, 10)):
        folder.mkdir()
        for path in sorted((shared_data / "facades" / folder.name).iterdir())[:count]:
            shutil.copy(path, folder)
    paths = sorted(train.iterdir())

    def pixels(index: int) -> np.ndarray:
        return np.array(Image.open(paths[index]))

    one, other = pixels(5), pixels(60)
    one[:, 256:], other[:, 256:] = other[:, 256:].copy(), one[:, 256:].copy()
    moved = pixels(33)
    moved[:, 256:] = np.roll(moved[:, 256:], 12, 1)
    for index, changed in ((5, one), (60, other), (33, moved)):
        Image.fromarray(changed).save(paths[index], quality=95)
    shutil.copy(paths[7], val / "copy.jpg")
    Image.open(paths[44]).convert("L").save(paths[44])
    paths[50].write_bytes(paths[50].read_bytes()[:9000])
    found = reported(looked_through(tmp_path))
    assert found.keys() == {"unreadable", "copies", "exchanged", "gray", "shifted"}
    assert found["exchanged"] == [f"train/{paths[5].name} <-> train/{paths[60].name}"]
    assert found["shifted"] == [f"train/{paths[33].name}: the target lies about 12 px to the right"]
