"""How often and in what order the players step, and with what: each setting against a plain loop written by hand."""

import pytest
import torch

from tests.training.tiny import (
    CPU,
    D,
    G,
    GeneratorFirst,
    Tiny,
    batches_of,
    gradients_by_hand,
    make,
    move_by_hand,
    same,
    step_of,
)
from translate.models.game_settings import GameSettings
from translate.settings import ModelSettings, RunSettings
from translate.training.job import _check_pace
from translate.training.loop import make_optimizers, set_rate
from translate.training.unrolled import Unrolled

ITERATIONS = 3


@pytest.fixture
def in_float64(monkeypatch):
    """Costs in the precision of the networks."""
    plain = torch.Tensor.float  # for the scaler
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor if tensor.dim() else plain(tensor))


def scaler():
    """As with --precision float16."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**12)


def in_step(model, optimizers, batches, rounds, **options):
    """Some iterations of `Step`, the gradients scaled as for float16."""
    step = step_of(model, optimizers, **options)
    step.scaler = scaler()
    assert step.rounds == rounds
    step.measuring = True
    each = len(batches) // ITERATIONS
    for i in range(ITERATIONS):
        step(batches[i * each : (i + 1) * each], number=i, progress=i / ITERATIONS)


def by_hand(model, optimizers, batches, order, accumulate):
    """The same in plain words: `order` has for each round the groups of players that step at once."""
    rounds = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    for i, own in enumerate(rounds):
        iteration, place = divmod(i, len(order))
        if place == 0:
            model.game.before_step(iteration, iteration / ITERATIONS)
        fakes = [model.generator(batch.source).detach() for batch in own]  # what D sees in this round
        for players in order[place]:
            figures = {player: gradients_by_hand(model, player, own, fakes) for player in players}
            for player in players:
                move_by_hand(
                    model,
                    optimizers,
                    player,
                    longest=model.settings.clip_gradients,
                    figures=figures[player],
                    pictures=sum(map(len, own)),
                )


def check(kind, settings, order, *, accumulate=1):
    (model, optimizers), (theirs, their_optimizers) = make(kind, **settings), make(kind, **settings)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    batches = batches_of(model, accumulate * len(order) * ITERATIONS)
    in_step(model, optimizers, batches, len(order))
    by_hand(theirs, their_optimizers, batches, order, accumulate)
    assert same(model, theirs)
    assert not any(torch.equal(start[name], value) for name, value in model.named_parameters())
    return model


PACES = {
    "one after the other": (Tiny, {}, [[[D], [G]]]),
    "generator first": (GeneratorFirst, {}, [[[G], [D]]]),
    "at once": (Tiny, {"simultaneous": True}, [[[D, G]]]),
    "at once, generator first": (GeneratorFirst, {"simultaneous": True}, [[[G, D]]]),
    "three of D": (Tiny, {"d_steps": 3}, [[[D]], [[D]], [[D], [G]]]),
    "two of G": (Tiny, {"g_steps": 2}, [[[G]], [[D], [G]]]),
    "two and three": (Tiny, {"d_steps": 2, "g_steps": 3}, [[[G]], [[D], [G]], [[D], [G]]]),
    "two of D, at once": (Tiny, {"d_steps": 2, "simultaneous": True}, [[[D]], [[D, G]]]),
    "fresh": (Tiny, {"fresh_batch": True}, [[[D]], [[G]]]),
    "fresh, generator first": (GeneratorFirst, {"fresh_batch": True}, [[[G]], [[D]]]),
    "fresh, two of D": (Tiny, {"fresh_batch": True, "d_steps": 2}, [[[D]], [[D]], [[G]]]),
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("kind", "settings", "order"), PACES.values(), ids=PACES)
def test_players_step_as_by_hand(kind, settings, order, accumulate, in_float64):
    check(kind, {"optimizer": "sgd", "lr": 0.3, **settings}, order, accumulate=accumulate)


RULES: dict[str, dict] = {
    "adam": {"lr": 0.01},
    "momentum": {"optimizer": "sgd", "momentum": 0.8, "lr": 0.1},
    "weight decay": {"weight_decay": 0.3, "lr": 0.01},
    "weight decay and momentum": {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.3, "lr": 0.1},
    "weight decay of rmsprop": {"optimizer": "rmsprop", "weight_decay": 0.3, "lr": 0.01},
    "shortened": {"clip_gradients": 0.05, "optimizer": "sgd", "lr": 1.0},
    "shortened, with momentum and decay": {"clip_gradients": 0.05, "optimizer": "sgd", "momentum": 0.5, "lr": 1.0}
    | {"weight_decay": 0.1},
    "own rate": {"lr_d": 0.02, "lr": 0.005},
    "adaptive, lazy": {"augment": "color", "ada": 0.5, "ada_speed": 1.0, "penalty": "r1", "penalty_every": 2},
    "pool": {"pool": 2},
}


@pytest.mark.parametrize("settings", RULES.values(), ids=RULES)
@pytest.mark.parametrize("simultaneous", [False, True])
def test_weights_change_as_by_hand(settings, simultaneous, in_float64):
    order = [[[D, G]]] if simultaneous else [[[D], [G]]]
    check(Tiny, {"simultaneous": simultaneous, **settings}, order, accumulate=2)


def test_weight_decay_by_hand():
    """A weight that no gradient reaches shrinks by lr * decay of itself a step."""
    model, optimizers = make(optimizer="sgd", lr=0.1, weight_decay=0.5)
    weight = model.generator[0].weight
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    optimizers[G].step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5))


def test_momentum_by_hand():
    """With a constant gradient g the second step is lr * (1 + momentum) * g."""
    model, optimizers = make(optimizer="sgd", lr=0.1, momentum=0.6)
    weight, places = model.generator[0].weight, []
    for _ in range(3):
        places.append(weight.detach().clone())
        weight.grad = torch.ones_like(weight)
        optimizers[G].step()
    torch.testing.assert_close(places[0] - places[1], torch.full_like(weight, 0.1))
    torch.testing.assert_close(places[1] - places[2], torch.full_like(weight, 0.16))


def test_a_gradient_is_measured_whole_and_then_shortened():
    """Both of the true gradient, not of the scaled one; both players' are shortened by themselves."""
    moved = {}
    for longest in (1e6, 0.05):
        model, optimizers = make(optimizer="sgd", lr=1.0, clip_gradients=longest, simultaneous=True)
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        step = step_of(model, optimizers)
        step.scaler, step.measuring = scaler(), True
        step(batches_of(model, 1))
        change = {name: before[name] - weight.detach() for name, weight in model.named_parameters()}
        for player in (D, G):
            own = torch.cat([value.flatten() for name, value in change.items() if name.startswith(player)])
            moved[longest, player] = own.norm().item()
        assert step.gradients[G].item() == pytest.approx(moved[1e6, G], rel=1e-6)
    assert moved[1e6, D] > 0.05
    assert moved[1e6, G] > 0.05
    assert moved[0.05, D] == pytest.approx(0.05, rel=1e-4)
    assert moved[0.05, G] == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_step_of_float16_that_overflows_changes_nothing_but_the_scale(simultaneous):
    model, optimizers = make(optimizer="sgd", lr=1.0, clip_gradients=0.1, simultaneous=simultaneous)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = step_of(model, optimizers)
    step.scaler = scaler()
    (batch,) = batches_of(model, 1)
    batch.pictures["source"].fill_(float("inf"))
    step([batch])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert step.scaler.get_scale() == 2.0**11


@pytest.mark.parametrize("changes", [{}, {"simultaneous": True, "d_steps": 2}, {"fresh_batch": True}])
def test_float16_trains_nearly_as_float32(changes):
    moved = []
    for precision in ("float32", "float16"):
        model, optimizers = make(optimizer="sgd", lr=0.5, clip_gradients=0.3, dtype=torch.float32, **changes)
        step = step_of(model, optimizers, precision=precision)
        assert step.scaler.is_enabled() == (precision == "float16")
        before = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        for i in range(2):
            step(batches_of(model, step.rounds, dtype=torch.float32, first=i * step.rounds), number=i)
        moved.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]) - before)
    assert moved[0].norm() > 0.1
    assert (moved[1] - moved[0]).norm() < 0.02 * moved[0].norm()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_a_rate_that_is_set_is_that_of_the_next_step(optimizer):
    model, optimizers = make(optimizer=optimizer, lr=0.5)
    weight = model.generator[0].weight
    weight.grad = torch.ones_like(weight)
    set_rate(optimizers[G], 0.0)
    before = weight.detach().clone()
    optimizers[G].step()
    assert torch.equal(weight, before)


def test_instance_noise_has_the_set_deviation_and_falls_to_nothing_by_the_end():
    model, optimizers = make(instance_noise=0.4, optimizer="sgd", lr=1e-9, dtype=torch.float32)
    shown: list = []
    model.discriminator.register_forward_pre_hook(lambda module, views: shown.append(views))
    (batch,) = batches_of(model, 1, size=64, dtype=torch.float32)
    step = step_of(model, optimizers)
    for number, progress in enumerate([0.0, 0.25, 0.75, 1.0]):
        step([batch], number=number, progress=progress)
        (real, fake), (of_generator,) = shown[-2:]
        made = model.generator(batch.source)
        noises = [one.image - clean for one, clean in ((real, batch.target), (fake, made), (of_generator, made))]
        for noise in noises:
            assert noise.std().item() == pytest.approx(0.4 * (1 - progress), rel=0.08, abs=1e-5)
            assert abs(noise.mean().item()) < 0.04
        assert torch.equal(real.spatial, batch.source)
        if progress < 1:
            assert not torch.allclose(noises[1], noises[2])


def test_instance_noise_reaches_the_penalty():
    """R1 is of the gradient at the noisy picture, as at a picture that has this noise by itself."""
    model, _ = make(instance_noise=1.0, penalty="r1", dtype=torch.float32)
    (batch,) = batches_of(model, 1, dtype=torch.float32)

    def penalty(progress):
        model.game.before_step(0, progress)
        torch.manual_seed(0)
        return model.objective(D, batch, model.generate(batch, [D]))[0]["d_penalty"].item()

    noisy, clean = penalty(0.0), penalty(1.0)
    torch.manual_seed(0)
    batch.pictures["target"].add_(torch.randn_like(batch.target))
    assert noisy == pytest.approx(penalty(1.0), rel=1e-5)
    assert noisy != pytest.approx(clean, rel=1e-3)


def test_the_balance_of_began_by_hand():
    """k goes up by 0.001 (gamma L(real) - L(fake)), in steps of D alone, and stays in [0, 1]."""
    settings = GameSettings.make({"diversity": 0.7}).model_copy(update={"objective": "began"})
    torch.manual_seed(0)
    model = Tiny(settings)  # whose logits stand for energies
    model.game.k.fill_(0.2)
    step = step_of(model, make_optimizers(model, settings, device=CPU))
    batches = batches_of(model, 3, dtype=torch.float32)
    k = 0.2
    for i in range(3):
        figures = step(batches[i : i + 1], number=i)
        assert figures["d_k"].item() == pytest.approx(k)
        real, fake = figures["d_real"].item(), figures["d_fake"].item()
        assert figures["d_convergence"].item() == pytest.approx(real + abs(0.7 * real - fake))
        k = min(max(k + 0.001 * (0.7 * real - fake), 0), 1)
    assert model.game.k.item() == pytest.approx(k)
    assert model.state_dict()["game.k"] == model.game.k
    ahead = Unrolled(model, G, step.optimizers, steps=2, across=lambda x: x)
    ahead(batches[0], model.generate(batches[0], [G]))
    assert model.game.k.item() == pytest.approx(k)


RUN = RunSettings.make({})
PLAYERS = {D: (D,), G: (G,)}


@pytest.mark.parametrize(
    ("settings", "run", "players", "message"),
    [
        ({"unroll": 1}, {"compile": True}, PLAYERS, "--step compile cannot"),
        ({"unroll": 1}, {"step": "graph"}, PLAYERS, "--step graph cannot"),
        ({"unroll": 1}, {"precision": "float16"}, PLAYERS, "use --precision bfloat16"),
        ({"d_steps": 2}, {}, {"critic": (), G: ()}, "has no discriminator: it has critic, generator"),
        ({"lr_d": 0.1}, {}, {"critic": (), G: ()}, "has no discriminator"),
        ({"fresh_batch": True}, {}, {G: ()}, "changes nothing in a model of one player"),
        ({"unroll": 1, "penalty": "r1", "norm": "batch"}, {}, PLAYERS, "third derivatives"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, run, players, message):
    tried, _ = make(norm="norm" in settings, **{k: v for k, v in settings.items() if k != "norm"})
    tried.players = players
    with pytest.raises(ValueError, match=message):
        _check_pace(tried.settings, RunSettings.make(run), tried)
    _check_pace(ModelSettings.make({}), RUN, tried)
