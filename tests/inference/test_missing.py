"""Conversion of pictures in which something was not measured: in pieces, in one pass, and around the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from translate.card import Card, Footprint
from translate.images import ImageSpec, missing, put_missing, to_spec
from translate.images.picture import ImageError, Picture
from translate.images.sheet import displayable
from translate.inference.input_checks import input_checks
from translate.inference.tiles import translate_tiles
from translate.inference.torch_backend import TorchBackend
from translate.inference.translator import Translator
from translate.networks import ResNet

LARGEST = float(np.finfo(np.float32).max)
METRES = {"dtype": "float32", "low": -50.0, "high": 300.0}
RNG = np.random.default_rng(0)


def card(source: dict[str, Any], target: dict[str, Any]) -> Card:
    specs = [ImageSpec(**{"channels": 1, **METRES, **values}) for values in (source, target)]
    return Card(model="pix2pix", source=specs[0], target=specs[1], size=32)


def backend(card: Card) -> TorchBackend:
    torch.manual_seed(0)
    network = ResNet(card.source.channels, card.target.channels, size=32, width=4, depth=1, blocks=1)
    return TorchBackend(card, network, device=torch.device("cpu"))


def with_holes(spec: ImageSpec, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture `[H, W, C]`, and where it has no data, `[H, W]`."""
    values = spec.lows + RNG.random((height, width, spec.channels)) * spec.spans
    hole = RNG.random((height, width)) < 0.2
    hole[: height // 3, : width // 2] = True
    band = hole[..., None] & (np.arange(spec.channels) == spec.channels - 1)  # of one band alone: enough
    pixels = values.astype(np.float32)
    return put_missing(pixels, missing=band, nodata=spec.nodata), hole


KINDS = {
    "a number": (-9999.0, -9999.0),
    "gaps": ("nan", "nan"),
    "gaps become a number": ("nan", -LARGEST),
    "the largest number": (-LARGEST, LARGEST),
    "zero": (0.0, 0.0),
}


@pytest.mark.parametrize(("source", "target"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("way", ["whole", "strips", "tiles"])
def test_no_data_becomes_no_data_and_nothing_else_does(
    way: str, source: Any, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backend(card({"channels": 2, "nodata": source}, {"nodata": target}))
    image, hole = with_holes(model.card.taken, 70, 90)
    if way == "whole":
        made = model(image[None])[0]
    elif way == "strips":
        assert model.strips.stages is not None
        made = model.strips(image, rows=16)
    else:
        blended = translate_tiles(model, image, tile=64, footprint=Footprint(stride=4, radius=None, statistics=True))
        assert blended.difference is not None
        assert np.isfinite(blended.difference)
        made = blended.pixels
    np.testing.assert_array_equal(missing(made, target)[..., 0], hole)
    assert ((made[~hole] >= -50) & (made[~hole] <= 300)).all()
    if way == "strips":
        np.testing.assert_allclose(made[~hole], model(image[None])[0][~hole], atol=0.05)


def test_what_lies_in_the_holes_makes_no_difference_but_is_the_networks_middle() -> None:
    model = backend(card({"nodata": -9999.0}, {}))  # and no value for it in the target
    image, hole = with_holes(model.card.taken, 40, 40)
    plain = backend(card({}, {}))
    expected = plain(np.where(hole[..., None], np.float32(125), image)[None])  # between -50 and 300
    np.testing.assert_allclose(model(image[None]), expected, atol=1e-3)


def test_cards_say_nothing_of_what_is_not_there_and_keep_what_is() -> None:
    """So that versions that know neither a value for no data nor ranges by band can read them."""
    plain = card({}, {})
    assert not {"nodata", "bands"} & plain.source.model_dump(mode="json").keys()
    bands = {"channels": 2, "low": -50.0, "high": 9000.0, "bands": ((-50.0, 300.0), (0.0, 9000.0))}
    for source in ({"nodata": "nan"}, {"nodata": -LARGEST}, {"nodata": 0}, bands):
        kept = card(source, {"nodata": -9999})
        assert Card.from_metadata(kept.to_metadata(), path="x") == kept
    for wrong in ({"bands": ((0.0, 1.0),), "channels": 2}, {"nodata": float("inf")}, {"bands": ((0.0, 1.0),)}):
        with pytest.raises(ValueError, match=r"channels|finite|outermost"):
            card(wrong, {})


def test_a_page_shows_no_data_as_the_middle() -> None:
    both = card({"channels": 3, "nodata": "nan"}, {})
    image, hole = with_holes(both.taken, 8, 9)
    assert (displayable(image, both.taken)[hole][:, 2] == 128).all()


def test_a_dark_pixel_of_eight_bits_does_not_become_no_data() -> None:
    eight = {"dtype": "uint8", "low": 0.0, "high": 255.0, "nodata": 0.0}
    both = card(eight, eight)
    black = TorchBackend(both, torch.nn.Hardtanh(-1.0, -1.0 + 1e-6), device=torch.device("cpu"))
    image = np.full((1, 4, 5, 1), 9, np.uint8)
    image[0, 0] = 0
    np.testing.assert_array_equal(black(image)[0, :, 0, 0], [0, 1, 1, 1])


def test_pictures_are_taken_and_given_in_any_kind(tmp_path: Path) -> None:
    translator = Translator(backend(card({"nodata": "nan"}, {"nodata": "nan"})))
    image, hole = with_holes(translator.card.taken, 32, 40)
    for given in (image, torch.from_numpy(image).permute(2, 0, 1)):
        made = translator(given)
        values = made if isinstance(made, np.ndarray) else made.permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(np.isnan(values[..., 0]), hole)
    tifffile.imwrite(tmp_path / "a.tif", image)
    np.testing.assert_array_equal(np.isnan(np.asarray(translator(tmp_path / "a.tif"))), hole)
    report = translator.convert(tmp_path / "a.tif", tmp_path / "b.tif")
    assert not report.failures
    np.testing.assert_array_equal(np.isnan(tifffile.imread(tmp_path / "b.tif")), hole)
    stack, holes = with_holes(ImageSpec(channels=4, **METRES, nodata=-9999.0), 32, 40)
    four = Translator(backend(card({"channels": 4, "nodata": -9999.0}, {"nodata": 0.0})))
    tifffile.imwrite(tmp_path / "four.tif", stack, photometric="rgb", extrasamples=["unassalpha"])
    expected = four.backend(stack[None])[0]
    np.testing.assert_array_equal(expected[..., 0] == 0, holes)
    np.testing.assert_array_equal(four(stack), expected)  # bands are bands, whatever a file calls the last
    np.testing.assert_array_equal(np.asarray(four(tmp_path / "four.tif")), expected[..., 0])
    knows_none = Translator(backend(card({}, {})))
    for value in (image, tmp_path / "a.tif"):
        with pytest.raises(ValueError, match="not finite"):
            knows_none(value)


def test_no_data_is_no_value_beyond_the_range() -> None:
    values = np.full((16, 16, 1), -9999, np.float32)
    assert input_checks(values, card({"nodata": -9999.0}, {})) == ()
    assert "beyond -50 to 300" in input_checks(values, card({}, {}))[0]
    bands = {"channels": 2, "low": -50.0, "high": 9000.0, "bands": ((-50.0, 300.0), (0.0, 9000.0))}
    both = np.dstack([values * 0 + 200, values * 0 + 8000])
    assert input_checks(both, card(bands, {})) == ()
    assert "beyond -50 to 300, 0 to 9000" in input_checks(both[..., ::-1], card(bands, {}))[0]


def test_no_data_survives_other_channels_and_is_never_made_by_them() -> None:
    """Colour becomes gray by a sum of the three, and transparency lays them on white."""
    colours = RNG.uniform(0, 300, (8, 9, 3)).astype(np.float32)
    colours[2, 3], colours[5, 6, 1] = -9999, -9999
    colours[4, 4] = 125  # whose gray is 125
    alpha = np.ones((8, 9), np.float32)
    for nodata, holes in ((-9999.0, {(2, 3), (5, 6)}), (125.0, {(4, 4)})):
        for picture in (Picture(colours, None, "TIFF"), Picture(colours, alpha, "TIFF")):
            gray = to_spec(picture, ImageSpec(channels=1, **METRES, nodata=nodata), name="x")
            assert {tuple(place) for place in np.argwhere(missing(gray, nodata)[..., 0]).tolist()} == holes
    eight = Picture(np.zeros((2, 2, 1), np.uint8), None, "PNG")
    with pytest.raises(ImageError, match=r"x: is 8-bit, the model was trained on 16-bit values .* with 0 as no data"):
        to_spec(eight, ImageSpec(channels=1, dtype="uint16", high=65535, nodata=0), name="x")
