"""Models, objectives, discriminators and stabilisers together: each pair of choices works, or is refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.combinations import PLAYING, pairwise, tried, tried_with
from translate.losses import OBJECTIVES
from translate.networks import DISCRIMINATORS

QUICK = [name for name in DISCRIMINATORS if name != "projected"]  # which takes seconds: it has a test of its own
PENALTIES: tuple[dict[str, Any], ...] = (
    {},
    {"penalty": "clip"},
    {"penalty": "gp"},
    {"penalty": "r1", "penalty_every": 2},
    {"penalty": "r1r2"},
)
SEEN: tuple[dict[str, Any], ...] = (
    *({}, {"label_smoothing": 0.1}, {"instance_noise": 0.1}, {"augment": "color,cutout"}, {"pool": 2}),
    *({"augment": "translation", "ada": 0.6, "ada_speed": 1}, {"lambda_features": 1.0}, {"spectral_norm": True}),
    {"generator_cost": "non-saturating"},
)
PACES: tuple[dict[str, Any], ...] = (
    *({}, {"unroll": 1}, {"simultaneous": True}, {"fresh_batch": True}, {"d_steps": 2}, {"g_steps": 2, "lr_d": 1e-3}),
    *({"optimizer": "sgd", "momentum": 0.5}, {"clip_gradients": 1.0, "weight_decay": 0.01}),
)
LAYERS: tuple[dict[str, Any], ...] = (
    {},
    {"minibatch": "stddev"},
    {"minibatch": "discrimination"},
    {"norm": "group"},
    {"norm": "instance"},
)
AXES: dict[str, Sequence[Any]] = {
    "model": list(PLAYING),
    "objective": list(OBJECTIVES),
    "discriminator": QUICK,
    **{"penalty": PENALTIES, "seen": SEEN, "pace": PACES, "layers": LAYERS},
}


@pytest.mark.slow
def test_each_pair_of_choices_trains_two_steps_or_is_refused_by_name(tmp_path: Path) -> None:
    works, refused = 0, set()
    for row in pairwise(AXES):
        choices = {name: row[name] for name in ("objective", "discriminator")}
        beside = [row[name] for name in ("penalty", "seen", "pace", "layers")]
        why = tried_with(row["model"], choices, beside, folder=tmp_path)
        works += not why
        if why:
            refused.add(why)
    assert works > 80
    for why in refused:  # of the choices themselves
        assert any(word in why for word in ("energy", "segment", "--objective", "--discriminator")), why


def test_every_pair_of_values_is_met() -> None:
    axes: dict[str, Sequence[Any]] = {"a": [1, 2, 3], "b": ["x", "y"], "c": [{}, {"k": 1}, {"k": 2}, {"k": 3}]}
    rows = list(pairwise(axes))
    for one, other in itertools.combinations(axes, 2):
        for value, beside in itertools.product(axes[one], axes[other]):
            assert any(row[one] == value and row[other] == beside for row in rows)
    assert len(rows) < 3 * 2 * 4


@pytest.mark.parametrize(("model", "works"), [("pix2pix", True), ("dcgan", False)])
def test_what_is_tried_works_or_says_why(model: str, works: bool, tmp_path: Path) -> None:
    why = tried(model, {"discriminator": "segment"}, folder=tmp_path)
    assert (why == "") == works
    assert works or "--discriminator segment labels the pixels" in why
