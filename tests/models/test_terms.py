"""Style, focal frequency and content in the models: what they add, what they do not see, and what is refused."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.models.test_models import small_model, small_settings, some_batch, some_conditions
from translate.evaluation.features import other_than, trained_on
from translate.images import ImageSpec
from translate.losses import focal_frequency, perceptual, style
from translate.models import MODELS, build
from translate.networks import backbone
from translate.networks.backbone import PACKAGED, Backbone
from translate.training.job import new_job

PAIRED = [name for name, cls in MODELS.items() if cls.data == "pairs"]
UNPAIRED = [name for name, cls in MODELS.items() if cls.data in ("unpaired", "domains")]
LITE0, LITE1 = PACKAGED


def generator_terms(model, batch):
    images = model.generate(batch, ["generator"])
    return images, model.objective("generator", batch, images)[0]


@pytest.mark.parametrize("name", PAIRED)
def test_style_and_frequency_are_added_to_paired_models_and_else_nothing_changes(name):
    changes = {"lambda_style": 3.0, "lambda_frequency": 2.0, "frequency_alpha": 0.5}
    plain, model = (small_model(name, dropout=0.0, **more) for more in ({}, changes))
    batch = some_batch(name)
    _, before = generator_terms(plain, batch)
    images, after = generator_terms(model, batch)
    features = [Backbone().features(picture) for picture in (images["fake"], batch.target)]
    assert after.pop("g_style").item() == pytest.approx(3 * style(*features).item(), rel=1e-5)
    expected = 2 * focal_frequency(images["fake"], batch.target, alpha=0.5).item()
    assert after.pop("g_frequency").item() == pytest.approx(expected, rel=1e-5)
    assert {k: v.item() for k, v in after.items()} == {k: v.item() for k, v in before.items()}


@pytest.mark.parametrize("name", PAIRED)
def test_pixels_that_do_not_count_change_no_term(name):
    """Where the target is unknown the fake is the target, so that what it was there is never seen."""
    model = small_model(name, dropout=0.0, lambda_perceptual=1.0, lambda_style=1.0, lambda_frequency=1.0)
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[:, :, :, 16:] = False
    images, losses = generator_terms(model, some_batch(name, valid=valid))
    assert torch.equal(images["fake"][..., 16:], some_batch(name).target[..., 16:])
    assert all(losses[f"g_{term}"] > 0 for term in ("perceptual", "style", "frequency"))
    nothing = torch.zeros_like(valid)
    _, losses = generator_terms(model, some_batch(name, valid=nothing))
    for term in ("perceptual", "style", "frequency"):
        assert losses[f"g_{term}"].item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("name", UNPAIRED)
def test_content_is_the_distance_of_an_output_to_its_source_both_ways(name):
    plain, model = (small_model(name, dropout=0.0, **more) for more in ({}, {"lambda_content": 3.0}))
    batch = some_batch(name)
    _, before = generator_terms(plain, batch)
    images, after = generator_terms(model, batch)
    source = images.get("translated", batch.source)
    pairs = {"g_content": (images["fake"], source)}
    if "fake_back" in images:
        pairs["g_content_back"] = (images["fake_back"], batch.target)
    for term, (fake, picture) in pairs.items():
        expected = 3 * perceptual(*(Backbone().features(p) for p in (fake, picture))).item()
        assert after.pop(term).item() == pytest.approx(expected, rel=1e-5)
    assert {k: v.item() for k, v in after.items()} == {k: v.item() for k, v in before.items()}


def test_a_mirrored_output_is_compared_with_the_mirrored_source():
    model = small_model("fastcut", lambda_content=1.0)
    batch = some_batch("fastcut", 4)
    batch.draws["mirrored"].copy_(torch.tensor([0.1, 0.9, 0.2, 0.8]))
    seen = model.generate(batch, ["generator"])["translated"]
    assert torch.equal(seen[0], batch.source[0].flip(-1))
    assert torch.equal(seen[1], batch.source[1])


@pytest.mark.parametrize("name", UNPAIRED)
def test_the_content_term_is_a_setting_of_all_models_without_pairs_and_style_of_all_with(name):
    assert "lambda_content" in MODELS[name].settings_class.model_fields
    assert "lambda_style" not in MODELS[name].settings_class.model_fields


@pytest.mark.parametrize(
    ("name", "weight"),
    [("pix2pix", "lambda_style"), ("bicyclegan", "lambda_style"), ("cyclegan", "lambda_content")]
    + [(name, "lambda_content") for name in ("cut", "stargan")],
)
def test_pictures_that_the_features_are_not_of_are_refused_by_flag(name, weight):
    spec, term = ImageSpec(channels=4), f"--{weight.replace('_', '-')}"
    settings, conditions = small_settings(name, **{weight: 1.0}), some_conditions(name)
    with pytest.raises(ValueError, match=rf"{term}: .*have 4 channels: give {term} 0"):
        build(name, settings, source=spec, target=spec, size=32, conditions=conditions)


def test_frequencies_are_compared_of_any_number_of_channels():
    spec = ImageSpec(channels=5)
    settings = small_settings("srresnet", lambda_frequency=1.0)
    model = build("srresnet", settings, source=spec, target=spec, size=32)
    assert model.target_terms(torch.zeros(1, 5, 8, 8), torch.ones(1, 5, 8, 8))["g_frequency"] > 0


@pytest.mark.parametrize(("name", "weight"), [("pix2pix", "lambda_style"), ("cut", "lambda_content")])
def test_missing_weights_are_found_before_anything_is_written(name, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(backbone, "_LOADED", {})
    monkeypatch.setitem(__import__("sys").modules, PACKAGED[LITE0].package, None)
    with pytest.raises(ValueError, match="weights of tf_efficientnet_lite0 are not installed"):
        new_job(name, {"data": tmp_path, "out": tmp_path / "run", "size": 32, "patch": 16, weight: 1})
    assert not any(tmp_path.iterdir())


def test_settings_of_terms_that_are_off_are_refused():
    for name, changes, message in (
        ("pix2pix", {"features": "resnet18"}, "--features resnet18 changes nothing without --lambda-perceptual or --l"),
        ("cut", {"features": "resnet18"}, "--features resnet18 changes nothing without --lambda-content"),
        ("pix2pix", {"frequency_alpha": 2.0}, "--frequency-alpha 2.0 changes nothing without --lambda-frequency"),
    ):
        with pytest.raises(ValueError, match=message):
            MODELS[name].settings_class.make(changes).refuse_unused()
    MODELS["pix2pix"].settings_class.make({"lambda_style": 1, "features": "resnet18"}).refuse_unused()


def test_no_model_is_judged_by_a_network_that_it_trains_on():
    for name, changes in (
        ("pix2pix", {"lambda_perceptual": 1}),
        ("pix2pix", {"lambda_style": 1}),
        ("srresnet", {"lambda_style": 1}),
        ("cyclegan", {"lambda_content": 1}),
        ("stargan", {"lambda_content": 1}),
    ):
        assert trained_on(small_settings(name, **changes)) == (LITE0,), name
        assert trained_on(small_settings(name)) == ()
    assert trained_on(small_settings("cut", lambda_content=1, features=LITE1)) == (LITE1,)
    assert trained_on(small_settings("pix2pix", lambda_frequency=1)) == ()
    projected: Any = SimpleNamespace(d_backbone=LITE1)
    assert trained_on(projected) == (LITE1,)
    both: Any = SimpleNamespace(d_backbone=LITE0, lambda_content=1.0, features=LITE1)
    assert other_than(trained_on(both)) is None
    assert other_than((LITE0,)) == LITE1
    assert other_than((LITE1, "resnet18")) == LITE0


@pytest.mark.parametrize("name", ["pix2pix", "pix2pix label", "bicyclegan", "cyclegan", "stargan"])
def test_a_generator_with_noise_planes_is_trained_on_other_noise_each_time(name):
    model, batch = small_model(name, noise_planes=2, dropout=0.0), some_batch(name, 1)
    one, other = (model.generate(batch, ["generator"])["fake"] for _ in range(2))
    assert not torch.equal(one, other)
    inputs = {key: batch.condition[key] for key in model.inputs if key != "image"}
    model.eval()
    assert torch.equal(model(batch.source, **inputs), model(batch.source, **inputs))
    assert all(p.requires_grad for p in model.generator.parameters())


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_noise_planes_are_refused_where_patches_are_compared_by_the_generator(name):
    with pytest.raises(ValueError, match=r"--noise-planes got 2: patches are compared by the generator's encoder"):
        small_settings(name, noise_planes=2)
