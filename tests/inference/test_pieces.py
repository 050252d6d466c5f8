"""Only what does not fit goes through in pieces, unless a size is given; and the report says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.card import Card, Footprint
from translate.cli import main
from translate.inference.backend import NO_CONDITIONS, Condition
from translate.inference.options import LoadSettings
from translate.inference.pieces import fits, free_bytes
from translate.inference.translator import Translator, load

MakeCard = Callable[..., Card]
SMALL = Footprint(stride=4, radius=0, statistics=False)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 310, 3), dtype=np.uint8)


def test_auto_takes_the_largest_tiles_that_fit(inverter: Callable[..., Any], picture: np.ndarray) -> None:
    backend = inverter(fits=20_000, footprint=SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the pixels are those of the whole
        assert np.array_equal(Translator(backend)(picture), 255 - picture)
    assert list(dict.fromkeys(shape[1:3] for shape in backend.batches)) == [(300, 310), (256, 256), (128, 128)]


def test_auto_leaves_what_fits_alone(inverter: Callable[..., Any], picture: np.ndarray) -> None:
    backend = inverter(footprint=SMALL)
    Translator(backend)([picture, picture])
    assert [shape[1:] for shape in backend.batches] == [picture.shape] * len(backend.batches)


def test_none_never_cuts(inverter: Callable[..., Any], picture: np.ndarray) -> None:
    with pytest.raises(MemoryError, match="310x300 pixels do not fit in the memory of cpu"):
        Translator(inverter(fits=20_000), tile=None)(picture)


def test_what_does_not_fit_in_pieces_either(inverter: Callable[..., Any], picture: np.ndarray) -> None:
    with pytest.raises(MemoryError, match="310x300 pixels do not fit on cpu in pieces either: 128x128 pixels do not"):
        Translator(inverter(fits=100))(picture)


def test_a_size_cuts_all_that_is_larger(inverter: Callable[..., Any], picture: np.ndarray) -> None:
    backend = inverter(footprint=SMALL)
    translator = Translator(backend, tile=100)
    assert np.array_equal(translator(picture), 255 - picture)
    assert {shape[1:3] for shape in backend.batches} == {(100, 100)}
    backend.batches.clear()
    translator(picture[:100, :90])
    assert backend.batches == [(1, 100, 90, 3)]


def test_pictures_that_would_not_fit_are_not_tried(inverter: Callable[..., Any]) -> None:
    """By what a pixel takes, and what is free; where nobody knows either, they are."""
    free = free_bytes("cpu")
    greedy = inverter(footprint=SMALL.model_copy(update={"pixel_bytes": 1e9}))
    assert fits(inverter(), 5000, 5000)
    assert fits(greedy, 1000, 1000)  # so small that nobody asks
    assert fits(greedy, 1100, 1000) == (free is None)
    assert fits(inverter(footprint=SMALL.model_copy(update={"pixel_bytes": 1.0})), 1100, 1000)
    if free is not None:
        assert 2**20 < free < 2**50
        picture = np.zeros((1100, 1000, 3), np.uint8)
        assert (Translator(greedy)(picture) == 255).all()
        assert {shape[1:3] for shape in greedy.batches} == {(1024, 1000)}


def test_the_report_tells(inverter: Callable[..., Any], tmp_path: Path, picture: np.ndarray) -> None:
    """Of which pictures, and how; once for all that are alike."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        Image.fromarray(picture).save(tmp_path / "in" / f"{name}.png")
    Image.fromarray(picture[:50]).resize((40, 50)).save(tmp_path / "in" / "small.png")
    report = Translator(inverter(footprint=SMALL), tile=128).convert(tmp_path / "in", tmp_path / "out")
    (note,) = report.notes
    assert (note.count, note.first) == (2, "a.png")
    assert note.text.startswith("translated in tiles of 128 pixels that overlap by 0, which is all that a pixel")
    assert report.converted == 3
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), 255 - picture)
    unknown = Translator(inverter(), tile=128).convert(tmp_path / "in", tmp_path / "again")
    assert "blended: where two overlap they are under 0.1 levels of 255 apart (2 pictures" in unknown.summary()


class Levelled:
    """A backend that brings the mean of what it gets to the middle: of one shade all tiles come out alike."""

    device = "cpu"

    def __init__(self, card: Card) -> None:
        self.card = card

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        return (images - images.mean((1, 2, 3), keepdims=True) + 128).clip(0, 255).astype(np.uint8)


def test_the_report_tells_pictures_of_one_pass_apart(card: MakeCard, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for step in (0, 100):
        picture = np.full((200, 200, 3), 60, np.uint8)
        picture[:, 100:] += np.uint8(step)
        Image.fromarray(picture).save(tmp_path / "in" / f"{step}.png")
    report = Translator(Levelled(card()), tile=128, batch=2).convert(tmp_path / "in", tmp_path / "out")
    assert sorted((note.count, note.first, "under 0.1" in note.text) for note in report.notes) == [
        (1, "0.png", True),
        (1, "100.png", False),
    ]


def test_a_warning_is_at_who_called(card: MakeCard, picture: np.ndarray) -> None:
    """Once for pictures that are alike."""
    with pytest.warns(UserWarning, match="translated in tiles of 128 pixels") as caught:
        Translator(Levelled(card()), tile=128, batch=2)([picture, picture])
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_pictures_that_fit_alone_only_go_one_by_one(
    inverter: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.inference.pieces.free_bytes", lambda device: 4_000_000)
    backend = inverter(footprint=SMALL.model_copy(update={"pixel_bytes": 1.0}))
    made = Translator(backend, batch=3)([np.full((1100, 1000, 3), shade, np.uint8) for shade in (0, 1, 2)])
    assert [picture.max() for picture in made] == [255, 254, 253]
    assert backend.batches == [(1, 1100, 1000, 3)] * 3


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ("banana", "--tile got 'banana': give auto, none, or a number of pixels like 512"),
        ("atuo", '(did you mean "auto"?)'),
        ("-5", "give auto, none, or a number of pixels"),
        ("51.5", "give auto, none, or a number of pixels"),
        ("10", "--tile 10: tiles of this network have 128 pixels a side at least"),
        ("200", "--tile 200: this network is cut at every 64 pixels: use 192 or 256"),
    ],
)
def test_wrong_sizes_are_one_line_before_anything_is_done(
    tile: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], inverter: Callable[..., Any]
) -> None:
    if tile.isdecimal():
        with pytest.raises(ValueError, match=message.split(":")[0]) as caught:
            Translator(inverter(), tile=int(tile))
        assert str(caught.value) == message
        return
    (tmp_path / "a.png").write_bytes(b"")
    assert main(["convert", str(tmp_path), str(tmp_path / "a.png"), str(tmp_path / "out"), f"--tile={tile}"]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    with pytest.raises(ValueError, match="give auto, none"):
        load(tmp_path, tile=tile)  # type: ignore[arg-type]


def test_help_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--help-all"]) == 0
    assert "--tile auto|INT" in capsys.readouterr().out


@pytest.mark.parametrize(("word", "tile"), [("auto", "auto"), ("none", None), (None, None), ("512", 512), (512, 512)])
def test_sizes_are_words_or_numbers(word: object, tile: object) -> None:
    assert LoadSettings.make({"tile": word}).tile == tile
    assert LoadSettings.make({}).tile == "auto"
