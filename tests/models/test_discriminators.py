"""Each discriminator in a training: what it sees, whom it trains, and what is refused before anything is read."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
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
from translate.batch import RawBatch
from translate.losses import all_fake, label_mask, label_mix, true_classes
from translate.models import build
from translate.networks import DISCRIMINATORS, Shown
from translate.training.folder import RunFolder
from translate.training.job import new_job
from translate.training.run import train

CPU = torch.device("cpu")
OWN: dict[str, dict[str, Any]] = {
    "multiscale": {"scales": 2},
    "projected": {"d_backbone_size": 64, "objective": "hinge"},
    "autoencoder": {"objective": "ebgan"},
}
"""Settings that a discriminator is tried with."""


def chosen(name, discriminator, **changes):
    fields = model_of(name).settings_class.every_field()
    patch = 16 if discriminator in ("patchgan", "multiscale") else fields["patch"].default
    return {"discriminator": discriminator, "pool": 0, "patch": patch, **OWN.get(discriminator, {}), **changes}


def ordinary_first(ordinary, cases):
    """Those that are not `ordinary` repeat what `test_combinations` tries in pairs, and are left to `make test-all`."""
    return [case if case in ordinary else pytest.param(*case, marks=pytest.mark.exhaustive) for case in cases]


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


NEEDS = {
    "pix2pix label": "projection",
    "pix2pix text": "projection",
    "stargan": "auxiliary",
    "dcgan label": "projection",
}
"""How the discriminator of a conditioned model uses the condition."""

ORDINARY = [*((name, each) for name in ("pix2pix", "cyclegan") for each in DISCRIMINATORS), ("bicyclegan", "segment")]
CASES = [
    (name, discriminator)
    for name in ("pix2pix", "cyclegan", "bicyclegan", "cut", *NEEDS)
    for discriminator, network in DISCRIMINATORS.items()
    if name not in NEEDS or NEEDS[name] in network.settings.code_uses
    if discriminator != "segment" or name in ("pix2pix", "bicyclegan")  # else it is refused
    if discriminator != "autoencoder" or name not in NEEDS
]
"""A model, maybe with a condition, and each discriminator that it may have."""


@pytest.mark.parametrize(("name", "discriminator"), ordinary_first(ORDINARY, CASES))
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
            if key.split(".")[0] in submodules and value.dim() > 1  # a critic's last bias has no gradient
        ]
        assert all(moved), player


@pytest.mark.parametrize("matching", ["mean", pytest.param("layers", marks=pytest.mark.slow)])
@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_features_of_every_discriminator_can_be_matched(discriminator, matching):
    changes = {"lambda_features": 10.0, "feature_matching": matching}
    model = made("pix2pix", discriminator, **changes)
    batch = batch_of("pix2pix", discriminator, model)
    losses, _ = model.objective("generator", batch, model.generate(batch, ["generator"]))
    assert losses["g_features"] > 0


@pytest.mark.parametrize(
    "discriminator", [name for name, made in DISCRIMINATORS.items() if "spectral_norm" in made.takes]
)
def test_weights_under_a_spectral_norm_are_clipped(discriminator):
    """Those that are trained, whatever the norm makes of them."""
    own = {} if discriminator in ("segment", "autoencoder") else {"objective": "wasserstein"}
    changes = {"penalty": "clip", "spectral_norm": True, "clip": 1e-3, **own}
    model = made("pix2pix", discriminator, **changes)
    step = small_step("pix2pix", model, **chosen("pix2pix", discriminator, **changes))
    out = step(batch_of("pix2pix", discriminator, model))
    assert out["d"].isfinite()
    trained = [weight for key, weight in model.discriminator.named_parameters() if key.endswith("original")]
    assert trained
    assert all(weight.abs().max() <= 1e-3 for weight in trained)


@pytest.mark.parametrize("discriminator", slow_but(["segment"], DISCRIMINATORS))
def test_a_step_never_waits_for_the_host(discriminator):
    changes = chosen("pix2pix", discriminator)
    pure_run("pix2pix", {"source": LABELS} if discriminator == "segment" else None, **changes)


@pytest.mark.exhaustive
@pytest.mark.parametrize("discriminator", ["unet", "segment"])
def test_a_discriminator_is_one_graph(discriminator):
    model = made("pix2pix", discriminator)
    batch = batch_of("pix2pix", discriminator, model)
    images = model.generate(batch, ["discriminator"])
    before = copy.deepcopy(model.state_dict())
    expected = model.objective("discriminator", batch, images)[0]["d"]
    model.load_state_dict(before)  # of the spectral norms, too
    whole = torch.compile(model.objective, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(whole("discriminator", batch, images)[0]["d"], expected)


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
    assert real.shape == (2, len(LABELS.palette or ()) + 1, SIZE, SIZE)
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


SHORT: dict[str, Any] = {"size": 32, "width": 4, "discriminator_width": 4, "steps": 1, "device": "cpu", "samples": 0}


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
            "--discriminator projected cannot use a label or text by concat.*--label-loss projection or inner or aux",
        ),
        (
            "pix2pix",
            {"objective": "began", "condition": "label"},
            "--discriminator autoencoder .* cannot use a label or text by projection.*--label-loss concat",
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


def write_backbone(name, file):
    torch.manual_seed(0)
    with torch.device("cpu"):
        save_file(timm.create_model(name).state_dict(), file)
    return str(file)


FILE = "weights.safetensors"
RUNS: dict[str, dict[str, Any]] = {
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
