"""Sizes as people write them, and as files keep them."""

import json
from pathlib import Path
from typing import Any

import pytest

from translate.card import Card
from translate.cli import main
from translate.config import read_config
from translate.images import ImageSpec
from translate.settings import DataSettings
from translate.sizes import Size

RECTANGLE = (64, 256)
GRAY = ImageSpec(channels=1)


@pytest.mark.parametrize("field", ["size", "load_size"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *((text, RECTANGLE) for text in ("64x256", "64X256", "64×256", "64*256", " 64 x 256 ")),
        *((pair, RECTANGLE) for pair in ([64, 256], (64, 256), [64.0, 256.0], Size(64, 256))),
        *((square, (256, 256)) for square in (256, "256", 256.0, [256, 256], "256x256")),
    ],
    ids=str,
)
def test_one_number_is_a_square_and_two_are_height_and_width(field: str, given: Any, expected: tuple[int, int]) -> None:
    settings = DataSettings.make({"data": "x", "size": 16, field: given})
    kept = getattr(settings, field)
    assert (kept, kept.height, kept.width) == (expected, *expected)
    assert settings.as_json()[field] == list(expected)
    assert getattr(DataSettings.make(settings.as_json()), field) == kept


@pytest.mark.parametrize("field", ["size", "load_size"])
@pytest.mark.parametrize(
    "given",
    [
        *("64x", "x64", "0x5", "5x0", "-3", "64,256", "64x256x3", "64 256", "64.5", "big", "9" * 12),
        *(0, -3, 64.5, float("inf"), True, [64], [64, 2, 3], [64, "x"], [64, True], [1.5, 2], {"height": 64}),
    ],
    ids=lambda given: str(given)[:20],
)
def test_what_is_no_size_is_one_line_that_says_how(field: str, given: Any) -> None:
    with pytest.raises(ValueError, match="HEIGHTxWIDTH, as 64x256") as caught:
        DataSettings.make({"data": "x", field: given})
    assert str(caught.value).startswith(f"--{field.replace('_', '-')} got ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
@pytest.mark.parametrize(("written", "expected"), [("[64, 256]", (64, 256)), ('"64x256"', (64, 256)), ("64", (64, 64))])
def test_a_configuration_may_hold_a_list_a_text_or_a_number(
    name: str, written: str, expected: tuple[int, int], tmp_path: Path
) -> None:
    text = f"size = {written}\nload-size = {written}" if name == "a.toml" else f'{{"size": {written}}}'
    (tmp_path / name).write_text(text)
    _, values = read_config(tmp_path / name)
    assert DataSettings.make({"data": "x", **values}).size == expected


def test_each_side_is_resized_by_the_published_factor() -> None:
    assert DataSettings.make({"data": "x"}).resize_to == (286, 286)
    assert DataSettings.make({"data": "x", "size": "64x256"}).resize_to == (72, 286)
    assert DataSettings.make({"data": "x", "size": "64x256", "load_size": "64x300"}).resize_to == (64, 300)
    for load_size in ("60x300", "300x60", 200):
        with pytest.raises(ValueError, match=r"--load-size .* is smaller than --size 64x256"):
            DataSettings.make({"data": "x", "size": "64x256", "load_size": load_size})


@pytest.mark.parametrize(
    ("kept", "size", "told"), [(32, (32, 32), "at 32 pixels"), ([8, 32], (8, 32), "at 8x32 pixels (")]
)
def test_cards_keep_both_sides_and_read_the_one_number_of_before(kept: Any, size: tuple[int, int], told: str) -> None:
    card = Card(model="pix2pix", source=GRAY, target=GRAY, size=Size.of(kept), run={"size": kept, "load_size": None})
    (text,) = card.to_metadata().values()
    assert json.loads(text)["size"] == list(size)
    read = Card.from_metadata({"translate": json.dumps(json.loads(text) | {"size": kept})}, path="x")
    assert read.size == size
    assert told in read.describe()
    assert f"size {'x'.join(map(str, kept)) if isinstance(kept, list) else kept}" in read.describe()
    for wrong in ("8x", 0, [8, 0], None):
        with pytest.raises(ValueError, match=r"x\.onnx: damaged description: .*HEIGHTxWIDTH"):
            Card.from_metadata({"translate": json.dumps(json.loads(text) | {"size": wrong})}, path="x.onnx")


def test_help_says_what_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cyclegan", "--help-all"]) == 0
    text = capsys.readouterr().out
    assert "--size HEIGHTxWIDTH" in text
    assert "--load-size HEIGHTxWIDTH" in text
