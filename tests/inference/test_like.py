"""One more like this picture: the code that a file's encoder reads, and files that have none."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import translate
from translate.batch import normalize
from translate.card import Card
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.inference.record import RECORD
from translate.inference.requests import between
from translate.inference.sample import SampleSettings, draw_code, write_samples
from translate.models import build
from translate.models.bicyclegan import BicycleGANSettings
from translate.models.dcgan import DCGANSettings
from translate.training.folder import save_model

RGB = ImageSpec(channels=3)
SIZE = 16


def saved(path: Path, name: str = "bicyclegan", **changes) -> Path:
    """A small file whose weights make outputs differ."""
    cls = {"bicyclegan": BicycleGANSettings, "dcgan": DCGANSettings}[name]
    own = {"patch": 16} if name == "bicyclegan" else {}
    settings = cls.make({"width": 4, "discriminator_width": 4, "z": 3, **own, **changes})
    source = RGB if name == "bicyclegan" else None
    needs = settings.data_needs if name == "dcgan" else None
    conditions = Conditions(z=3) if needs is None else Conditions(z=needs.z, codes=needs.codes)
    torch.manual_seed(0)
    model = build(name, settings, source=source, target=RGB, size=SIZE, conditions=conditions)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.15)
    card = Card(
        **{"model": name, "settings": settings.as_json(), "source": source, "target": RGB, "size": SIZE},
        **{"inputs": model.inputs, "conditions": conditions},
    )
    save_model(path, model.eval(), card)
    return path


def pictures(count: int, size: int = SIZE) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size, size, 3)).astype(np.uint8) // (i + 1) for i in range(count)]


@pytest.fixture(scope="module")
def bicycle(tmp_path_factory):
    path = saved(tmp_path_factory.mktemp("like") / "b.safetensors", encoder_width=4)
    return translate.load(path, device="cpu")


@pytest.fixture(scope="module")
def inverting(tmp_path_factory):
    path = saved(tmp_path_factory.mktemp("like") / "d.safetensors", "dcgan", invert=True, encoder_width=4)
    return translate.load(path, device="cpu")


def test_the_style_of_a_picture_is_the_mean_of_its_code(bicycle):
    source, style, other = pictures(3)
    network = bicycle.backend._network
    with torch.no_grad():
        mean, _ = network.encoder(normalize(torch.from_numpy(style)[None], RGB)).chunk(2, 1)
    code = bicycle.code_of(style)
    assert np.allclose(code, mean[0].numpy(), atol=1e-6)
    made = bicycle(source, like=style)
    assert np.array_equal(made, bicycle(source, z=code))
    assert not np.array_equal(made, bicycle(source, like=other))
    one, two = bicycle([source, source], like=[style, other])
    assert np.array_equal(one, made)
    assert np.array_equal(two, bicycle(source, like=other))
    assert np.array_equal(pickle.loads(pickle.dumps(bicycle))(source, like=style), made)
    grid = bicycle.grid([source], like=style)
    assert grid.size[0] > SIZE


def test_pictures_of_other_sizes_and_kinds_are_brought_to_the_models(bicycle, tmp_path):
    style = pictures(1, 2 * SIZE)[0]
    small = np.asarray(Image.fromarray(style).resize((SIZE, SIZE), Image.Resampling.BOX))
    assert np.abs(bicycle.code_of(style) - bicycle.code_of(small)).max() < 0.05
    Image.fromarray(style).save(tmp_path / "s.png")
    assert np.array_equal(bicycle.code_of(tmp_path / "s.png"), bicycle.code_of(style))
    gray = style[..., 0]
    assert np.array_equal(bicycle.code_of(gray), bicycle.code_of(np.stack([gray] * 3, 2)))  # as files are
    with pytest.raises(ValueError, match="picture: 5 channels, the model takes 3"):
        bicycle.code_of(np.zeros((SIZE, SIZE, 5), np.uint8))
    with pytest.raises(ValueError, match="like: cannot take a int"):
        bicycle(style, like=3)
    with pytest.raises(ValueError, match=r"no\.png"):
        bicycle(style, like=tmp_path / "no.png")
    for name, given in (("z", np.zeros(3)), ("seed", 1), ("samples", 2)):
        with pytest.raises(ValueError, match=f"like and {name}: .* leave out {name}"):
            bicycle(style, like=style, **{name: given})
    with pytest.raises(ValueError, match="like: a list of pictures is for a list of pictures"):
        bicycle(style, like=[style, style])


def test_a_folder_in_the_style_of_a_picture(bicycle, tmp_path):
    (tmp_path / "in").mkdir()
    one, other, style, style2 = pictures(4)
    for name, pixels in (("a", one), ("b", other)):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    for name, pixels in (("style", style), ("style2", style2)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    report = bicycle.convert(tmp_path / "in", tmp_path / "out", like=tmp_path / "style.png")
    assert report.converted == 2
    for name, pixels in (("a", one), ("b", other)):
        made = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        assert np.array_equal(made, bicycle(pixels, like=style))
    line = json.loads((tmp_path / "out" / RECORD).read_text().splitlines()[0])
    assert line["settings"]["like"] == pytest.approx(bicycle.code_of(style).tolist())
    assert bicycle.convert(tmp_path / "in", tmp_path / "out", like=tmp_path / "style.png").existing == 2
    again = bicycle.convert(tmp_path / "in", tmp_path / "out", like=tmp_path / "style2.png", update=True)
    assert again.converted == 2
    for options in ({"seed": 1}, {"samples": 2}, {"interpolate": 3, "seed": 0, "seed_to": 1}):
        with pytest.raises(ValueError, match=r"--like takes the code of a picture, and --.* others"):
            bicycle.convert(tmp_path / "in", tmp_path / "out", like=tmp_path / "style.png", **options)


def test_more_pictures_like_one(inverting, tmp_path):
    (picture,) = pictures(1)
    code = inverting.code_of(picture)
    assert code.shape == (3,)
    made = [np.asarray(one) for one in inverting.sample(4, seed=2, like=picture, near=0.4)]
    assert np.array_equal(made[0], np.asarray(inverting.sample(1, z=code)[0]))
    nearby = between(code, draw_code(3, 2, 2), 0.4)
    assert np.array_equal(made[1], np.asarray(inverting.sample(1, z=nearby)[0]))
    alike = [np.asarray(one) for one in inverting.sample(2, like=picture, near=0.0)]
    assert np.array_equal(alike[0], alike[1])
    Image.fromarray(picture).save(tmp_path / "p.png")
    settings = SampleSettings.make({"count": 2, "seed": 2, "like": str(tmp_path / "p.png"), "near": "0.4"})
    write_samples(inverting, tmp_path / "out", settings)
    for number in (1, 2):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / f"000{number}.png")), made[number - 1])
    with pytest.raises(ValueError, match="--near is for --like"):
        SampleSettings.make({"near": 0.5})
    with pytest.raises(ValueError, match="near is for like"):
        inverting.sample(1, near=0.5)
    with pytest.raises(ValueError, match="near is a share from 0 to 1"):
        inverting.sample(1, like=picture, near=2)
    with pytest.raises(ValueError, match="z and like"):
        inverting.sample(1, like=picture, z=code)


def test_files_without_an_encoder_load_and_say_so(bicycle, tmp_path):
    """As earlier versions wrote them."""
    path = saved(tmp_path / "b.safetensors", encoder_width=4)
    tensors = load_file(path)
    assert any(name.startswith("encoder.") for name in tensors)
    kept = {name: value for name, value in tensors.items() if not name.startswith("encoder.")}
    save_file(kept, tmp_path / "old.safetensors", metadata=bicycle.card.to_metadata())
    old = translate.load(tmp_path / "old.safetensors", device="cpu")
    source, style = pictures(2)
    assert np.array_equal(old(source, seed=1), bicycle(source, seed=1))
    with pytest.raises(ValueError, match=r"^like: .*old.safetensors has no encoder, which reads the code .*--resume"):
        old(source, like=style)
    part = {name: value for name, value in tensors.items() if name != "encoder.last.bias"}
    save_file(part, tmp_path / "part.safetensors", metadata=bicycle.card.to_metadata())
    with pytest.raises(ValueError, match=r"encoder.last.bias is missing"):
        translate.load(tmp_path / "part.safetensors", device="cpu")


def test_models_that_read_no_code_say_so(tmp_path):
    from tests.conditioned import SHIFTED, save_conditioned

    plain = translate.load(saved(tmp_path / "d.safetensors", "dcgan"), device="cpu")
    (picture,) = pictures(1)
    with pytest.raises(ValueError, match=r"like: .* has no encoder.* train dcgan with --invert"):
        plain.sample(1, like=picture)
    Image.fromarray(picture).save(tmp_path / "p.png")
    with pytest.raises(ValueError, match=r"^--like: .* has no encoder"):
        write_samples(plain, tmp_path / "out", SampleSettings(like=tmp_path / "p.png"))
    path = save_conditioned(tmp_path / "s.safetensors", Conditions(labels=("a", "b")))
    other = translate.load(path, allow=SHIFTED, device="cpu")
    with pytest.raises(ValueError, match=r"like: .* has no code that could be read off a picture: bicyclegan has one"):
        other(picture, like=picture)


@pytest.mark.slow
def test_an_exported_file_takes_the_code_that_the_model_read(inverting, tmp_path):
    pytest.importorskip("onnxruntime")
    inverting.export(tmp_path / "m.onnx")
    exported = translate.load(tmp_path / "m.onnx", device="cpu")
    (picture,) = pictures(1)
    with pytest.raises(ValueError, match=r"like: an exported file has no encoder: .*code_of"):
        exported.sample(1, like=picture)
    made = exported.sample(1, z=inverting.code_of(picture))[0]
    assert np.abs(np.asarray(made).astype(int) - np.asarray(inverting.sample(1, like=picture)[0])).max() <= 1
