"""What must hold for every model in the table; a new entry is tested by existing."""

import copy

import pytest
import torch

from translate.batch import Batch
from translate.card import Card
from translate.images import ImageSpec
from translate.models import MODELS, build, deployed_state, load_for_inference, model_class
from translate.training.loop import Step, make_optimizers

CPU = torch.device("cpu")
SIZE = 32
SOURCE, TARGET = ImageSpec(channels=1), ImageSpec(channels=3)


def small_settings(name, **changes):
    """Narrow settings of a model, from the fields it has."""
    cls = model_class(name).settings_class
    narrow = {"width": 4, "discriminator_width": 4, "patch": 16}
    return cls.make({k: v for k, v in (narrow | changes).items() if k in cls.model_fields})


def small_model(name, **changes):
    torch.manual_seed(0)
    return build(name, small_settings(name, **changes), source=SOURCE, target=TARGET, size=SIZE)


def some_batch(count=2, *, valid=None):
    generator = torch.Generator().manual_seed(1)
    return Batch(
        torch.rand(count, 1, SIZE, SIZE, generator=generator) * 2 - 1,
        torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1,
        valid,
    )


def weights(model):
    return copy.deepcopy(dict(model.named_parameters()))


@pytest.mark.parametrize("name", MODELS)
def test_each_player_changes_its_own_weights_and_no_others(name):
    model, batch = small_model(name), some_batch()
    images = model.translate(batch)
    for player, submodules in model.players.items():
        model.zero_grad()
        losses, _ = model.losses(player, batch, images)
        sum(losses.values()).backward(retain_graph=True)
        for parameter_name, parameter in model.named_parameters():
            owned = parameter_name.startswith(tuple(f"{s}." for s in submodules))
            if owned:
                assert parameter.grad is not None, f"{player} leaves {parameter_name} without a gradient"
    before = weights(model)
    step = Step(model, make_optimizers(model, small_settings(name), device=CPU), device=CPU)
    step([batch])
    step([batch])
    unmoved = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert not unmoved
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_player_alone_leaves_the_other_as_it_was(name, player):
    model, batch = small_model(name), some_batch()
    optimizers = make_optimizers(model, small_settings(name), device=CPU)
    before = weights(model)
    Step(model, {player: optimizers[player]}, device=CPU)([batch])
    for parameter_name, parameter in model.named_parameters():
        own = parameter_name.startswith(tuple(f"{s}." for s in model.players[player]))
        assert torch.equal(parameter, before[parameter_name]) != own, parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_the_losses_draw_nothing(name):
    model, batch = small_model(name), some_batch()
    images = model.translate(batch)
    state = torch.get_rng_state()
    for player in model.players:
        model.losses(player, batch, images)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", MODELS)
def test_a_figures_name_belongs_to_one_player(name):
    """The step reports all of them in one table."""
    model, batch = small_model(name), some_batch()
    images = model.translate(batch)
    names = [key for player in model.players for part in model.losses(player, batch, images) for key in part]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", MODELS)
def test_one_batch_can_be_learned_by_heart(name):
    model, batch = small_model(name, width=16, dropout=0.0, lr=2e-3), some_batch(1)
    step = Step(model, make_optimizers(model, small_settings(name, lr=2e-3), device=CPU), device=CPU)

    def error():
        return (model.translate(batch)["fake"] - batch.target).abs().mean().item()

    before = error()
    for _ in range(150):
        step([batch])
    assert error() < 0.3 * before


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_gives_the_same_output(name):
    model = small_model(name)
    card = Card(model=name, settings=small_settings(name).as_json(), source=SOURCE, target=TARGET, size=SIZE)
    loaded = load_for_inference(card, copy.deepcopy(deployed_state(model)))
    source = torch.rand(1, 1, 40, 27) * 2 - 1
    assert torch.equal(loaded(source), model.eval()(source))
    assert loaded(source).shape == (1, 3, 40 * model.scale, 27 * model.scale)
    assert not hasattr(loaded, "discriminator")
    assert not any(p.is_meta for p in loaded.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_do_not_fit_are_named(name):
    model = small_model(name)
    card = Card(model=name, settings=small_settings(name).as_json(), source=SOURCE, target=TARGET, size=SIZE)
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


@pytest.mark.parametrize("name", MODELS)
def test_ignored_pixels_get_no_gradient(name):
    valid = torch.ones(2, 1, SIZE, SIZE, dtype=torch.bool)
    valid[..., :10] = False
    model, batch = small_model(name, dropout=0.0), some_batch(valid=valid)
    raw = []

    def keep(module, inputs, output):
        output.retain_grad()
        raw.append(output)

    model.generator.register_forward_hook(keep)
    losses, _ = model.losses("generator", batch, model.translate(batch))
    sum(losses.values()).backward()
    assert raw[0].grad[..., :10].eq(0).all()
    assert raw[0].grad[..., 10:].ne(0).any()


def test_an_outside_class_needs_no_entry():
    assert model_class("translate.models.pix2pix:Pix2Pix") is MODELS["pix2pix"]
    for wrong in (
        "no.such:Thing",
        "translate.models.pix2pix:Nothing",
        "translate.models.pix2pix:Pix2PixSettings",
    ):
        with pytest.raises(ValueError, match=wrong.split(":")[1]):
            model_class(wrong)


def test_an_unknown_model_lists_the_choices():
    with pytest.raises(ValueError, match=r'pix2pixs.*did you mean "pix2pix".*there is'):
        model_class("pix2pixs")


def test_too_small_for_the_patch_is_told_with_the_smallest_size():
    with pytest.raises(ValueError, match="at least 24 pixels"):
        build("pix2pix", small_settings("pix2pix", patch=70), source=SOURCE, target=TARGET, size=16)
