"""Every model makes steps with every stabiliser, and with many at once; values are tested elsewhere."""

import pytest
import torch

from tests.models.test_models import CPU, EVERY, model_of, small_model, small_settings, some_batch
from translate.training.loop import Step, make_optimizers

POLICY = "color,translation,cutout"
STABILISERS: dict[str, dict] = {
    "pool": {"pool": 2},
    "adaptive": {"augment": POLICY, "ada": 0.6},
    "noise": {"instance_noise": 0.2},
    "unrolled": {"unroll": 2},
    "many": {"unroll": 1, "augment": POLICY, "ada": 0.5, "pool": 2, "instance_noise": 0.1, "d_steps": 2},
    "at once": {"simultaneous": True},
    "fresh": {"fresh_batch": True},
    "two each": {"d_steps": 2, "g_steps": 2},
    "plain descent": {"clip_gradients": 0.5, "optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.01, "lr": 0.01},
    "two rates": {"lr_d": 1e-3},
    "lazy penalty": {"penalty": "r1", "penalty_every": 2, "pool": 2, "norm": "instance"},
}
GAMES = [name for name in EVERY if "discriminator" in model_of(name).players]


@pytest.mark.exhaustive
@pytest.mark.parametrize("changes", STABILISERS.values(), ids=STABILISERS)
@pytest.mark.parametrize("name", GAMES)
def test_every_model_trains_with_every_stabiliser(name, changes):
    usual = small_settings(name)
    if "ada" in changes and usual.objective == "wasserstein":
        changes = changes | {"objective": "vanilla"}
    elif "unroll" in changes and usual.penalty == "gp":
        changes = changes | {"norm": "none"}
    model, settings = small_model(name, **changes), small_settings(name, **changes)
    optimizers = make_optimizers(model, settings, device=CPU)
    step = Step(model, optimizers, device=CPU, pace=settings.pace, clip_gradients=settings.clip_gradients)
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    batch = some_batch(name, **changes)
    for number in range(2):
        figures = step([batch] * step.rounds, number=number, progress=number / 2)
        assert all(value.isfinite() for value in figures.values())
    for player, submodules in model.players.items():
        for submodule in submodules:
            weights = {key: w for key, w in model.named_parameters() if key.split(".")[0] == submodule}
            assert any(not torch.equal(before[key], w) for key, w in weights.items()), (player, submodule)
