"""What must hold for every model in the table; a new entry is tested by existing."""

import copy
from dataclasses import replace

import pytest
import torch

from tests.drawn import with_draws
from tests.parts import slow_but
from translate.batch import Batch
from translate.card import Card
from translate.conditions import Conditions, TextInput
from translate.images import ImageSpec
from translate.models import MODELS, build, deployed_state, load_for_inference, model_class
from translate.networks import GENERATORS
from translate.training.loop import Step, make_optimizers

CPU = torch.device("cpu")
CONDITIONED = ("pix2pix label", "pix2pix text", "stargan text", "dcgan label")
"""A model and its `--condition`, beside those that it has by default."""

PERCEPTUAL = ("pix2pix perceptual", "bicyclegan perceptual")
"""A model with the perceptual term."""

EVERY = (*MODELS, *CONDITIONED, *PERCEPTUAL)
FEW = ("pix2pix", "cyclegan", "stargan text", "bicyclegan perceptual")
"""Those that each run of the tests takes where all take long."""

SIZE = 32
TARGET = ImageSpec(channels=3)


def model_of(name):
    return MODELS[name.split()[0]]


def source_of(name):
    """Gray sources, but for the models whose outputs have to fit where sources do; None of those made of noise."""
    if model_of(name).data == "targets":
        return None
    return ImageSpec(channels=3 if model_of(name).same_channels else 1)


def fields_of(name):
    return model_of(name).settings_class.every_field()


def alone(name):
    """A norm of the model that does not look at the other pictures of a batch."""
    return "none" if name == "srresnet" else "instance"


def variant(name):
    """The settings that the second word of a name stands for."""
    word = name.partition(" ")[2]
    if word == "perceptual":
        return {"lambda_perceptual": 1.0}
    return {"condition": word} if word else {}


def small_settings(name, **changes):
    """Narrow settings of a model, from the fields it has."""
    cls = model_class(name.split()[0]).settings_class
    changes = {**variant(name), **changes}
    fields = cls.every_field()
    defaults = {name: field.default for name, field in fields.items()}
    narrow = {
        "width": 4,
        "discriminator_width": 4,
        "patch": 16 if defaults.get("discriminator") == "patchgan" else 70,
        "blocks": 2 if defaults.get("generator", "resnet") == "resnet" else None,
        "pool": 2 if defaults.get("pool") else None,
        "nce_patches": 16,
        "encoder_width": 4,
        "code_width": 8,
        "d_steps": 2 if defaults.get("d_steps", 1) > 1 else None,
    }
    taken = cls.fitted({k: v for k, v in changes.items() if k in fields})[
        0
    ].model_fields  # not those of networks that were not chosen
    chosen = {k: v for k, v in (narrow | changes).items() if k in taken or (k in changes and k in fields)}
    return cls.make({k: v for k, v in chosen.items() if v is not None or (k in changes and fields[k].default is None)})


def some_conditions(name, **changes):
    """What a model of these settings asks for: two classes, a text of up to five of seven tokens, a code."""
    data_needs = model_of(name).data_needs(small_settings(name, **changes))
    text = TextInput(tokenizer="", length=5, vocabulary=7) if data_needs.text else None
    labels = ("one", "other") if data_needs.label else ()
    named = {"classes": labels} if data_needs.classified else {"labels": labels}
    return Conditions(**named, text=text, z=data_needs.z, required=data_needs.required)


def small_model(name, **changes):
    torch.manual_seed(0)
    return build(
        name.split()[0],
        small_settings(name, **changes),
        source=source_of(name),
        target=TARGET,
        size=SIZE,
        conditions=some_conditions(name, **changes),
    )


def small_step(name, model, *, players=None, **changes):
    """A step that takes one batch and uses it for all it needs."""
    settings = small_settings(name, **changes)
    optimizers = make_optimizers(model, settings, device=CPU)
    chosen = {player: optimizers[player] for player in players or optimizers}
    step = Step(model, chosen, device=CPU, pace=settings.pace)
    return lambda batch: step([batch] * step.rounds)


def example_conditions(name, count=2, **changes):
    """Conditions of a batch, right and wrong, by every name that a dataset has."""
    conditions, generator = some_conditions(name, **changes), torch.Generator().manual_seed(2)
    arrays = {}
    for prefix, shift in (("", 0), ("own_", 1), ("wrong_", 1)):
        if conditions.in_training.labels:
            arrays[f"{prefix}label"] = torch.eye(2)[[(i + shift) % 2 for i in range(count)]]
        if conditions.text:
            tokens = torch.randint(1, 7, (count, 5), generator=generator)
            tokens[:, 3:] = 0
            arrays[f"{prefix}tokens"] = tokens
    if conditions.z:
        arrays["z"] = torch.randn(count, conditions.z, generator=generator)
    return arrays


def conditions_for(model, batch):
    """The part of it that goes into the model at inference."""
    return {name: batch.condition[name] for name in model.inputs if name != "image"}


def some_batch(name, count=2, *, valid=None, **changes):
    """With the random numbers of a model of these changes."""
    generator = torch.Generator().manual_seed(1)
    scale = model_of(name).enlarges(small_settings(name))
    sides = {"source": (source_of(name), SIZE // scale), "target": (TARGET, SIZE)}
    batch = Batch(
        {
            key: torch.rand(count, spec.channels, side, side, generator=generator) * 2 - 1
            for key, (spec, side) in sides.items()
            if spec is not None
        },
        valid,
        condition=example_conditions(name, count, **changes),
    )
    return with_draws(batch, small_model(name, **changes))


def card_of(name, model):
    return Card(
        model=name.split()[0],
        settings=small_settings(name).as_json(),
        source=source_of(name),
        target=TARGET,
        size=SIZE,
        scale=model.scale,
        reversible=model.reversible,
        inputs=model.inputs,
        conditions=some_conditions(name),
    )


def weights(model):
    return copy.deepcopy(dict(model.named_parameters()))


@pytest.mark.parametrize("name", EVERY)
def test_each_player_changes_its_own_weights_and_no_others(name):
    model, batch = small_model(name), some_batch(name)
    images = model.generate(batch, tuple(model.players))
    for player, submodules in model.players.items():
        model.zero_grad()
        losses, _ = model.objective(player, batch, images)
        sum(losses.values()).backward(retain_graph=True)
        for parameter_name, parameter in model.named_parameters():
            owned = parameter_name.startswith(tuple(f"{s}." for s in submodules))
            if owned:
                assert parameter.grad is not None, f"{player} leaves {parameter_name} without a gradient"
    before = weights(model)
    step = small_step(name, model)
    step(batch)
    step(batch)
    # the vector of no label or text is trained in steps in which one is hidden
    unchanged = [n for n, p in model.named_parameters() if torch.equal(p, before[n]) and not n.endswith(".none")]
    assert not unchanged
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("name", "player"), [(name, player) for name in EVERY for player in model_of(name).players])
def test_a_player_alone_leaves_the_other_as_it_was(name, player):
    model, batch = small_model(name), some_batch(name)
    before = weights(model)
    small_step(name, model, players=[player])(batch)
    for parameter_name, parameter in model.named_parameters():
        own = parameter_name.startswith(tuple(f"{s}." for s in model.players[player]))
        if not own:
            assert torch.equal(parameter, before[parameter_name]), parameter_name
        elif parameter.dim() > 1:  # the last bias of a Wasserstein critic, for one, has no effect on its objective
            assert not torch.equal(parameter, before[parameter_name]), parameter_name


@pytest.mark.parametrize("name", EVERY)
def test_the_losses_draw_nothing(name):
    model, batch = small_model(name), some_batch(name)
    images = model.generate(batch, tuple(model.players))
    state = torch.get_rng_state()
    for player in model.players:
        model.objective(player, batch, images)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", EVERY)
def test_a_figures_name_belongs_to_one_player(name):
    """The step reports all of them in one table."""
    model, batch = small_model(name), some_batch(name)
    images = model.generate(batch, tuple(model.players))
    names = [key for player in model.players for part in model.objective(player, batch, images) for key in part]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", slow_but(FEW[:1], [name for name in EVERY if source_of(name)]))  # not of noise
def test_one_batch_can_be_learned_by_heart(name):
    """The generator's losses fall, the adversarial ones apart."""
    changes = {"width": 16, "dropout": 0.0, "lr": 2e-3, "lambda_gan": 0.0, "lambda_features": 0.0, "lambda_class": 0.0}
    model, batch = small_model(name, **changes), some_batch(name, 1)
    step = small_step(name, model, **changes)
    history = [sum(v.item() for k, v in step(batch).items() if k.startswith("g_")) for _ in range(100)]
    assert history[-1] < 0.4 * history[0]


@pytest.mark.parametrize("name", EVERY)
def test_a_saved_model_gives_the_same_output(name):
    model = small_model(name)
    card = card_of(name, model)
    loaded = load_for_inference(card, copy.deepcopy(deployed_state(model)))
    spec, (height, width) = source_of(name), (40, 27)
    given = [torch.rand(1, spec.channels, height, width) * 2 - 1] if spec else []
    height, width = (height * model.scale, width * model.scale) if spec else (SIZE, SIZE)
    conditions = conditions_for(model, some_batch(name, 1))
    assert torch.equal(loaded(*given, **conditions), model.eval()(*given, **conditions))
    assert loaded(*given, **conditions).shape == (1, 3, height, width)
    assert not hasattr(loaded, "discriminator")
    assert not any(p.is_meta for p in loaded.parameters())


@pytest.mark.parametrize("name", [name for name, cls in MODELS.items() if cls.reversible])
def test_the_same_file_goes_the_other_way(name):
    model = small_model(name)
    loaded = load_for_inference(card_of(name, model), copy.deepcopy(deployed_state(model)))
    target = torch.rand(1, 3, 40, 27) * 2 - 1
    back = loaded.reverse()(target)
    assert torch.equal(back, model.eval().reverse()(target))
    assert back.shape == (1, source_of(name).channels, 40, 27)


@pytest.mark.parametrize("name", [name for name in EVERY if "init" in fields_of(name)])
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_every_model_works_with_every_generator(name, generator, norm):
    changes = {"generator": generator, "norm": norm, "blocks": None}
    model, batch = small_model(name, **changes), some_batch(name, **changes)
    values = small_step(name, model)(batch)
    assert all(value.isfinite() for value in values.values())
    assert model(batch.source, **conditions_for(model, batch)).shape == batch.target.shape


@pytest.mark.parametrize("name", EVERY)
def test_what_is_drawn_for_an_example_does_not_depend_on_its_neighbours(name):
    """So that processes with parts of a batch do as one with the whole."""
    model, batch = small_model(name, dropout=0.0, norm=alone(name)).eval(), some_batch(name)
    whole = model.generate(batch, ["generator"])
    condition = {key: value[1:] for key, value in batch.condition.items()}
    pictures = {key: value[1:] for key, value in batch.pictures.items()}
    draws = {key: value[1:] for key, value in batch.draws.items()}
    part = model.generate(Batch(pictures, condition=condition, draws=draws), ["generator"])
    for key, value in part.items():
        if value.dim() == 0:
            continue  # a mean over the batch
        torch.testing.assert_close(whole[key][1:], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in EVERY if "augment" in fields_of(name)])
@pytest.mark.parametrize("augment", ["color,translation,cutout"])
def test_small_data_augmentation_is_a_setting_of_every_model(name, augment):
    plain, changed = (small_model(name, augment=policy) for policy in (None, augment))
    torch.manual_seed(0)
    one, other = (
        small_step(name, model)(some_batch(name, augment=policy))
        for model, policy in ((plain, None), (changed, augment))
    )
    assert all(value.isfinite() for value in other.values())
    assert one["d"] != other["d"]
    with pytest.raises(ValueError, match="--augment"):
        small_settings(name, augment="colour")


@pytest.mark.parametrize("name", EVERY)
def test_weights_that_do_not_fit_are_named(name):
    model = small_model(name)
    card = card_of(name, model)
    state = deployed_state(model)
    first, value = next(iter(state.items()))
    rest = {key: tensor for key, tensor in state.items() if key != first}
    for wrong, what in (
        (rest, f"1 tensors: {first} is missing"),
        (state | {first: torch.zeros(3, 3)}, rf"1 tensors: {first} is \(3, 3\), and should be"),
        (state | {"more": value}, r"1 tensors: more is .* should be absent"),
    ):
        with pytest.raises(ValueError, match=what):
            load_for_inference(card, wrong)


def test_balanced_classes_count_alike():
    """The gradient of L1 alone, on half a class and on the other, of one pixel of 1024."""
    classes = torch.zeros(1, SIZE, SIZE, dtype=torch.int64)
    classes[0, 3, 4] = 7
    fake = torch.zeros(1, 3, SIZE, SIZE, requires_grad=True)
    shares = {}
    for power in (0.0, 1.0):
        model = small_model("pix2pix", balance_l1=power)
        batch = replace(some_batch("pix2pix", 1), classes=classes, class_count=8)
        losses, _ = model.objective("generator", batch, {"fake": fake})
        (gradient,) = torch.autograd.grad(losses["g_l1"], fake)
        size = gradient.abs()
        shares[power] = (size[..., 3, 4].sum() / size.sum()).item()
    assert shares[0.0] == pytest.approx(1 / SIZE**2)
    assert shares[1.0] == pytest.approx(1 / 2)


@pytest.mark.parametrize("name", [name for name, cls in MODELS.items() if cls.data == "pairs"])
def test_ignored_pixels_get_no_gradient(name):
    valid = torch.ones(2, 1, SIZE, SIZE, dtype=torch.bool)
    valid[..., :10] = False
    model, batch = small_model(name, dropout=0.0), some_batch(name, valid=valid)
    raw = []

    def keep(module, inputs, output):
        output.retain_grad()
        raw.append(output)

    model.generator.register_forward_hook(keep)
    losses, _ = model.objective("generator", batch, model.generate(batch, ["generator"]))
    sum(losses.values()).backward()
    assert raw[0].grad[..., :10].eq(0).all()
    assert raw[0].grad[..., 10:].ne(0).any()


def test_an_outside_class_needs_no_entry():
    own = "translate.models.pix2pix:Pix2Pix"
    assert model_class(own, allow=own) is MODELS["pix2pix"]
    for wrong in (
        "no.such:Thing",
        "translate.models.pix2pix:Nothing",
        "translate.models.pix2pix:Pix2PixSettings",
    ):
        with pytest.raises(ValueError, match=wrong.split(":")[1]):
            model_class(wrong, allow=wrong)


def test_an_unknown_model_lists_the_choices():
    with pytest.raises(ValueError, match=r'pix2pixs.*did you mean "pix2pix".*there is'):
        model_class("pix2pixs")


def test_too_small_for_the_patch_is_told_with_the_smallest_size():
    with pytest.raises(ValueError, match="at least 24 pixels"):
        build("pix2pix", small_settings("pix2pix", patch=70), source=TARGET, target=TARGET, size=16)
