"""Recipes: what they set, what overrides them, for which models they are, and where their name stands."""

import json

import pytest
import torch
from safetensors.torch import load_file

import translate
from tests.training.test_run import final_state
from translate.cli import main
from translate.config import read_config
from translate.models import MODELS
from translate.recipes import RECIPES, versioned, with_recipe
from translate.settings import DataSettings, RunSettings
from translate.training.job import new_job
from translate.training.run import fit

SHORT = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "device": "cpu",
    "samples": 0,
    "log_every": 1,
    "tensorboard": False,
}


def test_a_name_without_a_version_is_the_newest():
    assert versioned("sharp") == max((n for n in RECIPES if n.startswith("sharp-")), key=lambda n: int(n.split("-")[1]))
    assert versioned("published-1") == "published-1"


@pytest.mark.parametrize("name", ["shrap", "sharp-99", "none", "sharp-", ""])
def test_an_unknown_recipe_is_one_clear_line(name, fronts, tmp_path):
    with pytest.raises(ValueError, match=r"no recipe is called|needs a value|must be"):
        new_job("pix2pix", SHORT | {"data": fronts, "out": tmp_path / "run", "recipe": name})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_what_its_models_have_and_nothing_else(name, tmp_path):
    for model, values in RECIPES[name].settings.items():
        fields = {**MODELS[model].settings_class.every_field(), **RunSettings.model_fields, **DataSettings.model_fields}
        assert values.keys() <= fields.keys()
        assert all(value != fields[key].default for key, value in values.items()), "what is a default need not be said"


@pytest.mark.parametrize("name", MODELS)
def test_published_is_the_default_and_changes_nothing(name):
    own = {"srresnet": {"size": 96, "fit": "none"}}.get(name, {})  # of the data, which all models share
    for values in ({}, {"lr": 1}, {"recipe": "published"}, {"recipe": "published-1", "lr": 1}):
        assert with_recipe(name, values) == {**own, **values}
    assert RunSettings().recipe == "published-1"


def test_published_settings_are_the_models_own(fronts, tmp_path):
    job = new_job("pix2pix", {"data": fronts, "out": tmp_path / "run", "recipe": "published"})
    assert job.science == MODELS["pix2pix"].settings_class.make({})
    assert job.run.best == "auto"


@pytest.mark.parametrize("name", [name for name in MODELS if name != "pix2pix"])
def test_a_model_without_the_recipe_says_so(name, tmp_path):
    with pytest.raises(ValueError, match=rf"--recipe sharp-1 is for pix2pix, and has nothing for {name}"):
        new_job(name, {"data": tmp_path, "recipe": "sharp"})


def test_flags_and_files_override_a_recipe(fronts, tmp_path):
    values = SHORT | {"data": fronts, "recipe": "sharp", "lambda_l1": 7, "best": "ssim"}
    job = new_job("pix2pix", values | {"out": tmp_path / "run"})
    assert (job.science.lambda_l1, job.run.best) == (7, "ssim")
    assert job.science.objective == RECIPES["sharp-1"].of("pix2pix")["objective"]
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({"model": "pix2pix", "settings": {"recipe": "sharp", "lambda-l1": 9}}))
    model, read = read_config(config)
    assert model == "pix2pix"
    assert new_job(model, {**read, "data": fronts, "out": tmp_path / "run"}).science.lambda_l1 == 9


@pytest.fixture(scope="module")
def sharp(fronts, tmp_path_factory):
    """A run by `sharp` in which the averaged weights are neither the best nor better than the raw ones."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("sharp") / "run"
    values = SHORT | {"data": fronts, "out": out, "recipe": "sharp", "lambda_l1": 12, "steps": 6, "validate_every": 1}
    run = fit(new_job("pix2pix", values), say=said.append)
    return run, said


def test_the_run_the_file_and_info_name_recipe_version_and_changes(sharp, capsys):
    run, _ = sharp
    assert json.loads((run.path / "config.json").read_text())["settings"]["recipe"] == "sharp-1"
    card = translate.load(run.path).card
    assert card.run["recipe"] == "sharp-1"
    assert main(["info", str(run.path)]) == 0
    assert "recipe     sharp-1, but for lambda_l1 12.0\n" in capsys.readouterr().out


def test_under_sharp_the_newest_averaged_weights_are_the_models(sharp):
    run, said = sharp
    average = final_state(run.path)["average"]["model"]
    for file in ("model.safetensors", "last.safetensors"):
        saved = load_file(run.path / file)
        assert saved.keys() == average.keys()
        assert all(torch.equal(saved[key], average[key]) for key in saved)
    card = translate.load(run.path).card
    assert (card.step, card.weights) == (6, "averaged")
    assert sum("(averaged weights, kept as the newest: --best last)" in line for line in said) == 6


def test_a_runs_own_configuration_starts_the_same_run_anew(sharp, fronts, tmp_path):
    run, _ = sharp
    model, values = read_config(run.path / "config.json")
    assert model == "pix2pix"
    job = new_job(model, {**values, "data": fronts, "out": tmp_path / "again"})
    assert job.run.recipe == "sharp-1"
    assert job.science.lambda_l1 == 12


def test_a_run_from_before_there_were_recipes_goes_on(fronts, tmp_path):
    values = SHORT | {"data": fronts, "out": tmp_path / "run", "steps": 2}
    run = fit(new_job("pix2pix", values))
    config = json.loads((run.path / "config.json").read_text())
    del config["settings"]["recipe"]
    for name in ("lambda_perceptual", "features", "features_weights", "features_depths"):
        del config["settings"][name]
    (run.path / "config.json").write_text(json.dumps(config))
    assert translate.train(resume=run.path, steps=3).finished


def test_a_recipe_does_not_change_when_a_run_goes_on(sharp):
    run, _ = sharp
    with pytest.raises(ValueError, match="--recipe cannot change when a run is resumed"):
        translate.train(resume=run.path, recipe="published", steps=9)


def test_models_lists_the_recipes_with_what_they_give(capsys):
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        assert f"{name.ljust(14)} {recipe.summary}" in text


def test_help_shows_the_defaults_of_the_recipe_that_is_asked_for(capsys):
    assert main(["train", "pix2pix", "--recipe", "sharp", "--help-all"]) == 0
    sharp = capsys.readouterr().out
    assert main(["train", "pix2pix", "--help-all"]) == 0
    published = capsys.readouterr().out
    assert "[vanilla]" in published
    assert "[lsgan]" in sharp
    assert sharp != published
