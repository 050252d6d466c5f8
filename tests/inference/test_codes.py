"""InfoGAN's codes of a file: set, swept, and kept by an export."""

import numpy as np
import pytest
from PIL import Image

import translate
from tests.inference.test_like import saved
from tests.inference.test_sample import cell
from translate.card import Card
from translate.inference.sample import SampleSettings, draw_code, write_samples


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    path = saved(tmp_path_factory.mktemp("codes") / "m.safetensors", "dcgan", info_categorical="4,2", info_continuous=1)
    return translate.load(path, device="cpu")


def test_a_set_code_is_put_into_the_noise(coded):
    conditions = coded.card.conditions
    assert conditions.z == 3 + 4 + 2 + 1
    assert conditions.describe() == (
        "z of 10 numbers, with a categorical code of 4 values, a categorical code of 2 values, 1 continuous code"
    )
    made = coded.sample(2, seed=1, code=[2, None, 0.5])
    for number, picture in enumerate(made, 1):
        z = conditions.codes.put(draw_code(10, 1, number), [2, None, 0.5])
        assert np.array_equal(np.asarray(picture), np.asarray(coded.sample(1, z=z)[0]))
    one, two = (np.asarray(coded.sample(1, code=value)[0]) for value in (0, 3))
    assert not np.array_equal(one, two)
    with pytest.raises(ValueError, match=r"^code: value 1 is a whole number from 0 to 3, not 4"):
        coded.sample(1, code=4)
    with pytest.raises(ValueError, match="z and code"):
        coded.sample(1, code=1, z=np.zeros(10))


def test_a_sheet_for_each_code_goes_through_its_values(coded, tmp_path):
    settings = SampleSettings.make({"count": 1, "code": "3,any,-1", "sweep": True})
    paths = write_samples(coded, tmp_path, settings)
    assert [path.name for path in paths] == ["0001.png", "sweep-1.png", "sweep-2.png", "sweep-3.png"]
    first = np.asarray(coded.sample(1, code=[3, None, -1])[0])
    assert np.array_equal(np.asarray(Image.open(paths[0])), first)
    sheets = [Image.open(path).copy() for path in paths[1:]]
    assert np.array_equal(cell(sheets[0], 3), first)
    assert np.array_equal(cell(sheets[2], 0), first)
    codes = coded.card.conditions.codes
    for row in (0, 2):
        z = codes.put(draw_code(10, 0, row + 1), [1, None, -1])
        assert np.array_equal(cell(sheets[0], 1, row), np.asarray(coded.sample(1, z=z)[0]))
    assert [sheet.size[0] // 20 for sheet in sheets] == [4, 2, 9]


def test_models_without_codes_say_so(tmp_path):
    plain = translate.load(saved(tmp_path / "d.safetensors", "dcgan"), device="cpu")
    with pytest.raises(ValueError, match=r"^--code: this model has no codes of its own: train with --info-categorical"):
        write_samples(plain, tmp_path / "out", SampleSettings(code="1"))
    with pytest.raises(ValueError, match="--sweep: this model has no codes to go through"):
        write_samples(plain, tmp_path / "out", SampleSettings(sweep=True))
    with pytest.raises(ValueError, match="--code got '1;2': give numbers with commas"):
        SampleSettings.make({"code": "1;2"})


def test_a_description_whose_codes_are_longer_than_the_noise_is_damaged(coded):
    (text,) = coded.card.to_metadata().values()
    damaged = text.replace('"z":10', '"z":8')
    assert damaged != text
    with pytest.raises(ValueError, match=r"damaged description.*codes of 7 numbers, and z has"):
        Card.from_metadata({"translate": damaged.replace('"z":8', '"z":5')}, path="x")


@pytest.mark.slow
def test_an_exported_file_has_the_same_codes(coded, tmp_path):
    pytest.importorskip("onnxruntime")
    coded.export(tmp_path / "m.onnx")
    exported = translate.load(tmp_path / "m.onnx", device="cpu")
    for value in range(4):
        one, other = (np.asarray(t.sample(1, code=[value, 1, 0.5])[0]).astype(int) for t in (coded, exported))
        assert np.abs(one - other).max() <= 1
