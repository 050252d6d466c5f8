"""The page that teaches the game: its parts run, known answers come out, and its numbers are those of the results."""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.game import costs, directions, estimators, likelihood, pictures, ratio, ring, spiral
from benchmarks.game.points import mlp, train_discriminator
from benchmarks.game.work import Work, cells
from benchmarks.measure import table
from benchmarks.recipes import Flags
from tests.benchmarks.tables import Main
from translate.losses import OBJECTIVES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "game.md"
PLOTS = ROOT / "docs" / "game"
PARTS = importlib.import_module("benchmarks.game.__main__").PARTS


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.manual_seed(0)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


HAND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "minimax": lambda v: -sigmoid(v),
    "vanilla": lambda v: sigmoid(v) - 1,
    "maximum-likelihood": lambda v: -np.exp(v),
    "lsgan": lambda v: 2 * (v - 1),
    "wasserstein": lambda v: -np.ones_like(v),
    "pearson": lambda v: -(v / 2 + 1),
    "kl": lambda v: -np.exp(v - 1),
}


@pytest.mark.parametrize("name", HAND)
def test_the_gradient_that_is_drawn_is_the_one_worked_by_hand(name: str) -> None:
    logits = np.array([-4.0, -1.0, 0.0, 0.5, 3.0])
    np.testing.assert_allclose(costs.generator_gradient(name, logits), HAND[name](logits), rtol=1e-5)


def test_one_sided_smoothing_scales_the_best_discriminator_and_a_smoothed_fake_target_bends_it() -> None:
    """The best D by trying all: p times the cost of a real example plus q times that of a fake, in steps of 0.0001."""
    tried = np.linspace(1e-4, 1 - 1e-4, 9999)
    for p, q in ((0.3, 0.7), (2.0, 0.1), (0.01, 1.0)):
        for real, fake in ((1.0, 0.0), (0.9, 0.0), (1.0, 0.1)):
            cost = -p * (real * np.log(tried) + (1 - real) * np.log(1 - tried))
            cost = cost - q * (fake * np.log(tried) + (1 - fake) * np.log(1 - tried))
            best = costs.best_discriminator(np.array(p), np.array(q), real=real, fake=fake)
            assert tried[cost.argmin()] == pytest.approx(float(best), abs=1e-4)


def test_jensen_shannon_is_0_for_equal_densities_and_1_bit_for_disjoint_ones() -> None:
    grid = np.linspace(-30, 30, 6001)
    one, other = (np.exp(-0.5 * (grid - m) ** 2) / math.sqrt(2 * math.pi) for m in (-12, 12))
    assert ratio.jensen_shannon(one, one, 0.01) == pytest.approx(0, abs=1e-9)
    assert ratio.jensen_shannon(one, other, 0.01) == pytest.approx(1, abs=1e-6)


def test_a_trained_discriminator_gives_the_log_ratio_and_the_divergence() -> None:
    """Exercise 1. Gaussians of deviation 1 about 0 and 2: the log ratio is 2 - 2 x, the divergence 0.486 bits."""
    real, fake = ratio.gaussian(0.0), ratio.gaussian(2.0)
    network = train_discriminator(mlp(1, 1, width=16), real=real, fake=fake, steps=250, batch=256, lr=1e-2)
    x = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(ratio.logits_at(network, x), 2 - 2 * x, atol=0.4)
    assert ratio.bits_of_discriminator(network, real, fake) == pytest.approx(0.486, abs=0.02)


def test_simultaneous_steps_spiral_outwards_by_a_known_factor_and_alternating_ones_stay_bounded() -> None:
    radius = np.linalg.norm(spiral.path(40, simultaneous=True, rate=0.2), axis=1)
    np.testing.assert_allclose(radius[1:] / radius[:-1], math.sqrt(1 + 0.2**2), rtol=1e-5)
    assert np.linalg.norm(spiral.path(200, simultaneous=False, rate=0.2), axis=1).max() < 1.15


def test_small_steps_follow_the_circle_of_the_second_exercise() -> None:
    rate, count = 0.002, 300
    time = rate * np.arange(count + 1)
    circle = np.stack([np.cos(time), np.sin(time)], 1)  # from (1, 0): x = x0 cos t - y0 sin t, y = x0 sin t + y0 cos t
    np.testing.assert_allclose(spiral.path(count, simultaneous=True, rate=rate), circle, atol=2e-3)


def test_the_third_exercise_the_cost_minus_exp_of_the_logit_is_maximum_likelihood() -> None:
    """With D* held fast, the gradient of E_model f over the model's mean, by sums over a grid, is that of the KL."""
    x, mean = np.linspace(-9, 9, 3601), 0.7
    p_data = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    p_model = np.exp(-0.5 * (x - mean) ** 2) / math.sqrt(2 * math.pi)
    score = x - mean  # d log p_model / d mean
    logit = torch.tensor(np.log(p_data / p_model))
    cost = np.array([float(OBJECTIVES["maximum-likelihood"].generator(None, one)) for one in logit])
    gradient = float((p_model * cost * score).sum() * 0.005)
    assert gradient == pytest.approx(mean, rel=1e-3)  # d KL(N(0, 1) || N(mean, 1)) / d mean


def test_the_gradient_of_self_contrastive_estimation_is_half_of_maximum_likelihoods() -> None:
    weights = torch.tensor([-0.5, 0.2, 0.0], requires_grad=True)
    x = 1 + 0.6 * torch.randn(400_000, 1)
    found = [
        torch.autograd.grad(cost(weights, x), weights, allow_unused=True)[0][:2]
        for cost in (estimators.likelihood_cost, estimators.self_contrastive_cost)
    ]
    torch.testing.assert_close(found[1], 0.5 * found[0], atol=5e-3, rtol=0.02)


def test_the_two_directions_of_kl_prefer_what_they_are_known_for() -> None:
    fits = directions.best_fits()
    mean, deviation = -0.8, math.sqrt(0.25 + 4 - 0.64)  # of the data: 0.7 and 0.3 at -2 and 2, each of deviation 0.5
    assert fits["KL(data || model)"] == pytest.approx((mean, deviation), abs=0.06)
    assert fits["KL(model || data)"] == pytest.approx((-2, 0.5), abs=0.06)


def test_coverage_counts_modes_with_one_per_cent_within_three_sigma() -> None:
    centres = ring.centres()
    at_seven = centres[:7].repeat_interleave(99, 0)
    few = centres[7:].repeat(6, 1)  # 6 of 1,000 samples: no mode
    far = centres[:1] + torch.tensor([0.0, 0.0601])
    found = ring.Coverage.of(torch.cat([at_seven, few, far.repeat(301, 1)]))
    assert (found.modes, found.share) == (7, pytest.approx(0.699))
    assert ring.Coverage.of(ring.ring(4000)).enough


SEEDS = [
    pytest.param(name, seed, marks=pytest.mark.exhaustive if seed or name.startswith("unrolled") else pytest.mark.slow)
    for name in ("minibatch stddev", "unrolled, 5 steps")  # a seed of the latter takes more than a minute
    for seed in (0, 1, 2)
]


@pytest.mark.parametrize(("name", "seed"), SEEDS)
def test_a_game_unrolled_or_with_minibatch_features_finds_the_modes(name: str, seed: int) -> None:
    variant = ring.VARIANTS[name]
    assert ring.run(variant, seed=seed, steps=variant.steps).coverage.enough


def test_probabilities_of_all_256_values_add_up_to_one() -> None:
    values = torch.linspace(-1, 1, 256)
    for mean, log_scale in ((0.3, -2.0), (-1.2, -5.0), (0.99, 0.5)):
        total = likelihood.log_probability(values, torch.tensor(mean), torch.tensor(log_scale)).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-3)


def test_pixelcnn_sees_only_what_comes_before() -> None:
    model = likelihood.PixelCNN(width=6, blocks=1, mixture=2)
    x = torch.rand(1, 3, 5, 5, requires_grad=True)
    for colour, row, column in ((0, 2, 2), (1, 2, 2), (2, 4, 0)):
        part = torch.stack([each[:, colour, :, row, column].sum() for each in model.parts(x)]).sum()
        (seen,) = torch.autograd.grad(part, x)
        order = torch.arange(25).view(5, 5)[None] * 3 + torch.arange(3)[:, None, None]
        own = (row * 5 + column) * 3 + colour
        assert not seen[0][order >= own].any()
        assert seen[0][order < own].any()


def test_sampling_from_a_window_of_rows_is_that_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = likelihood.PixelCNN(width=6, blocks=2, mixture=2)
    torch.manual_seed(1)
    part = model.sample(2, size=9)
    monkeypatch.setattr(likelihood.PixelCNN, "reach", property(lambda self: 99))
    torch.manual_seed(1)
    torch.testing.assert_close(part, model.sample(2, size=9))


def test_the_bound_of_the_vae_has_the_kl_of_two_gaussians() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, -0.7]])
    own = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    other = torch.distributions.Normal(torch.zeros(1, 2), torch.ones(1, 2))
    torch.testing.assert_close(
        likelihood.gaussian_kl(mean, log_variance), torch.distributions.kl_divergence(own, other).sum(1)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_each_part_runs_and_draws(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SHOWN", 16)
    rows = PARTS[name](Work(tmp_path, share=0.001))
    assert rows
    assert list(tmp_path.glob("*.png"))
    texts, titles = cells(rows)
    assert table(texts, titles=titles)


def test_what_other_processes_run_is_in_a_module_that_they_can_import() -> None:
    """A spawned process has no `__main__` of a package that was started by `python -m`."""
    command = importlib.import_module("benchmarks.game.__main__")
    assert command.made.__module__ == "benchmarks.game.parts"


def test_the_command_keeps_the_results_of_other_parts(
    bench: Callable[[str], Main], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = bench("game")
    for part in ("gradients", "spiral"):
        assert main(["--only", part, "--out", str(tmp_path), "--share", "0.01"]) == 0
    assert list(json.loads((tmp_path / "results.json").read_text())) == ["gradients", "spiral"]
    assert "growth a step" in capsys.readouterr().out
    assert main(["--only", "spirals", "--out", str(tmp_path)]) == 2
    assert "spiral" in capsys.readouterr().err


def test_the_numbers_on_the_page_are_those_of_the_results() -> None:
    results = json.loads((PLOTS / "results.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- figures: ([\w-]+) -->", page):
        texts, titles = cells(results[name]["rows"])
        expected = table(texts, titles=titles)
        assert f"<!-- figures: {name} -->\n\n{expected}\n" in page, f"{name}: make the table again"


TRAININGS = {
    "facades": {"l1": ".3f", "perceptual_lite1": ".2f", "kid_lite1": ".0f", "class_lite1": ".2f"},
    "horse2zebra": {"kid_lite1": ".0f", "class_lite1": ".2f"},
}
"""Table of trainings on the page -> its figures, and how they are written."""


@pytest.mark.parametrize("name", TRAININGS)
def test_the_trainings_on_the_page_are_those_of_the_results(name: str) -> None:
    results = json.loads((PLOTS / f"{name}.json").read_text(encoding="utf-8"))
    flags = Flags(data=PLOTS, out=PLOTS, rows=str(PLOTS / f"{name}.txt"))
    trained = {(row.name, seed): f"{row.name}, seed {seed}" for row in flags.each_row for seed in row.seeds or (0,)}
    assert set(trained.values()) == {*results} - {"floor"}
    lines = []
    for row in flags.each_row:
        seeds = [results[name] for (of, _), name in trained.items() if of == row.name]
        each = [", ".join(format(one[figure], how) for one in seeds) for figure, how in TRAININGS[name].items()]
        lines.append(" | ".join([f"| {row.name}", str(len(seeds)), *each]) + " |")
    shown = PAGE.read_text(encoding="utf-8").split(f"<!-- results: {name} -->\n\n")[1].split("\n\n")[0]
    assert shown.splitlines()[2:] == lines  # below the titles


def test_the_plots_on_the_page_are_there_and_small() -> None:
    named = re.findall(r"\]\(game/([\w-]+\.(?:png|jpg))\)", PAGE.read_text(encoding="utf-8"))
    assert {path.name for pattern in ("*.png", "*.jpg") for path in PLOTS.glob(pattern)} == set(named)
    assert sum(path.stat().st_size for path in PLOTS.iterdir()) < 600_000
