"""pix2pix conditioned by a frozen encoder of transformers: trained, resumed, and whole in its one file."""

import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

import translate
from tests.pretrained import write_encoder
from tests.training.test_every_model import fit_anew
from tests.training.test_run import assert_same, final_state
from translate.cli import main
from translate.images import read
from translate.training.run import train

pytest.importorskip("transformers")

WORDS = ("a", "with", "and", "under", "house", "roof", "door", "sky", "red", "green", "blue", "brick", "stone")
CHANGES = {"steps": 4, "validate_every": 2, "text_length": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"), WORDS, length=30)


@pytest.fixture(scope="module")
def whole(captioned_fronts, folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "whole"
    return fit_anew("pix2pix text", captioned_fronts, run, text_encoder=str(folder), **CHANGES).path


def frozen(state):
    """The frozen weights in the state dict of a model, by their names in the encoder."""
    return {key.partition(".frozen.")[2]: value for key, value in state.items() if ".frozen." in key}


def test_it_stays_as_it_was_read(whole, folder):
    before = load_file(folder / "model.safetensors")
    after = frozen(load_file(whole / "last.safetensors"))
    counted = after.keys() - before.keys()  # numbers of places, which every such encoder has
    assert counted == {"embeddings.position_ids", "embeddings.token_type_ids"}
    known = {key: after[key] for key in after.keys() - counted}
    assert len(known) > 10
    assert_same(known, {key: before[key] for key in known})


def test_resumed_equals_uninterrupted(captioned_fronts, folder, whole, tmp_path):
    fit_anew("pix2pix text", captioned_fronts, tmp_path / "run", text_encoder=str(folder), **CHANGES | {"steps": 2})
    halfway = final_state(tmp_path / "run")["model"]
    train(resume=tmp_path / "run", steps=4)
    resumed = final_state(tmp_path / "run")["model"]
    assert_same(frozen(resumed), frozen(final_state(whole)["model"]))
    trained = [key for key in resumed if ".project." in key]
    assert len(trained) == 4  # weight and bias, of the generator's and of the discriminator's
    assert not any(resumed[key].equal(halfway[key]) for key in trained)


@pytest.mark.exhaustive
def test_the_files_need_nothing_beside(captioned_fronts, tmp_path):
    """Not the folder that the encoder came from, nor for an exported file transformers."""
    folder = write_encoder(tmp_path / "encoder", WORDS, length=30)
    run = tmp_path / "run"
    fit_anew("pix2pix text", captioned_fronts, run, text_encoder=str(folder), **CHANGES)
    shutil.rmtree(folder)
    file = shutil.copy(run / "last.safetensors", tmp_path / "alone.safetensors")
    shutil.rmtree(run)
    t = translate.load(file, device="cpu")
    picture = read(sorted((captioned_fronts / "val").rglob("*.png"))[0]).pixels[..., :3]
    red, blue, again = (t(picture, text=text) for text in ("a red roof", "a blue roof", "a red roof"))
    assert np.array_equal(red, again)
    assert not np.array_equal(red, blue)
    for text in ("", "words nobody knows: žluťoučký kůň 馬", "a red roof and " * 100):
        assert t(picture, text=text).shape == red.shape
    pytest.importorskip("onnxruntime")
    assert main(["export", str(file), str(tmp_path / "m.onnx")]) == 0
    exported = translate.load(tmp_path / "m.onnx", device="cpu")
    for text, expected in (("a red roof", red), ("a blue roof", blue)):
        assert np.abs(exported(picture, text=text).astype(int) - expected).max() <= 1
