"""Runs of dcgan with words, codes and an encoder: a step that waits for nothing, and an exact continuation."""

from typing import Any

import pytest

import translate
from tests.training.test_pure_step import run
from tests.training.test_run import assert_same, final_state, records
from translate.training.run import train

WORDS = {"label_loss": "inner", "condition_input": "concat", "augment_texts": True, "interpolate_texts": 0.5}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "words": ("dcgan text", WORDS),
    "label that is predicted": ("dcgan label", {"label_loss": "auxiliary"}),
    "codes": ("dcgan", {"info_categorical": "4,3", "info_continuous": 2}),
    "encoder": ("dcgan", {"invert": True}),
    "encoder and words": ("dcgan text", {"invert": True, "interpolate_texts": 0.5}),
}


@pytest.mark.parametrize(("name", "changes"), WAYS.values(), ids=WAYS)
def test_a_step_is_a_pure_function_of_tensors(name, changes):
    run(name, **{"pool": 0, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("way", ["words", "codes", "encoder"])
def test_resumed_equals_uninterrupted(way, domains, fronts, tmp_path):
    name, changes = WAYS[way]
    flags: dict[str, Any] = {
        **{"size": 16, "width": 4, "discriminator_width": 4, "batch": 2, "z": 5, "log_every": 1, "samples": 1},
        **{"tensorboard": False, "device": "cpu", "threads": 1, "validate_every": 4, "checkpoint_every": 2},
        **{"metric_features": "none", "augment": "translation", **changes},
    }
    if "text" in name:
        flags |= {"condition": "text", "code_width": 6}
    data = domains if "text" in name else fronts
    whole = train("dcgan", data=data, out=tmp_path / "whole", steps=4, **flags)
    half = train("dcgan", data=data, out=tmp_path / "half", steps=2, **flags)
    train(resume=half.path, steps=4)
    assert [line["losses"] for line in records(half.path)] == [line["losses"] for line in records(whole.path)]
    one, other = final_state(half.path), final_state(whole.path)
    for part in ("model", "average", "optimizers"):
        assert_same(one[part], other[part], part)
    loaded = translate.load(whole.path, device="cpu")
    assert len(loaded.sample(2)) == 2
