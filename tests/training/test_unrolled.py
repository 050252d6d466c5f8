"""An unrolled discriminator: G's gradient goes through D's steps, and D stays as it was (Metz 2016)."""

import copy

import pytest
import torch
from torch.nn.functional import softplus

from tests.models.test_models import small_model, small_settings, some_batch
from tests.training.tiny import CPU, D, G, GeneratorFirst, Tiny, TwoDiscriminators, batches_of, make, step_of
from translate.models.game_settings import GameSettings
from translate.networks import Shown
from translate.training.loop import Step, make_optimizers, total
from translate.training.unrolled import Unrolled


@pytest.fixture
def in_float64(monkeypatch):
    """Costs in the precision of the networks, so that finite differences tell more than three digits."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)


def d_steps(model, optimizers, batch, count, *, longest=None):
    """`count` real steps of D's optimiser on one batch, as PyTorch makes them."""
    for _ in range(count):
        losses, stats = model.objective(D, batch, {"fake": model.generator(batch.source).detach()})
        optimizers[D].zero_grad()
        total(losses).backward()
        if longest is not None:
            torch.nn.utils.clip_grad_norm_(model.get_submodule(D).parameters(), longest)
        optimizers[D].step()
        if model.settings.penalty == "clip":
            model.game.after_step(D, stats)


def value_after(model, optimizers, batch, count, *, longest=None):
    """G's objective after these steps, which are made by copies."""
    model, state = copy.deepcopy(model), {player: o.state_dict() for player, o in optimizers.items()}
    optimizers = make_optimizers(model, model.settings, device=CPU)
    optimizers[D].load_state_dict(copy.deepcopy(state[D]))
    d_steps(model, optimizers, batch, count, longest=longest)
    with torch.no_grad():
        losses, _ = model.objective(G, batch, model.generate(batch, [G]))
    return total(losses).item()


def unrolled_gradient(model, optimizers, batch, count, *, longest=None):
    """The value of G's objective through `count` steps of D, and its gradient by G's weights as one vector."""
    ahead = Unrolled(model, G, optimizers, steps=count, across=lambda x: x, clip_gradients=longest)
    losses, _ = ahead(batch, model.generate(batch, [G]))
    gradients = torch.autograd.grad(total(losses), list(model.generator.parameters()))
    return total(losses).item(), torch.cat([gradient.flatten() for gradient in gradients])


CASES: dict[str, dict] = {
    "adam": {"lr": 0.05},
    "adam with weight decay": {"lr": 0.05, "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.05},
    "sgd": {"optimizer": "sgd", "lr": 0.5},
    "momentum": {"optimizer": "sgd", "lr": 0.3, "momentum": 0.7, "weight_decay": 0.1},
    "shortened": {"optimizer": "sgd", "lr": 0.5, "clip_gradients": 0.2},
    "own rate": {"optimizer": "sgd", "lr": 0.01, "lr_d": 0.7},
    "r1": {"penalty": "r1", "optimizer": "sgd", "lr": 0.1, "r1_gamma": 5.0},
    "r1r2": {"penalty": "r1r2", "optimizer": "sgd", "lr": 0.1, "r1_gamma": 5.0},
    "critic": {"objective": "wasserstein", "penalty": "gp", "optimizer": "sgd", "lr": 0.1},
    "clipped critic": {"objective": "wasserstein", "penalty": "clip", "clip": 0.15, "optimizer": "sgd", "lr": 0.2},
    "batch norm": {"norm": True, "lr": 0.05},
    "augmented": {"augment": "color,cutout", "optimizer": "sgd", "lr": 0.5},
    "pairs": {"objective": "relativistic", "optimizer": "sgd", "lr": 0.5},
    "zero-sum": {"objective": "minimax", "unroll": 2, "optimizer": "sgd", "lr": 0.5},
    "divergence": {"objective": "hellinger", "unroll": 2, "optimizer": "sgd", "lr": 0.05},
}


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_finite_differences(case, count, before, in_float64):
    """`before`: steps that D's optimiser has made, so that it has moments."""
    model, optimizers = make(**CASES[case])
    longest = model.settings.clip_gradients
    seen, batch = batches_of(model, 2, size=3)
    d_steps(model, optimizers, seen, before, longest=longest)
    value, gradient = unrolled_gradient(model, optimizers, batch, count, longest=longest)
    assert value == pytest.approx(value_after(model, optimizers, batch, count, longest=longest), rel=1e-9)
    torch.manual_seed(1)
    for _ in range(2):
        direction, h, values = torch.randn_like(gradient), 1e-6, []
        for sign in (1, -1):
            other = copy.deepcopy(model)
            parts = direction.split([p.numel() for p in other.generator.parameters()])
            with torch.no_grad():
                for weight, part in zip(other.generator.parameters(), parts, strict=True):
                    weight += sign * h * part.view_as(weight)
            values.append(value_after(other, optimizers, batch, count, longest=longest))
        assert gradient @ direction == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-4, abs=1e-7)


def test_it_is_not_the_gradient_that_takes_d_as_it_will_be_for_given(in_float64):
    model, optimizers = make(**CASES["sgd"])
    (batch,) = batches_of(model, 1)
    _, through = unrolled_gradient(model, optimizers, batch, 2)
    ahead = copy.deepcopy(model)
    state = make_optimizers(ahead, ahead.settings, device=CPU)
    d_steps(ahead, state, batch, 2)
    losses, _ = ahead.objective(G, batch, ahead.generate(batch, [G]))
    given = torch.autograd.grad(total(losses), list(ahead.generator.parameters()))
    assert not torch.allclose(through, torch.cat([g.flatten() for g in given]), rtol=0.01)


def test_no_steps_are_the_usual_game():
    model, optimizers = make()
    (batch,) = batches_of(model, 1)
    value, gradient = unrolled_gradient(model, optimizers, batch, 0)
    losses, _ = model.objective(G, batch, model.generate(batch, [G]))
    usual = torch.autograd.grad(total(losses), list(model.generator.parameters()))
    assert value == total(losses).item()
    assert torch.equal(gradient, torch.cat([g.flatten() for g in usual]))


def test_in_a_zero_sum_game_g_lowers_the_whole_value_where_steps_are_unrolled():
    """What D says of real pictures after its steps depends on G, too (Metz 2016, equations 5 and 6)."""
    for unroll in (0, 2):
        model, _ = make(objective="minimax", unroll=unroll)
        (batch,) = batches_of(model, 1)
        images = model.generate(batch, [G])
        of_d, _ = model.objective(D, batch, images)
        of_g, _ = model.objective(G, batch, images)
        ((on_real,),) = model.discriminator(Shown(batch.target, batch.source))
        log_of_real = -softplus(-on_real.logits).mean().item()
        whole = -2 * of_d["d"].item()  # D's cost is halved
        assert of_g["g_gan"].item() == pytest.approx(whole if unroll else whole - log_of_real, rel=1e-5)


def test_several_discriminators_are_all_looked_ahead_of(in_float64):
    model, optimizers = make(TwoDiscriminators, optimizer="sgd", lr=0.5)
    (batch,) = batches_of(model, 1)
    value, _ = unrolled_gradient(model, optimizers, batch, 2)
    assert value == pytest.approx(value_after(model, optimizers, batch, 2), rel=1e-9)
    assert value != pytest.approx(value_after(model, optimizers, batch, 0), rel=1e-3)


def everything(model, optimizers):
    """Copies of all that D has."""
    state = optimizers[D].state
    moments = {f"{i}.{k}": v for i, kept in enumerate(state.values()) for k, v in kept.items()}
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("generator")}
    return {k: v.clone() for k, v in {**own, **moments}.items() if isinstance(v, torch.Tensor)}


@pytest.mark.parametrize("kind", [Tiny, GeneratorFirst])
@pytest.mark.parametrize("case", ["adam", "momentum", "rmsprop", "batch norm", "clipped critic"])
def test_the_discriminator_stays_as_it_was(case, kind):
    """Bit for bit; and the same goes for the seeds of the rest of the step."""
    model, optimizers = make(kind, **CASES[case])
    seen, batch = batches_of(model, 2)
    step_of(model, optimizers)([seen])
    before = everything(model, optimizers)
    unrolled_gradient(model, optimizers, batch, 3)
    after = everything(model, optimizers)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(game.looking_ahead for game in model.games)
    assert all(weight.grad is None for weight in model.discriminator.parameters())


def test_balance_adaption_and_spectral_norm_stay_as_they_were(in_float64):
    changes = {"augment": "color", "ada": 0.6, "ada_speed": 1.0}
    model, optimizers = make(norm=True, **changes)
    torch.nn.utils.parametrizations.spectral_norm(model.discriminator.network[0])
    optimizers = make_optimizers(model, model.settings, device=CPU)
    (batch,) = batches_of(model, 1)
    before = everything(model, optimizers)
    assert {"game.ada.p", "discriminator.network.0.parametrizations.weight.0._u"} < before.keys()
    unrolled_gradient(model, optimizers, batch, 2)
    after = everything(model, optimizers)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_step_differs_from_the_usual_one_for_the_generator_alone():
    """D's own step is the same; the penalty is computed in the steps ahead when it is in D's own."""
    states = {}
    for unroll in (0, 2):
        model, optimizers = make(GeneratorFirst, unroll=unroll, penalty="r1", penalty_every=2, lr=0.05)
        step = step_of(model, optimizers)
        step(batches_of(model, 1), number=0)
        assert model.game.penalty_due
        states[unroll] = copy.deepcopy(model.state_dict())
    assert all(torch.equal(states[0][k], states[2][k]) for k in states[0] if k.startswith("discriminator"))
    assert not any(torch.equal(states[0][k], states[2][k]) for k in states[0] if k.startswith("generator"))


def test_gradients_of_accumulated_batches_are_averaged():
    model, optimizers = make(GeneratorFirst, unroll=2, optimizer="sgd", lr=0.5)
    both = batches_of(model, 2)
    gradients = [unrolled_gradient(model, optimizers, batch, 2)[1] for batch in both]
    before = torch.cat([p.detach().flatten() for p in model.generator.parameters()])
    step_of(model, optimizers)(both)
    moved = before - torch.cat([p.detach().flatten() for p in model.generator.parameters()])
    torch.testing.assert_close(moved, 0.5 * (gradients[0] + gradients[1]) / 2)


@pytest.mark.parametrize("name", ["pix2pix label", "cyclegan", "bicyclegan", "stargan text", "dcgan"])
def test_every_kind_of_model_makes_unrolled_steps(name):
    changes = {"unroll": 1, "pool": 2, "drop_condition": 0.1}
    model, settings = small_model(name, **changes), small_settings(name, **changes)
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU, pace=settings.pace)
    before = {k: v.clone() for k, v in model.named_parameters()}
    figures = step([some_batch(name, **changes)] * step.rounds)
    assert all(value.isfinite() for value in figures.values())
    for player, submodules in model.players.items():
        for submodule in submodules:
            moved = [not torch.equal(before[k], v) for k, v in model.named_parameters() if k.startswith(submodule)]
            assert any(moved), (player, submodule)


def test_it_runs_under_bfloat16():
    model, optimizers = make(dtype=torch.float32, unroll=2)
    figures = step_of(model, optimizers, precision="bfloat16")(batches_of(model, 1, dtype=torch.float32))
    assert all(value.isfinite() for value in figures.values())


def test_looking_ahead_of_players_that_step_at_once_is_refused():
    with pytest.raises(ValueError, match="--simultaneous"):
        GameSettings.make({"unroll": 2, "simultaneous": True})
