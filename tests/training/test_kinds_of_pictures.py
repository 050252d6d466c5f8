"""From files of every kind to a model and back to files of that kind."""

from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import translate
from translate.images import read
from translate.training.run import train

TINY: dict[str, Any] = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "steps": 3, "tensorboard": False}


def smooth(rng, channels):
    """Noise with structure, in 0..1."""
    coarse = rng.random((5, 5, channels))
    return np.kron(coarse, np.ones((8, 8, 1)))


def write_folders(root, *, make_source, make_target, suffix=".tif", count=5):
    rng = np.random.default_rng(0)
    for name, make in (("source", make_source), ("target", make_target)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            tifffile.imwrite(root / name / f"{i}{suffix}", make(rng))
    return {"source": root / "source", "target": root / "target"}


def twelve_bits(rng):
    return (smooth(rng, 1)[..., 0] * 4095).astype(np.uint16)


def test_twelve_bits_in_sixteen_keep_their_range(tmp_path):
    """Divided by 65535 they would be black: the range is taken from the data and stored with the model."""
    folders = write_folders(tmp_path, make_source=twelve_bits, make_target=twelve_bits)
    run = train("pix2pix", **TINY, **folders, out=tmp_path / "run")
    card = translate.load(run.path).card
    for spec in (card.source, card.target):
        assert (spec.channels, spec.dtype) == (1, "uint16")
        assert 0 <= spec.low < 500
        assert 3500 < spec.high <= 4095

    report = run.load().convert(folders["source"], tmp_path / "out")
    assert not report.failures
    made = read(tmp_path / "out" / "0.tif").pixels
    assert made.dtype == np.uint16
    assert made.shape == (40, 40, 1)
    assert card.target.low - 1 <= made.min() <= made.max() <= card.target.high + 1
    assert len(np.unique(made)) > 256


def test_a_stated_range_is_taken(tmp_path):
    folders = write_folders(tmp_path, make_source=twelve_bits, make_target=twelve_bits)
    run = train("pix2pix", **TINY, **folders, out=tmp_path / "run", source_range="0,4095", target_range="full")
    card = translate.load(run.path).card
    assert (card.source.low, card.source.high) == (0, 4095)
    assert (card.target.low, card.target.high) == (0, 65535)


def test_float_pictures_stay_in_their_own_units(tmp_path):
    def celsius(rng):
        return (smooth(rng, 1)[..., 0] * 60 - 20).astype(np.float32)

    folders = write_folders(tmp_path, make_source=twelve_bits, make_target=celsius)
    run = train("pix2pix", **TINY, **folders, out=tmp_path / "run")
    run.load().convert(folders["source"], tmp_path / "out")
    made = read(tmp_path / "out" / "0.tif").pixels
    assert made.dtype == np.float32
    assert -21 <= made.min() < made.max() <= 41


def test_what_was_not_measured_is_kept_out_and_stays_unknown(tmp_path):
    """Colour and depth to elevation, with gaps in either: each band by itself, and -9999 for what is not known."""

    def stack(rng):
        values = np.dstack([smooth(rng, 1) * 255, smooth(rng, 1) * 9000]).astype(np.float32)
        values[3:9, 4:12, 1] = -9999
        return values.transpose(2, 0, 1)

    def metres(rng):
        values = (smooth(rng, 1)[..., 0] * 300).astype(np.float32)
        values[20:30, 20:36] = -9999
        return values

    folders = write_folders(tmp_path, make_source=stack, make_target=metres)
    for path in folders["source"].iterdir():  # not as colour and alpha
        tifffile.imwrite(
            path, tifffile.imread(path).transpose(1, 2, 0), photometric="minisblack", planarconfig="contig"
        )
    nodata: dict[str, Any] = {"source_nodata": -9999, "target_nodata": "-9999", "source_range": "bands"}
    run = train("pix2pix", **TINY, **folders, **nodata, out=tmp_path / "run")
    card = translate.load(run.path).card
    assert card.source.nodata == card.target.nodata == -9999
    assert [high > 1000 for _, high in card.source.bands or ()] == [False, True]
    assert 0 <= card.target.low < card.target.high <= 300
    assert "-9999 is no data" in card.describe()
    report = run.load().convert(folders["source"], tmp_path / "out")
    assert not report.failures
    made = tifffile.imread(tmp_path / "out" / "0.tif")
    known = np.ones((40, 40), bool)
    known[3:9, 4:12] = False
    np.testing.assert_array_equal(made != -9999, known)


@pytest.mark.parametrize("bands", [2, 5])
def test_any_number_of_bands(tmp_path, bands):
    def stack(rng):
        return (smooth(rng, bands) * 255).astype(np.uint8)

    for name in ("source", "target"):
        (tmp_path / name).mkdir()
        rng = np.random.default_rng(0)
        for i in range(4):
            tifffile.imwrite(tmp_path / name / f"{i}.tif", stack(rng), photometric="minisblack", planarconfig="contig")
    run = train("pix2pix", **TINY, source=tmp_path / "source", target=tmp_path / "target", out=tmp_path / "run")
    run.load().convert(tmp_path / "source", tmp_path / "out")
    assert read(tmp_path / "out" / "0.tif").pixels.shape == (40, 40, bands)


def test_label_maps_come_back_in_their_palette(tmp_path):
    """Photo to label map, the map's palette found in the files, one colour ignored in the losses."""
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [10, 20, 250]], np.uint8)
    rng = np.random.default_rng(0)
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    for i in range(5):
        codes = np.kron(rng.integers(0, 4, (5, 5)), np.ones((9, 7), int))
        Image.fromarray(palette[codes]).save(tmp_path / "target" / f"{i}.png")
        noisy = palette[codes].astype(int) // 2 + rng.integers(0, 100, (*codes.shape, 3))
        Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / "source" / f"{i}.png")
    run = train(
        "pix2pix",
        **TINY,
        source=tmp_path / "source",
        target=tmp_path / "target",
        out=tmp_path / "run",
        target_kind="labels",
        target_one_hot=True,
        target_ignore="#000000",
    )
    spec = translate.load(run.path).card.target
    assert set(spec.palette or ()) == set(map(tuple, palette.tolist()))
    assert spec.network_channels == 4
    run.load().convert(tmp_path / "source", tmp_path / "out")
    made = np.asarray(Image.open(tmp_path / "out" / "0.png"))
    assert made.shape == (45, 35, 3)
    assert {tuple(colour) for colour in made.reshape(-1, 3).tolist()} <= set(spec.palette or ())


@pytest.mark.parametrize("derive", ["gray", "edges", "lowres", "holes", "blur", "noise"])
def test_one_folder_of_photos_is_enough(tmp_path, derive):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(5):
        Image.fromarray((smooth(rng, 3) * 255).astype(np.uint8)).save(tmp_path / "photos" / f"{i}.jpg")
    run = train("pix2pix", **TINY, data=tmp_path / "photos", derive=derive, out=tmp_path / "run")
    translator = run.load()
    assert translator.card.derive == derive
    report = translator.convert(tmp_path / "photos", tmp_path / "out", derive=True)
    assert not report.failures
    with Image.open(tmp_path / "out" / "0.jpg") as made:
        assert made.size == (40, 40)
        assert made.mode == "RGB"
    with Image.open(tmp_path / "photos" / "0.jpg") as photo:
        assert translator(photo).mode == "RGB"


def test_a_table_of_files(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file_name,target_file_name,label,text"]
    for i in range(6):
        for side in ("a", "b"):
            Image.fromarray((smooth(rng, 3) * 255).astype(np.uint8)).save(tmp_path / f"{side}{i}.png")
        rows.append(f'a{i}.png,b{i}.png,brick,"a house, number {i}"')
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    run = train("pix2pix", **TINY, data=tmp_path, out=tmp_path.parent / f"{tmp_path.name}-run")
    assert translate.load(run.path).card.data["train"] == 5
    assert translate.load(run.path).card.data["val"] == 1
