"""Words and labels for pictures of noise: GAN-CLS and GAN-INT as published, AC-GAN, and the ways to join a code."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.models.test_info import GRAY, some_batch
from translate.conditions import Conditions, TextInput
from translate.models import build
from translate.models.dcgan import DCGANSettings
from translate.models.game_settings import GameSettings
from translate.networks.discriminator import Shown

WAYS = ("projection", "concat", "inner")
NARROW = {"width": 4, "discriminator_width": 4, "z": 3, "code_width": 6, "norm": "instance", "drop_condition": 0.0}


def conditioned(condition, **changes):
    """A small model of two labels, or texts of seven tokens, and its settings."""
    settings = DCGANSettings.make({**NARROW, "condition": condition, **changes})
    needs = settings.data_needs
    text = TextInput(tokenizer="", length=5, vocabulary=7) if needs.text else None
    labels = ("one", "other") if needs.label else ()
    conditions = Conditions(labels=labels, text=text, z=needs.z, codes=needs.codes, required=needs.required)
    torch.manual_seed(0)
    return build("dcgan", settings, source=None, target=GRAY, size=8, conditions=conditions), settings


def words_batch(model, count):
    generator = torch.Generator().manual_seed(2)
    condition = {}
    for prefix in ("", "wrong_"):
        if model.conditions.labels:
            condition[f"{prefix}label"] = torch.eye(2)[[(i + bool(prefix)) % 2 for i in range(count)]]
        else:
            condition[f"{prefix}tokens"] = torch.randint(1, 7, (count, 5), generator=generator)
    batch = some_batch(model, count)
    draws = {"text_noise": torch.randn(count, 6, generator=generator), "kept": torch.ones(count)}
    return replace(batch, condition=condition, draws={**batch.draws, **draws})


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def logits(model, picture, code):
    return model.discriminator(Shown(picture, code=code))[0][0].logits


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("condition_input", ["modulation", "concat"])
def test_gan_cls_by_hand(condition_input, way, count):
    """D: -(log s_r + (log(1 - s_w) + log(1 - s_f)) / 2) / 2; G: -log s_f (Reed 2016)."""
    model, _ = conditioned("text", label_loss=way, condition_input=condition_input)
    batch = words_batch(model, count)
    images = model.generate(batch, tuple(model.players))
    torch.testing.assert_close(images["fake"], model(z=batch.draws["z"], tokens=batch.condition["tokens"]))
    right, wrong = (model.judge_encoder({"tokens": batch.condition[name]}) for name in ("tokens", "wrong_tokens"))
    s_r, s_w = (logits(model, batch.target, code) for code in (right, wrong))
    s_f = logits(model, images["fake"], right)
    d, _ = model.objective("discriminator", batch, images)
    g, _ = model.objective("generator", batch, images)
    torch.testing.assert_close(d["d"], (bce(s_r, 1.0) + (bce(s_w, 0.0) + bce(s_f, 0.0)) / 2) / 2)
    torch.testing.assert_close(g["g_gan"], bce(s_f, 1.0))
    assert set(g) == {"g_gan"}
    assert not torch.equal(s_r, s_w)


@pytest.mark.parametrize("condition", ["label", "text"])
def test_a_joined_code_is_more_of_the_noise(condition):
    model, settings = conditioned(condition, condition_input="concat")
    batch = words_batch(model, 2)
    given = {name: value for name, value in batch.condition.items() if not name.startswith("wrong_")}
    z, code = batch.draws["z"], model.encoder(given)
    assert model.generator.first.weight.shape[0] == settings.z + settings.code_width
    assert not any("modulations" in name for name, _ in model.generator.named_parameters())
    torch.testing.assert_close(model(z=z, **given), model.generator(torch.cat([z, code], 1)))
    other = {name: batch.condition[f"wrong_{name}"] for name in given}
    assert not torch.allclose(model(z=z, **given), model(z=z, **other))


def test_a_code_beside_the_last_features_by_hand():
    """Mapped to as many numbers as these have channels; what a 1x1 convolution makes of both is added to each place."""
    model, _ = conditioned("label", label_loss="inner")
    picture, code = torch.rand(2, 1, 8, 8) * 2 - 1, torch.randn(2, 6)
    *body, last = model.discriminator.network
    inner = picture
    for layer in body:
        inner = layer(inner)
    head = model.discriminator.inner
    vector = F.leaky_relu(code @ head.compress.weight.T + head.compress.bias, 0.2)
    beside = torch.cat([inner, vector[:, :, None, None].expand_as(inner)], 1)
    mixed = torch.einsum("oi,bihw->bohw", head.mix.weight[:, :, 0, 0], beside) + head.mix.bias[:, None, None]
    torch.testing.assert_close(logits(model, picture, code), last(inner + F.leaky_relu(mixed, 0.2)))


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_texts_between_two_by_hand(count, augment):
    """GAN-INT: the generator pays for a code between two texts, which has no picture; D does not (Reed 2016)."""
    model, settings = conditioned("text", interpolate_texts=0.25, augment_texts=augment, lambda_gan=2.0)
    batch = words_batch(model, count)
    images = model.generate(batch, tuple(model.players))
    own, wrong = ({"tokens": batch.condition[name]} for name in ("tokens", "wrong_tokens"))
    code = 0.25 * model.encoder(own) + 0.75 * model.encoder(wrong)
    if augment:
        code = model.augmentation(code, batch.draws["text_noise"]).code
    fake = model.generator(batch.draws["z"], code)
    seen = 0.25 * model.judge_encoder(own) + 0.75 * model.judge_encoder(wrong)
    losses, _ = model.objective("generator", batch, images)
    torch.testing.assert_close(losses["g_gan_between"], 2 * bce(logits(model, fake, seen), 1.0))
    d, _ = model.objective("discriminator", batch, images)
    assert set(d) == {"d"}
    model.zero_grad()
    losses["g_gan_between"].backward()
    words = model.encoder.tokens.words.weight.grad
    assert all(words[token].any() for token in batch.condition["wrong_tokens"].unique())
    assert "between" not in model.generate(batch, ["discriminator"])
    assert settings.interpolate_texts == 0.25


@pytest.mark.parametrize("count", [1, 3])
def test_augmented_texts_by_hand(count):
    model, settings = conditioned("text", augment_texts=True, lambda_kl=0.5)
    batch = words_batch(model, count)
    drawn = model.augmentation(model.encoder({"tokens": batch.condition["tokens"]}), batch.draws["text_noise"])
    images = model.generate(batch, tuple(model.players))
    torch.testing.assert_close(images["fake"], model.generator(batch.draws["z"], drawn.code))
    losses, _ = model.objective("generator", batch, images)
    normal = torch.distributions.Normal(drawn.mu, (drawn.logvar / 2).exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(losses["g_kl"], 0.5 * kl)
    assert model.deployed == ("generator", "encoder", "augmentation")
    at_use = model(z=batch.draws["z"], tokens=batch.condition["tokens"])
    torch.testing.assert_close(at_use, model.generator(batch.draws["z"], drawn.mu))
    assert conditioned("text")[0].deployed == ("generator", "encoder")
    assert settings.lambda_kl == 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_a_label_that_is_predicted_by_hand(count):
    """AC-GAN: both players pay for the label of fakes, D for that of real pictures as well; D sees no code."""
    model, _ = conditioned("label", label_loss="auxiliary", lambda_class=3.0, condition_input="concat")
    batch = words_batch(model, count)
    images = model.generate(batch, tuple(model.players))
    assert not hasattr(model, "judge_encoder")
    wanted = batch.condition["label"].argmax(1)
    on_real, on_fake = (
        F.cross_entropy(model.discriminator(Shown(picture))[0][0].classes, wanted)
        for picture in (batch.target, images["fake"])
    )
    d, _ = model.objective("discriminator", batch, images)
    g, _ = model.objective("generator", batch, images)
    torch.testing.assert_close(d["d_class"], 3 * 0.5 * (on_real + on_fake))
    torch.testing.assert_close(g["g_class"], 3 * on_fake)
    torch.testing.assert_close(
        d["d"], 0.5 * (bce(logits(model, batch.target, None), 1.0) + bce(logits(model, images["fake"], None), 0.0))
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_label_that_is_seen_changes_what_the_players_pay(way):
    model, _ = conditioned("label", label_loss=way)
    batch = words_batch(model, 2)
    images = model.generate(batch, tuple(model.players))
    other = replace(batch, condition={"label": batch.condition["wrong_label"]})
    for player in model.players:
        (one, stats), (two, _) = (model.objective(player, b, images) for b in (batch, other))
        assert not torch.equal(*(next(iter(losses.values())) for losses in (one, two)))
        assert "d_wrong" not in stats  # which is for texts


def test_what_changes_nothing_or_fits_nothing_is_refused():
    for values, message in (
        ({"condition_input": "concat"}, "--condition-input concat changes nothing without --condition label or text"),
        ({"condition": "label", "interpolate_texts": 0.5}, "--interpolate-texts 0.5 changes nothing without"),
        ({"condition": "label", "augment_texts": True}, "--augment-texts True changes nothing without"),
        ({"condition": "text", "lambda_kl": 1.0}, "--lambda-kl 1.0 changes nothing without --augment-texts"),
        ({"condition": "label", "lambda_class": 2.0}, "--lambda-class 2.0 changes nothing without"),
    ):
        with pytest.raises(ValueError, match=message):
            DCGANSettings.make(values).refuse_unused()
    for values, message in (
        ({"label_loss": "concat"}, "--label-loss concat needs --condition label or text"),
        ({"condition": "text", "label_loss": "auxiliary"}, "use projection, concat or inner"),
        ({"condition": "text", "interpolate_texts": 1.0}, "--interpolate-texts got"),
    ):
        with pytest.raises(ValueError, match=message):
            DCGANSettings.make(values)
    assert issubclass(DCGANSettings, GameSettings)
