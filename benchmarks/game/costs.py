"""What the generator learns from: the gradient of every objective's cost, and what smoothed targets do to D*."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.game.points import mlp, train_discriminator
from benchmarks.game.work import Row, Work, normal_density, panels, rounded, save
from translate.losses import OBJECTIVES

AT = (0.01, 0.5, 0.99)  # values of D(G(z)) in the table
CROSS_ENTROPY = ("minimax", "vanilla", "maximum-likelihood", "softplus", "relativistic")
SMOOTHING = 0.1


def generator_gradient(name: str, logits: np.ndarray, *, non_saturating: bool = False) -> np.ndarray:
    """dJ/dl of the generator's cost at each logit l of a fake; real ones, where they are needed, have the logit 0."""
    objective = OBJECTIVES[name]
    cost = objective.non_saturating if non_saturating else objective.generator
    assert cost is not None, f"{name} has one cost"
    fake = torch.tensor(logits, dtype=torch.float64).requires_grad_()
    for_each = torch.stack([cost(torch.zeros_like(logit), logit) for logit in fake.unbind()])
    (gradient,) = torch.autograd.grad(for_each.sum(), fake)
    return gradient.numpy()


def gradients(work: Work) -> list[Row]:
    """G's gradient by the logit, against D(G(z)), for every objective."""
    probability = np.linspace(0.002, 0.998, 250)
    logits = np.log(probability / (1 - probability))
    figure, (left, right) = panels(2, width=5.2, height=3.8)
    rows: list[Row] = []
    curves: list[tuple[list[str], np.ndarray]] = []  # names of one curve, and its values
    for name in OBJECTIVES:
        at = generator_gradient(name, np.log(np.array(AT) / (1 - np.array(AT))))
        rows.append({"objective": name, **{f"at D = {p}": rounded(g) for p, g in zip(AT, at, strict=True)}})
        size = np.maximum(np.abs(generator_gradient(name, logits)), 1e-4)
        same = [names for names, other in curves if np.allclose(size, other, rtol=1e-3)]
        if same:
            same[0].append(name)
        else:
            curves.append(([name], size))
    for names, size in curves:
        axes = left if names[0] in CROSS_ENTROPY else right
        axes.plot(probability, size, label=",\n".join(names), linewidth=1.4)
    for axes, title in ((left, "games of cross-entropy, and those alike"), (right, "the others")):
        axes.set(title=title, xlabel="D(G(z)) = sigmoid(l)", ylabel="|dJ/dl|", yscale="log", ylim=(1e-3, 1e2))
        axes.legend(fontsize="x-small")
    save(figure, work.out / "gradients.png")
    return rows


def best_discriminator(p_data: np.ndarray, p_model: np.ndarray, *, real: float = 1.0, fake: float = 0.0) -> np.ndarray:
    """D* for the targets `real` and `fake`: what the cross-entropy of both is least at."""
    return (real * p_data + fake * p_model) / (p_data + p_model)


def smoothing(work: Work) -> list[Row]:
    """D* without smoothing, with one-sided smoothing (also trained), and with a smoothed fake target."""
    x = np.linspace(-5, 4, 400)
    p_data, p_model = normal_density(x, 1.0, 0.8), normal_density(x, -2.0, 0.8)
    ways = {
        "plain": best_discriminator(p_data, p_model),
        "real target 0.9": best_discriminator(p_data, p_model, real=1 - SMOOTHING),
        "fake target 0.1": best_discriminator(p_data, p_model, fake=SMOOTHING),
    }
    torch.manual_seed(work.seeds[0])
    network = train_discriminator(
        mlp(1, 1),
        real=lambda n: 1.0 + 0.8 * torch.randn(n, 1),
        fake=lambda n: -2.0 + 0.8 * torch.randn(n, 1),
        steps=work.steps(800),
        label_smoothing=SMOOTHING,
    )
    with torch.no_grad():
        points = torch.tensor(x, dtype=torch.float32)[:, None, None, None]
        trained = torch.sigmoid(network(points)).flatten().numpy()
    figure, (left, right) = panels(2, width=5.0, height=3.4)
    left.fill_between(x, p_data, alpha=0.2, label="p_data")
    left.fill_between(x, p_model, alpha=0.2, label="p_model")
    rows: list[dict[str, Any]] = []
    for name, best in ways.items():
        left.plot(x, best, label=f"D*, {name}")
        pull = np.gradient(np.log(best), x)
        right.plot(x, pull, label=name)
        rows.append(
            {
                "targets": name,
                "D* among the data (x = 1)": rounded(float(np.interp(1.0, x, best))),
                "D* among the fakes (x = -2)": rounded(float(np.interp(-2.0, x, best)), 2),
                "pull there, d log D* / dx": rounded(float(np.interp(-2.0, x, pull)), 2),
            }
        )
    weights = p_data + p_model
    error = float((np.abs(trained - ways["real target 0.9"]) * weights).sum() / weights.sum())
    rows[1]["trained, mean error"] = rounded(error, 2)
    left.plot(x, trained, "k:", label="trained, real target 0.9")
    left.set(title="D*", xlabel="x")
    right.set(title="what G gets: d log D* / dx", xlabel="x")
    for axes in (left, right):
        axes.legend(fontsize="x-small")
    save(figure, work.out / "smoothing.png")
    return rows
