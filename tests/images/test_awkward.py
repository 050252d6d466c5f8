"""Every odd file does what its manifest says, in reading and on the way into a model."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from translate.images import ImageError, ImageSpec, is_image_name, read, to_spec

MANIFEST = Path(__file__).resolve().parents[3] / "shared" / "data" / "awkward" / "manifest.csv"
LINES = MANIFEST.read_text(encoding="utf-8").splitlines() if MANIFEST.is_file() else []
ROWS = list(csv.DictReader(LINES))
COLOUR = ImageSpec(channels=3)


def rows(*expectations: str) -> pytest.MarkDecorator:
    chosen = [row for row in ROWS if row["expect"] in expectations]
    names = [row["file"].encode("ascii", "replace").decode() for row in chosen]
    return pytest.mark.parametrize("row", chosen, ids=names)


@rows("ok", "ok-first-frame", "ok-or-skipped", "ok-or-clear-error")
def test_is_read_upright_at_its_depth(row: dict[str, str], awkward: Path) -> None:
    picture = read(awkward / row["file"])
    width, height = map(int, row["stored_size"].split("x"))
    if row["exif_orientation"] in ("5", "6", "7", "8"):
        width, height = height, width
    assert picture.pixels.shape[:2] == (height, width)
    assert picture.format == row["format"]
    assert picture.frames == int(row["frames"])
    assert picture.pixels.flags.writeable  # torch warns about arrays that are not
    deep = {"I;16": "uint16", "F": "float32"}.get(row["mode"], "uint16" if row["bit_depth"] == "16" else "uint8")
    assert picture.pixels.dtype == deep
    model = to_spec(picture, COLOUR, name=row["file"])
    assert model.shape == (height, width, 3)
    assert model.dtype == np.uint8


@rows("must-fail")
def test_fails_by_name(row: dict[str, str], awkward: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = awkward / row["file"]
    with pytest.raises(ImageError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert capfd.readouterr().err == ""


@rows("must-be-skipped")
def test_is_not_taken_for_a_picture(row: dict[str, str]) -> None:
    assert not is_image_name(row["file"])


@rows("ok-first-frame-or-fail")
def test_the_first_frame_is_whole(row: dict[str, str], awkward: Path) -> None:
    """Cut in a later frame: the first is the same as in an uncut decoder's eyes."""
    with Image.open(awkward / row["file"]) as image:
        expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(read(awkward / row["file"]).pixels, expected)


def test_all_expectations_are_tested(awkward: Path) -> None:
    tested = {"ok", "ok-first-frame", "ok-or-skipped", "ok-or-clear-error", "must-fail", "must-be-skipped"}
    assert {row["expect"] for row in ROWS} == tested | {"ok-first-frame-or-fail"}


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 6, 8])
def test_orientation(orientation: int, awkward: Path, reference: np.ndarray) -> None:
    pixels = read(awkward / f"exif_{orientation}.jpg").pixels
    error = np.abs(pixels.astype(int) - reference)
    assert error.mean() < 3  # JPEG's loss; every other orientation is above 20
    assert np.abs(pixels[::-1].astype(int) - reference).mean() > 20


@pytest.mark.parametrize("name", ["cmyk.jpg", "lossy.webp", "lzw.tif", "palette.png", "plain.jpg", "rgba.png"])
def test_colours(name: str, awkward: Path, reference: np.ndarray) -> None:
    error = np.abs(read(awkward / name).pixels.astype(int) - reference)
    assert error.mean() < 8


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif", "float32.tif", "rgb16.png"])
def test_values_are_those_of_the_file(name: str, awkward: Path) -> None:
    """As OpenCV has them, which is not how they are read here."""
    expected = cv2.imread(str(awkward / name), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    pixels = read(awkward / name).pixels
    assert pixels.dtype == expected.dtype != np.uint8
    np.testing.assert_array_equal(np.squeeze(pixels), expected if expected.ndim == 2 else expected[..., ::-1])


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif", "float32.tif"])
def test_deep_gray_is_neither_white_nor_black_for_a_model(name: str, awkward: Path, reference: np.ndarray) -> None:
    """What Pillow's own conversion makes of these files."""
    gray = np.array(Image.fromarray(reference).convert("L")).astype(int)
    found = to_spec(read(awkward / name), COLOUR, name=name)
    for channel in range(3):
        assert np.abs(found[..., channel] - gray).mean() < 8


def test_what_alpha_hides_is_never_seen(awkward: Path) -> None:
    picture = read(awkward / "rgba_hidden_magenta.png")
    assert picture.alpha is not None
    hidden = picture.alpha == 0
    assert hidden.any()
    assert (picture.pixels[hidden] == (255, 0, 255)).all()  # the file is what it says
    model = to_spec(picture, ImageSpec(channels=3, background=(10, 20, 30)), name="x")
    assert (model[hidden] == (10, 20, 30)).all()


def test_palette_is_kept_beside_the_colours(awkward: Path) -> None:
    picture = read(awkward / "palette.png")
    assert picture.palette is not None
    assert picture.palette.shape == (64, 3)
    used = {tuple(colour) for colour in picture.pixels.reshape(-1, 3)}
    assert used <= {tuple(colour) for colour in picture.palette}
