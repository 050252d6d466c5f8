"""Conditioned models: the losses of each use of a condition, and the weights that their gradients reach."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.models.test_models import conditions_for, small_model, small_settings, small_step, some_batch
from translate.losses import OBJECTIVES
from translate.models import MODELS, model_class
from translate.models.conditioning import without_condition
from translate.networks.discriminator import Shown


@pytest.mark.parametrize("way", ["projection", "auxiliary", "concat"])
@pytest.mark.parametrize("condition", ["label", "text"])
def test_the_discriminator_sees_the_condition_in_every_way(way, condition):
    name = f"pix2pix {condition}"
    if (way, condition) == ("auxiliary", "text"):
        with pytest.raises(ValueError, match="--label-loss auxiliary predicts labels"):
            small_settings(name, label_loss=way)
        return
    changes = {"label_loss": way, "drop_condition": 0.0, "dropout": 0.0}
    model, batch = small_model(name, **changes), some_batch(name, **changes)
    values = small_step(name, model, **changes)(batch)
    assert all(value.isfinite() for value in values.values())
    assert ("d_class" in values) == ("g_class" in values) == (way == "auxiliary")
    assert ("d_wrong" in values) == (condition == "text")
    one = model.objective("generator", batch, model.generate(batch, ["generator"]))[0]
    key = "label" if condition == "label" else "tokens"
    other = some_batch(name, **changes)
    other.condition[key] = batch.condition[f"wrong_{key}"]
    torch.manual_seed(0)
    images = model.generate(batch, ["generator"])
    same, changed = (model.objective("generator", b, images)[0] for b in (batch, other))
    term = "g_class" if way == "auxiliary" else "g_gan"
    assert same[term] != changed[term]
    assert one.keys() == same.keys()


def test_each_player_reads_with_an_encoder_of_its_own():
    model = small_model("pix2pix text")
    assert model.players == {
        "discriminator": ("discriminator", "judge_encoder"),
        "generator": ("generator", "encoder", "augmentation"),
    }
    assert model.deployed == ("generator", "encoder", "augmentation")
    assert small_model("pix2pix").players == MODELS["pix2pix"].players


def test_the_cost_of_a_wrong_text_is_that_of_a_fake():
    """GAN-CLS on the discriminator's logits, by hand: halves as published, the two fakes sharing one."""
    name, changes = "pix2pix text", {"drop_condition": 0.0, "norm": "instance", "dropout": 0.0}
    model, batch = small_model(name, **changes).eval(), some_batch(name, **changes)
    images = model.generate(batch, ["generator"])
    cost = model.objective("discriminator", batch, images)[0]["d"]
    right, wrong = (model.judge_encoder({"tokens": batch.condition[key]}) for key in ("tokens", "wrong_tokens"))
    scored = [
        model.discriminator(Shown(picture, batch.source, code))[0][0].logits
        for picture, code in ((batch.target, right), (batch.target, wrong), (images["fake"], right))
    ]
    bce = F.binary_cross_entropy_with_logits
    real, fakes = bce(scored[0], torch.ones_like(scored[0])), [bce(x, torch.zeros_like(x)) for x in scored[1:]]
    torch.testing.assert_close(cost, 0.5 * (real + 0.5 * (fakes[0] + fakes[1])))


def test_what_is_hidden_is_hidden_from_both():
    name, changes = "pix2pix label", {"drop_condition": 1.0, "dropout": 0.0, "norm": "instance"}
    model, batch = small_model(name, **changes).eval(), some_batch(name, **changes)
    images = model.generate(batch, ["generator"])
    assert not model.kept(batch).any()
    nothing = without_condition(model.conditions, conditions_for(model, batch))
    torch.testing.assert_close(images["fake"], model(batch.source, **nothing))
    assert not torch.equal(images["fake"], model(batch.source, **conditions_for(model, batch)))


def hidden_with(name, label, **changes):
    """Terms of both players, and the gradients of the generator's encoder, where every goal is hidden."""
    model, batch = small_model(name, drop_condition=1.0, **changes), some_batch(name, drop_condition=1.0, **changes)
    for key in ("label", "tokens"):
        if key in batch.condition:
            batch.condition[key] = batch.condition[f"wrong_{key}"] if label else batch.condition[key]
    torch.manual_seed(0)
    images = model.generate(batch, ["generator"])
    terms = {player: model.objective(player, batch, images)[0] for player in model.players}
    sum(terms["generator"].values()).backward()
    return terms, dict(model.encoder.named_parameters())


@pytest.mark.parametrize(
    ("name", "changes"),
    [("pix2pix label", {"label_loss": way}) for way in ("projection", "auxiliary", "concat")]
    + [("pix2pix text", {}), ("stargan", {}), ("stargan text", {})],
)
def test_a_hidden_goal_changes_nothing_and_teaches_the_vector_of_no_goal(name, changes):
    """Nor do the classifiers of AC-GAN and StarGAN count it."""
    one, weights = hidden_with(name, False, **changes)
    other, _ = hidden_with(name, True, **changes)
    assert one["generator"] == other["generator"]
    none = next(weight for key, weight in weights.items() if key.endswith("none"))
    assert none.grad.ne(0).any()
    if "g_class" in one["generator"]:
        assert one["generator"]["g_class"] == 0


def test_stargan_hides_a_part_of_the_goals_and_learns_the_others():
    model, batch = small_model("stargan", drop_condition=0.5), some_batch("stargan", 2, drop_condition=0.5)
    batch = replace(batch, draws={**batch.draws, "kept": torch.tensor([0.7, 0.2])})
    images = model.generate(batch, ["generator"])
    assert model.kept(batch).tolist() == [True, False]
    asked = {"label": batch.condition["label"] * torch.tensor([[1.0], [0.0]])}
    torch.testing.assert_close(images["fake"], model(batch.source, **asked))
    back = model(images["fake"], label=batch.condition["own_label"])
    torch.testing.assert_close(images["cycle"], back)
    assert "kept" not in small_model("stargan").draws()


def test_each_example_keeps_its_condition_by_a_number_of_its_own():
    """Hidden from none, from some and from all."""
    for drop, kept in ((0.5, [True, False]), (1.0, [False, False])):
        model, batch = small_model("pix2pix label", drop_condition=drop), some_batch("pix2pix label", 2)
        batch = replace(batch, draws={"kept": torch.tensor([0.5, 0.49])})
        assert model.kept(batch).tolist() == kept
        hidden = model.hide_some({"label": torch.eye(2)}, batch)["label"]
        assert hidden.tolist() == [[float(kept[0]), 0.0], [0.0, float(kept[1])]]
    model = small_model("pix2pix label", drop_condition=0.0)
    assert model.kept(batch) is None
    assert model.hide_some({"label": torch.eye(2)}, batch)["label"].tolist() == [[1, 0], [0, 1]]


def test_a_code_that_is_read_off_its_picture_teaches_the_generator_alone():
    """An encoder that met the generator half-way would let it hide the code in the picture (Zhu 2017b)."""
    model, batch = small_model("bicyclegan"), some_batch("bicyclegan")
    images = model.generate(batch, ["generator"])
    model.zero_grad()
    model.objective("generator", batch, images)[0]["g_latent"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.encoder.parameters())
    assert all(p.grad.any() for p in model.generator.parameters() if p.dim() > 1)


def logits(discriminator, pictures):
    return discriminator(Shown(pictures))[0][0].logits


def test_bicyclegan_by_hand():
    """Each term from what the networks say, at the published weights."""
    model, batch = small_model("bicyclegan", norm="instance").eval(), some_batch("bicyclegan")
    images = model.generate(batch, ["generator"])
    terms = model.objective("generator", batch, images)[0]
    mean, logvar = model.encoder(batch.target).chunk(2, 1)
    kl = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1).mean()
    read = model.encoder(images["drawn"])[:, : model.settings.z]
    expected = {
        "g_gan": (logits(model.discriminator, images["fake"]) - 1).square().mean(),
        "g_gan_drawn": (logits(model.discriminator_drawn, images["drawn"]) - 1).square().mean(),
        "g_l1": 10 * (images["fake"] - batch.target).abs().mean(),
        "g_kl": 0.01 * kl,
        "g_latent": 0.5 * (read - batch.draws["z_drawn"]).abs().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    torch.testing.assert_close(images["drawn"], model(batch.source, z=batch.draws["z_drawn"]))


def test_stargan_by_hand():
    """WGAN-GP, the class of real pictures for D and of drawn ones for G, and the way back, at the published weights."""
    model, batch = small_model("stargan"), some_batch("stargan")
    images = model.generate(batch, ["generator"])
    terms: dict[str, torch.Tensor] = {}
    for player in ("discriminator", "generator"):
        terms |= model.objective(player, batch, images)[0]
    real, fake = (model.discriminator(Shown(x))[0][0] for x in (batch.source, images["fake"].detach()))
    mix = batch.draws["game.mix"]
    mixed = (mix * batch.source + (1 - mix) * images["fake"].detach()).requires_grad_()
    (slope,) = torch.autograd.grad(logits(model.discriminator, mixed).mean((1, 2, 3)).sum(), mixed)
    own, goal = (batch.condition[key].argmax(1) for key in ("own_label", "label"))
    expected = {
        "d": fake.logits.mean() - real.logits.mean(),
        "d_class": F.cross_entropy(real.classes, own),
        "d_penalty": 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        "g_gan": -fake.logits.mean(),
        "g_class": F.cross_entropy(fake.classes, goal),
        "g_cycle": 10 * (images["cycle"] - batch.source).abs().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    back = model(images["fake"], label=batch.condition["own_label"])
    torch.testing.assert_close(images["cycle"], back)
    assert small_settings("stargan").pace.steps == {"discriminator": 2, "generator": 1}
    assert model.game.objective is OBJECTIVES["wasserstein"]


def test_conditions_that_contradict_each_other_are_refused():
    for changes, message in (
        ({"label_loss": "concat"}, "--label-loss concat needs --condition"),
        ({"text_encoder": "bert"}, "--text-encoder reads texts"),
    ):
        with pytest.raises(ValueError, match=message):
            small_settings("pix2pix", **changes)


def test_only_a_wasserstein_critic_makes_several_steps():
    """Five steps keep a Wasserstein critic near its optimum; with another objective they would only cost time."""
    make = model_class("stargan").settings_class.make
    assert make({}).pace.steps["discriminator"] == 5
    assert make({"critic_steps": None}).pace.steps["discriminator"] == 5  # as earlier versions wrote it
    assert make({"objective": "lsgan"}).pace.steps["discriminator"] == 1
    assert make({"critic_steps": 2, "objective": "lsgan"}).pace.steps["discriminator"] == 2
