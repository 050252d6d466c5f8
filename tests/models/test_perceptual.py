"""The perceptual term of pix2pix and BicycleGAN: what it adds, what it leaves as it was, and what is refused."""

import copy
import sys
from typing import Any

import onnx
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from tests.models.test_models import small_model, small_settings, small_step, some_batch, some_conditions
from translate.images import ImageSpec
from translate.inference.translator import read_card
from translate.losses import perceptual
from translate.models import MODELS, build, deployed_state
from translate.networks import backbone
from translate.networks.backbone import PACKAGED, Backbone
from translate.training.job import new_job
from translate.training.run import train
from translate.training.session import Session

MODELS_WITH_TARGETS = ("pix2pix", "pix2pix label", "pix2pix text", "bicyclegan", "srresnet")
SHORT: dict[str, Any] = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "device": "cpu",
    "samples": 0,
    "steps": 2,
    "tensorboard": False,
}
CPU = torch.device("cpu")


def test_every_model_with_a_target_to_compare_with_has_the_term():
    assert {name for name, cls in MODELS.items() if cls.data == "pairs"} == {
        name.split()[0] for name in MODELS_WITH_TARGETS
    }
    for name, cls in MODELS.items():
        assert ("lambda_perceptual" in cls.settings_class.every_field()) == (cls.data == "pairs"), name


@pytest.mark.parametrize("name", MODELS_WITH_TARGETS)
def test_the_term_is_the_weighted_distance_of_features_and_else_nothing_changes(name):
    plain, model = small_model(name, dropout=0.0), small_model(name, dropout=0.0, lambda_perceptual=3.0)
    batch = some_batch(name)
    images = [m.generate(batch, ["generator"]) for m in (plain, model)]
    before, after = (m.objective("generator", batch, i)[0] for m, i in zip((plain, model), images, strict=True))
    fake = images[1]["fake"]
    expected = 3 * perceptual(Backbone().features(fake), Backbone().features(batch.target))
    assert after.pop("g_perceptual").item() == pytest.approx(expected.item(), rel=1e-5)
    assert {k: v.item() for k, v in after.items()} == {k: v.item() for k, v in before.items()}


@pytest.mark.parametrize("name", MODELS_WITH_TARGETS)
def test_the_model_holds_no_weight_of_the_backbone(name):
    plain, model = small_model(name), small_model(name, lambda_perceptual=3.0)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert deployed_state(model).keys() == deployed_state(plain).keys()
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("name", ["pix2pix", "bicyclegan"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_backbone_is_bit_for_bit_what_it_was_after_a_training(name, precision, fronts, tmp_path):
    network = Backbone()._network(CPU, torch.float32)
    before = copy.deepcopy(network.state_dict())
    train(name, data=fronts, out=tmp_path / "run", lambda_perceptual=10, precision=precision, **SHORT)
    assert Backbone()._network(CPU, torch.float32) is network
    assert not network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_some_depths_of_another_backbone_from_a_file(fronts, tmp_path, monkeypatch):
    """A run names its files in full, and the model that is passed on does not tell where they lie."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t").state_dict(), "weights.safetensors")
    chosen: dict[str, Any] = {
        "features": "resnet10t",
        "features_weights": "weights.safetensors",
        "features_depths": "1,2",
    }
    train("pix2pix", data=fronts, out="run", lambda_perceptual=1, **SHORT, **chosen)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert train(resume=tmp_path / "run", steps=3).finished
    card = read_card(tmp_path / "run")
    assert card.settings["features"] == "resnet10t"
    assert str(tmp_path) not in card.model_dump_json()


def test_without_the_extra_a_run_fails_in_one_line_before_anything_is_written(fronts, tmp_path, monkeypatch):
    run = train("pix2pix", data=fronts, out=tmp_path / "run", lambda_perceptual=1, **SHORT)
    monkeypatch.setattr(backbone, "_LOADED", {})
    monkeypatch.setitem(sys.modules, PACKAGED["tf_efficientnet_lite0"].package, None)
    with pytest.raises(ValueError, match=r'not installed: pip install "translate-gan\[features\]"') as raised:
        train("pix2pix", data=fronts, out=tmp_path / "other", lambda_perceptual=1, **SHORT)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(ValueError, match="not installed"):
        train(resume=run.path, steps=3)
    picture = torch.rand(3, 20, 24)
    assert run.load(device="cpu")(picture).shape == picture.shape  # a trained model does without


def test_a_trial_build_loads_nothing(monkeypatch):
    monkeypatch.setattr(backbone, "_LOADED", {})
    with torch.device("meta"):
        small_model("pix2pix", lambda_perceptual=1.0)
    assert not backbone._LOADED


@pytest.mark.parametrize("name", ["pix2pix", "bicyclegan"])
@pytest.mark.parametrize("channels", [2, 4])
def test_targets_that_it_cannot_see_are_refused_by_flag(name, channels):
    source, target = ImageSpec(channels=1), ImageSpec(channels=channels)
    settings, conditions = small_settings(name, lambda_perceptual=1.0), some_conditions(name)
    with pytest.raises(
        ValueError, match=rf"--lambda-perceptual: .*have {channels} channels: give --lambda-perceptual 0"
    ):
        build(name, settings, source=source, target=target, size=32, conditions=conditions)


def test_gray_targets_are_compared_too():
    model = build(
        "pix2pix",
        small_settings("pix2pix", lambda_perceptual=1.0),
        source=ImageSpec(channels=1),
        target=ImageSpec(channels=1),
        size=32,
    )
    batch = some_batch("pix2pix")
    batch = type(batch)({"source": batch.source, "target": batch.target[:, :1]})
    losses, _ = model.objective("generator", batch, model.generate(batch, ["generator"]))
    assert losses["g_perceptual"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "resnet18"}, "--features resnet18 changes nothing without --lambda-perceptual"),
        ({"features_weights": "x.pth"}, "--features-weights x.pth changes nothing without --lambda-perceptual"),
        ({"features_depths": "1"}, "--features-depths 1 changes nothing without --lambda-perceptual"),
        ({"features_size": 64}, "--features-size 64 changes nothing without --lambda-perceptual"),
        ({"lambda_perceptual": 1, "features_size": 8}, "--features-size got 8"),
        ({"lambda_perceptual": 1, "features_depths": "1,one"}, "--features-depths got '1,one'"),
        ({"lambda_perceptual": 1, "features_depths": "1,1"}, "--features-depths got '1,1'"),
        ({"lambda_perceptual": -1}, "--lambda-perceptual got -1"),
    ],
)
def test_settings_without_an_effect_or_a_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS["pix2pix"].settings_class.make(changes).refuse_unused()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features_depths": "1,5"}, "--features-depths 5: tf_efficientnet_lite0 has 5 feature maps, 0 to 4"),
        ({"features": "resnet19"}, 'timm has no model called "resnet19".*did you mean'),
        ({"features_weights": "no/such.pth"}, "no/such.pth: there is no such file"),
    ],
)
def test_what_only_the_backbone_knows_is_refused_before_anything_is_written(changes, message, fronts, tmp_path):
    with pytest.raises(ValueError, match=message):
        new_job("pix2pix", SHORT | {"data": fronts, "out": tmp_path / "run", "lambda_perceptual": 1} | changes)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_one_picture_by_the_term_alone_comes_near_its_target():
    changes = {"width": 16, "dropout": 0.0, "lambda_gan": 0.0, "lambda_l1": 0.0, "lambda_perceptual": 1.0, "lr": 2e-3}
    model, batch = small_model("pix2pix", **changes), some_batch("pix2pix", 1)
    step = small_step("pix2pix", model, **changes)
    history = [step(batch)["g_perceptual"].item() for _ in range(60)]
    assert history[-1] < 0.5 * history[0]


def test_the_averaged_weights_are_of_a_copy_that_shares_the_backbone(fronts, tmp_path):
    job = new_job("pix2pix", SHORT | {"data": fronts, "out": tmp_path / "run", "lambda_perceptual": 1})
    rgb = ImageSpec(channels=3)
    session = Session(job, source=rgb, target=rgb, examples=4, device=CPU)
    assert session.average is not None
    assert session.average.model.target_terms == session.model.target_terms
    state = session.state_dict()
    names = [*state["model"], *state["average"]["model"]]
    assert not any("blocks" in name or "conv_stem" in name for name in names)


def test_a_model_file_is_no_larger_for_it(fronts, tmp_path):
    runs = [
        train("pix2pix", data=fronts, out=tmp_path / str(weight), lambda_perceptual=weight, **SHORT)
        for weight in (0, 1)
    ]
    plain, sharp = (load_file(run.path / "model.safetensors") for run in runs)
    assert {k: v.shape for k, v in plain.items()} == {k: v.shape for k, v in sharp.items()}
    assert any(not torch.equal(plain[k], sharp[k]) for k in plain)


@pytest.mark.exhaustive
def test_the_exported_file_is_the_one_of_the_same_generator_without_the_term(fronts, tmp_path):
    graphs = []
    for weight in (0, 1):
        run = train("pix2pix", data=fronts, out=tmp_path / str(weight), lambda_perceptual=weight, **SHORT)
        run.load(device="cpu").export(tmp_path / f"{weight}.onnx")  # which compares it with PyTorch
        graph = onnx.load(tmp_path / f"{weight}.onnx").graph
        graphs.append(([node.op_type for node in graph.node], [tuple(i.dims) for i in graph.initializer]))
    assert graphs[0] == graphs[1]
