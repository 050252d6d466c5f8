"""Every odd and broken picture at hand, through a whole training and a whole conversion, as a user runs them."""

import csv

import pytest
from PIL import Image

from translate.cli import main


@pytest.fixture(scope="module")
def expected(shared_data):
    with (shared_data / "awkward" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory):
    """A run on the folder itself: colour from gray."""
    out = tmp_path_factory.mktemp("awkward") / "run"
    words = ["train", "pix2pix", "--data", shared_data / "awkward", "--derive", "gray", "--out", out]
    words += ["--size", "32", "--width", "4", "--discriminator-width", "4", "--patch", "16", "--steps", "4"]
    assert main([str(word) for word in words]) == 0
    return out


def fails(row):
    return row["expect"] == "must-fail"


def works(row):
    return row["expect"] in ("ok", "ok-first-frame")


def test_training_reports_by_name_and_goes_on(shared_data, expected, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "pix2pix", "--data", str(shared_data / "awkward"), "--derive", "edges", "--out", str(out)]
    words += ["--size", "32", "--width", "4", "--patch", "16", "--steps", "1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    reported = {name for name in expected if f"{name}: " in said}
    assert {name for name, row in expected.items() if fails(row)} <= reported
    assert not reported & {name for name, row in expected.items() if works(row)}
    assert (out / "model.safetensors").is_file()


def test_strict_training_stops(shared_data, tmp_path, capsys):
    words = ["train", "pix2pix", "--data", str(shared_data / "awkward"), "--derive", "gray", "--strict"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert ".jpg" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_conversion_does_what_the_manifest_says(run, shared_data, expected, tmp_path, capsys):
    code = main(["convert", str(run), str(shared_data / "awkward"), str(tmp_path / "out")])
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert code == 1  # since some must fail
    made = {path.name: path for path in (tmp_path / "out").glob("[!.]*")}
    for name, row in expected.items():
        if fails(row):
            assert name in said, f"{name} has to be named"
        elif works(row):
            # a type that we do not write becomes PNG, under its whole name where the stem alone is taken
            candidates = [name, f"{name}.png", f"{name.rsplit('.', 1)[0]}.png"]
            path = next((made[candidate] for candidate in candidates if candidate in made), None)
            assert path, f"{name} is missing among {sorted(made)}"
            with Image.open(path) as image:
                image.load()
                width, height = map(int, row["stored_size"].split("x"))
                turned = row["exif_orientation"] in ("5", "6", "7", "8")
                assert image.size == ((height, width) if turned else (width, height)), name
                assert image.getexif().get(0x0112, 1) == 1, name
        elif row["expect"] == "must-be-skipped":
            assert name not in made
    again = main(["convert", str(run), str(shared_data / "awkward"), str(tmp_path / "out")])
    assert again == 1
    assert "converted 0 pictures" in capsys.readouterr().out
