"""Every objective against formulas written a second time (`formulas.py`): values, gradients, extremes, divergences."""

import numpy as np
import pytest
import torch

from tests.losses.formulas import BY_HAND, FORMULAS, OPTIMUM, WEIGHTS, F
from translate.losses import OBJECTIVES
from translate.losses.adversarial import DIVERGENCES

NUMBERS = {"smoothing": 0.2, "margin": 0.75, "k": 0.3}
SHAPES = [(1, 1, 1, 1), (1, 1, 3, 5), (5, 1, 2, 2)]


def logits(shape, seed):
    return np.random.default_rng(seed).normal(0, 2, shape)


def gradients(cost, *parts):
    """The value of `cost(real, fake)`, and its gradients."""
    leaves = [torch.from_numpy(part).float().requires_grad_() for part in parts]
    value = cost(*leaves)
    return value, torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)


def assert_matches(cost, formula, real, fake):
    expected = formula(real, fake)
    value, (by_real, by_fake) = gradients(cost, real, fake)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected.value, rel=2e-5, abs=1e-5)
    np.testing.assert_allclose(by_real.numpy(), expected.real, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_fake.numpy(), expected.fake, rtol=1e-4, atol=1e-6)


def test_every_objective_is_written_a_second_time():
    assert set(FORMULAS) == set(OBJECTIVES)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_costs_and_gradients_are_those_of_the_formulas(name, shape):
    objective, formulas = OBJECTIVES[name], FORMULAS[name]
    real, fake = logits(shape, 1), logits(shape, 2)
    usual = {taken: NUMBERS[taken] for taken in objective.takes if taken != "smoothing"}
    assert_matches(lambda r, f: objective.discriminator(r, f, **usual), formulas.discriminator(**usual), real, fake)
    assert_matches(objective.generator, formulas.generator, real, fake)
    assert (objective.non_saturating is None) == (formulas.non_saturating is None)
    if objective.non_saturating is not None:
        assert_matches(objective.non_saturating, formulas.non_saturating, real, fake)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if "smoothing" in OBJECTIVES[name].takes])
def test_smoothing_changes_the_target_of_real_pictures_alone(name):
    objective = OBJECTIVES[name]
    real, fake = logits((5, 1, 2, 2), 1), logits((5, 1, 2, 2), 2)
    smoothed = lambda r, f: objective.discriminator(r, f, smoothing=0.2)  # noqa: E731
    assert_matches(smoothed, FORMULAS[name].discriminator(smoothing=0.2), real, fake)
    if not objective.pairs:  # where each side is scored by itself, fakes have the gradient that they had
        before, after = (gradients(cost, real, fake)[1] for cost in (objective.discriminator, smoothed))
        torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)
        assert (after[0] - before[0]).abs().min() > 0


def costs(objective):
    numbers = {name: NUMBERS[name] for name in objective.takes}
    yield lambda r, f: objective.discriminator(r, f, **numbers)
    yield objective.generator
    if objective.non_saturating is not None:
        yield objective.non_saturating


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_extreme_logits_have_finite_costs_and_gradients_in_float32(name, dtype):
    """Of every sign on either side, under autocast as in training."""
    for cost in costs(OBJECTIVES[name]):
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            real, fake = (torch.full((2, 1, 2, 2), s * 1e4, dtype=dtype, requires_grad=True) for s in signs)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                value = cost(real, fake)
            assert value.dtype == torch.float32
            assert value.isfinite()
            found = torch.autograd.grad(value, (real, fake), allow_unused=True, materialize_grads=True)
            assert all(gradient.isfinite().all() for gradient in found)


def test_exponentials_go_on_as_their_tangent_and_have_no_kink():
    """Above 10: the same value and slope on both sides."""
    for name in ("maximum-likelihood", "kl", "reverse-kl", "hellinger"):
        for cost in costs(OBJECTIVES[name]):
            for corner in (10.0, 11.0, -10.0):
                (_, (left, low)), (_, (right, high)) = (
                    gradients(cost, *(np.full((1, 1, 1, 1), corner + step),) * 2) for step in (-1e-3, 1e-3)
                )
                torch.testing.assert_close(left, right, rtol=3e-3, atol=1e-4)
                torch.testing.assert_close(low, high, rtol=3e-3, atol=1e-4)


def test_the_relations_of_cross_entropies():
    real, fake = (torch.from_numpy(logits((5, 1, 2, 2), seed)).float() for seed in (1, 2))
    vanilla, minimax, softplus = (OBJECTIVES[name] for name in ("vanilla", "minimax", "softplus"))
    halved = vanilla.discriminator(real, fake)
    torch.testing.assert_close(minimax.discriminator(real, fake), halved)
    torch.testing.assert_close(softplus.discriminator(real, fake), 2 * halved)
    torch.testing.assert_close(softplus.generator(None, fake), vanilla.generator(None, fake))
    assert minimax.non_saturating is not None
    assert minimax.non_saturating(None, fake) == vanilla.generator(None, fake)
    # what D maximises of the fakes, whole: log(1 - D)
    torch.testing.assert_close(minimax.generator(None, fake), torch.log(1 - torch.sigmoid(fake)).mean())


def test_the_first_cost_saturates_where_d_wins_and_the_second_does_not():
    """By the logit of a fake: -D, and -(1 - D)."""
    lost = np.full((1, 1, 1, 1), -8.0)
    d = 1 / (1 + np.exp(8.0))
    for cost, slope in ((OBJECTIVES["minimax"].generator, -d), (OBJECTIVES["minimax"].non_saturating, -(1 - d))):
        _, (_, by_fake) = gradients(cost, lost, lost)
        assert by_fake.item() == pytest.approx(slope, rel=1e-4)


def test_what_real_ones_add_makes_the_game_zero_sum():
    torch.manual_seed(0)
    real, fake = 2 * torch.randn(2, 3, 4, 4)
    zero_sum = {name for name, one in OBJECTIVES.items() if one.of_real is not None}
    assert zero_sum == {"minimax", "wasserstein", *DIVERGENCES}
    for name in zero_sum:
        one = OBJECTIVES[name]
        assert one.of_real is not None
        of_d = one.discriminator(real, fake) * (2 if name == "minimax" else 1)
        torch.testing.assert_close(one.generator(None, fake) + one.of_real(real), -of_d)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_other_cost_of_a_divergence_does_not_saturate(name):
    """Where D is sure of a fake, raising its activation still has the slope of the real ones' term."""
    _, (_, by_fake) = gradients(OBJECTIVES[name].non_saturating, *(np.full((1, 1, 1, 1), -3.0),) * 2)
    _, (by_real, _) = gradients(OBJECTIVES[name].discriminator, *(np.full((1, 1, 1, 1), -3.0),) * 2)
    torch.testing.assert_close(by_fake, by_real)
    assert by_fake.item() < -0.9


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if OBJECTIVES[name].pairs])
def test_relativistic_costs_take_unequal_batches(name):
    """Every real is held against every fake: as if both were repeated to all pairs."""
    real, fake = logits((2, 1, 2, 2), 1), logits((3, 1, 2, 2), 2)
    pairs = np.repeat(real, 3, 0), np.tile(fake, (2, 1, 1, 1))
    for cost in (OBJECTIVES[name].discriminator, OBJECTIVES[name].generator):
        value, (by_real, by_fake) = gradients(cost, real, fake)
        expected, (of_real, of_fake) = gradients(cost, *pairs)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(by_real, of_real.unflatten(0, (2, 3)).sum(1))
        torch.testing.assert_close(by_fake, of_fake.unflatten(0, (2, 3)).sum(0))


# f-divergences


U = np.geomspace(1e-6, 1e6, 200_001)


def activation(name, v):
    return DIVERGENCES[name].activation(torch.as_tensor(v)).double().numpy()


def conjugate(name, v):
    return DIVERGENCES[name].conjugate(torch.as_tensor(v)).double().numpy()


def conjugated(name, t):
    """sup over u of u t - f(u), by looking."""
    return (U[:, None] * t - F[name][0](U)[:, None]).max(0)


def test_every_divergence_is_tested():
    assert set(F) == set(OPTIMUM) == set(BY_HAND) == set(DIVERGENCES)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_conjugate_is_the_one_that_is_found_by_looking(name):
    """And so Fenchel's inequality holds, u t <= f(u) + f*(t), with equality at t = f'(u)."""
    u = np.array([0.05, 0.3, 1.0, 2.5, 8.0])
    f, slope = F[name]
    v = OPTIMUM[name](u)
    np.testing.assert_allclose(activation(name, v), slope(u), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(conjugate(name, v), conjugated(name, slope(u)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(u * activation(name, v), f(u) + conjugate(name, v), rtol=1e-5, atol=1e-5)
    others = np.linspace(-3, 3, 61)
    gap = f(u)[:, None] + conjugate(name, others) - u[:, None] * activation(name, others)
    assert gap.min() > -1e-5


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_bound_of_the_best_discriminator_is_the_divergence(name):
    """Two densities on four points, each point as often in the batch as its weight says; no other D gives more."""
    p, q = WEIGHTS / 10
    real, fake = (np.repeat(OPTIMUM[name](p / q), counts).reshape(-1, 1, 1, 1) for counts in WEIGHTS)
    value, _ = gradients(OBJECTIVES[name].discriminator, real, fake)
    assert -value.item() == pytest.approx(BY_HAND[name](p, q), rel=1e-5)
    shift = np.random.default_rng(0).normal(0, 0.3, 4)
    real, fake = (np.repeat(OPTIMUM[name](p / q) + shift, counts).reshape(-1, 1, 1, 1) for counts in WEIGHTS)
    assert -gradients(OBJECTIVES[name].discriminator, real, fake)[0].item() < BY_HAND[name](p, q)


def test_jensen_shannon_is_twice_the_usual_one():
    p, q = WEIGHTS / 10
    middle = (p + q) / 2
    usual = 0.5 * (BY_HAND["kl"](p, middle) + BY_HAND["kl"](q, middle))
    assert BY_HAND["jensen-shannon"](p, q) == pytest.approx(2 * usual)


@pytest.mark.parametrize("name", [name for name, one in OBJECTIVES.items() if not one.critic and not one.energy])
def test_the_undecided_logit_is_the_best_one_where_both_densities_are_equal(name):
    """There the gradients by a real and by a fake picture of one logit cancel."""
    objective = OBJECTIVES[name]
    logit = torch.full((1, 1, 1, 1), objective.undecided, requires_grad=True)
    (slope,) = torch.autograd.grad(objective.discriminator(logit, logit), logit)
    assert slope.item() == pytest.approx(0, abs=1e-6)
    if name in OPTIMUM:
        assert objective.undecided == pytest.approx(OPTIMUM[name](1.0))
