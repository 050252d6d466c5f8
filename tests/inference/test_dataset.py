"""The sources of a set that was trained on are converted, and a folder that looks like one is noted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.cli import main
from translate.images import luma
from translate.inference.translator import Translator

Make = Callable[..., Any]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def outputs(folder: Path) -> dict[str, np.ndarray]:
    return {path.relative_to(folder).as_posix(): pixels(path) for path in sorted(folder.rglob("[!.]*.png"))}


@pytest.fixture(scope="module")
def layouts(fronts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One set of pairs, A being the left halves, laid out in every way."""
    root = tmp_path_factory.mktemp("layouts")
    for split in ("train", "val", "test"):
        for path in sorted((fronts / split).glob("*.png")):
            pair = pixels(path)
            width = pair.shape[1] // 2
            for letter, side in (("A", pair[:, :width]), ("B", pair[:, width:])):
                for place in (f"named/{split}{letter}", f"inside/{split}/{letter}", f"sides/{letter}/{split}"):
                    (root / place).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(side).save(root / place / path.name)
    return {"side by side": fronts, **{name: root / name for name in ("named", "inside", "sides")}}


@pytest.mark.parametrize("layout", ["side by side", "named", "inside", "sides"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("split", ["val", "test", None])
def test_the_sources_of_a_set(
    inverter: Make,
    layouts: dict[str, Path],
    fronts: Path,
    tmp_path: Path,
    layout: str,
    direction: str,
    split: str | None,
) -> None:
    translator = Translator(inverter(run={"direction": direction}))
    report = translator.convert(None, tmp_path, data=str(layouts[layout]), split=split)
    files = sorted((fronts / (split or "val")).glob("*.png"))
    assert report.converted == len(files) == len(outputs(tmp_path))
    for path in files:
        both = pixels(path)
        half = both[:, : both.shape[1] // 2] if direction == "AtoB" else both[:, both.shape[1] // 2 :]
        assert np.array_equal(outputs(tmp_path)[path.name], 255 - half)
    assert translator.convert(None, tmp_path, data=str(layouts[layout]), split=split or "val").existing == len(files)


def test_validation_pictures_that_training_held_out(inverter: Make, fronts: Path, tmp_path: Path) -> None:
    shutil.copytree(fronts / "train", tmp_path / "set")
    report = Translator(inverter(run={"val_fraction": 0.3})).convert(None, tmp_path / "out", data=str(tmp_path / "set"))
    assert report.converted == len(outputs(tmp_path / "out")) == 4
    assert all(picture.shape == (32, 32, 3) for picture in outputs(tmp_path / "out").values())


def test_captioned_pairs_of_a_table(inverter: Make, captioned_fronts: Path, tmp_path: Path) -> None:
    report = Translator(inverter()).convert(None, tmp_path, data=str(captioned_fronts), split="val")
    assert report.converted == 4
    expected = {path.name: 255 - pixels(path) for path in (captioned_fronts / "val" / "labels").glob("*.png")}
    made = {Path(name).name: picture for name, picture in outputs(tmp_path).items()}
    assert made.keys() == expected.keys()
    assert all(np.array_equal(made[name], expected[name]) for name in expected)


def test_sources_that_are_derived(inverter: Make, fronts: Path, tmp_path: Path) -> None:
    run = {"derive": "gray", "layout": "single"}
    translator = Translator(inverter((1, "uint8"), (3, "uint8"), derive="gray", run=run))
    report = translator.convert(None, tmp_path, data=str(fronts))
    files = sorted((fronts / "val").glob("*.png"))
    assert report.converted == len(files)
    for path in files:
        made = outputs(tmp_path)[path.name].astype(int)
        assert np.abs(made[..., 0] - (255 - luma(pixels(path))[..., 0].astype(int))).max() <= 1


def test_what_is_not_there_is_said(inverter: Make, fronts: Path, tmp_path: Path) -> None:
    translator = Translator(inverter())
    shutil.copytree(fronts / "train", tmp_path / "set")
    with pytest.raises(ValueError, match=r"--data .*set has no pictures for --split test: there is train"):
        translator.convert(None, tmp_path / "out", data=str(tmp_path / "set"), split="test")
    with pytest.raises(ValueError, match="either a picture or folder to convert, or a set by --data"):
        translator.convert(fronts, tmp_path / "out", data=str(fronts))
    with pytest.raises(ValueError, match="either a picture or folder to convert, or a set by --data"):
        translator.convert(None, tmp_path / "out")
    with pytest.raises(ValueError, match="--split is for --data FOLDER"):
        translator.convert(fronts, tmp_path / "out", split="val")
    with pytest.raises(ValueError, match="no folder"):
        translator.convert(None, tmp_path / "out", data=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"would replace|is the input folder"):
        translator.convert(None, fronts / "val", data=str(fronts))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("layout", "inside", "split"),
    [
        ("side by side", "val", "val"),
        ("side by side", "", "val"),
        ("named", "", "val"),
        ("inside", "val", "val"),
        ("inside", "test", "test"),
        ("sides", "", "train"),
    ],
)
def test_a_folder_that_looks_like_a_set_is_told(
    inverter: Make, layouts: dict[str, Path], tmp_path: Path, layout: str, inside: str, split: str
) -> None:
    """With the command that converts the sources alone, which does."""
    folder = layouts[layout] / inside
    report = Translator(inverter()).convert(folder, tmp_path / "out")
    assert report.remark
    command = f"translate convert MODEL OUT --data {layouts[layout]} --split {split}"
    assert report.remark.endswith(command)
    assert command in report.summary()
    sources = Translator(inverter()).convert(None, tmp_path / "sources", data=str(layouts[layout]), split=split)
    assert sources.converted


@pytest.mark.parametrize("sizes", [[(32, 32), (64, 32)], [(96, 32), (96, 32)], [(40, 32), (20, 40)]])
def test_other_folders_are_not(inverter: Make, tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    (tmp_path / "in" / "B").mkdir(parents=True)
    for n, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / "in" / "B" / f"{n}.png")
    assert Translator(inverter()).convert(tmp_path / "in", tmp_path / "out").remark is None


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (300, 31), (7, 7)])
def test_the_shorter_side_is_brought_to_what_is_asked(inverter: Make, tmp_path: Path, size: tuple[int, int]) -> None:
    backend = inverter(scale=2)
    Image.new("RGBA", size, (9, 9, 9, 77)).save(tmp_path / "a.png")
    Translator(backend).convert(tmp_path / "a.png", tmp_path / "b.png", resize=20)
    factor = 20 / min(size)
    width, height = (round(side * factor) for side in size)
    assert backend.batches == [(1, height, width, 3)]
    assert pixels(tmp_path / "b.png").shape == (2 * height, 2 * width, 4)
    assert (pixels(tmp_path / "b.png")[..., 3] == 77).all()


def test_enlarging_is_limited_too(inverter: Make, tmp_path: Path) -> None:
    Image.new("RGB", (300, 3)).save(tmp_path / "a.png")
    report = Translator(inverter()).convert(tmp_path / "a.png", tmp_path / "b.png", resize=300, max_pixels=10_000)
    assert "--resize 300 would make it 30000x300 pixels, more than --max-pixels" in report.failures[0].reason


def test_pictures_far_larger_than_those_of_training_are_told(inverter: Make, tmp_path: Path) -> None:
    for name, size in (("small", (384, 900)), ("large", (400, 385))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")

    def notes(**options: Any) -> list[tuple[int, str]]:
        translator = Translator(inverter(run=options.pop("run", {})))
        report = translator.convert(tmp_path, tmp_path / "out", overwrite=True, **options)
        return [(note.count, note.first) for note in report.notes if "--resize 64" in note.text]

    assert notes() == [(1, "large.png")]
    assert notes(resize=100) == []
    assert notes(run={"fit": "none"}) == []


def test_by_the_command(fronts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = Path(__file__).parent / "frozen" / "0.1.0" / "model.safetensors"
    words = ["convert", str(frozen), str(tmp_path / "out"), "--data", str(fronts), "--split", "test", "--device", "cpu"]
    assert main(words) == 0
    assert len(outputs(tmp_path / "out")) == 3
    assert main(["convert", str(frozen), str(fronts / "val"), str(tmp_path / "whole"), "--device", "cpu"]) == 0
    assert f"--data {fronts} --split val" in capsys.readouterr().out
    assert main(["convert", str(frozen), "in", str(tmp_path / "out"), "--data", str(fronts)]) == 2
    assert "unexpected" in capsys.readouterr().err
