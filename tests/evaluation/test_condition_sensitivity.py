"""Condition sensitivity, of outputs worked out by hand."""

import torch

from translate.batch import Batch
from translate.conditions import Conditions
from translate.evaluation.base import Examples
from translate.evaluation.condition_sensitivity import ConditionSensitivity
from translate.images import ImageSpec

LABELS = Conditions(labels=("dark", "bright"))


def batch(**condition):
    return Batch({"source": torch.zeros(1, 1, 2, 2), "target": torch.ones(1, 1, 2, 2)}, condition=condition)


def obedient(image, condition):
    """1 with the label bright, -1 with the label dark, 0 with none."""
    label = condition["label"]
    return (label[:, 1] - label[:, 0]).view(-1, 1, 1, 1).expand_as(image)


def measured(conditions, answer, *batches, domains=False):
    gray = ImageSpec(channels=1)
    sensitivity = ConditionSensitivity(Examples(gray, gray, conditions=conditions, domains=domains))
    for one in batches:
        asked = sensitivity.conditions(one).items()
        sensitivity.add(one, {name: answer(one.source, condition) for name, condition in asked})
    return sensitivity


def test_a_conditioned_model_is_wrong_with_a_wrong_condition():
    given = {"label": torch.tensor([[0.0, 1.0]]), "wrong_label": torch.tensor([[1.0, 0.0]])}
    sensitivity = measured(LABELS, obedient, batch(**given))
    # a difference of 2 is full scale
    assert sensitivity.figures() == {"right": 0.0, "wrong": 1.0, "none": 0.5, "diversity": 1.0}
    assert sensitivity.describe() == (
        "does it listen? L1 0.0000 with the right condition, 1.0000 with a wrong one, 0.5000 with none; outputs for "
        "two conditions are 1.0000 apart"
    )


def test_a_model_that_ignores_its_condition_is_as_wrong_with_any():
    given = {"label": torch.tensor([[0.0, 1.0]]), "wrong_label": torch.tensor([[1.0, 0.0]])}
    sensitivity = measured(LABELS, lambda image, condition: image, *(batch(**given) for _ in range(2)))
    assert sensitivity.figures() == {"right": 0.5, "wrong": 0.5, "none": 0.5, "diversity": 0.0}


def test_in_a_multi_domain_set_a_picture_should_stay_what_it_is():
    dark, bright = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    example = Batch(
        {"source": -torch.ones(1, 1, 2, 2), "target": torch.ones(1, 1, 2, 2)},
        condition={"own_label": dark, "wrong_label": bright},
    )
    sensitivity = measured(LABELS.model_copy(update={"required": True}), obedient, example, domains=True)
    assert sensitivity.figures() == {"right": 0.0, "wrong": 1.0, "diversity": 1.0}


def test_ignored_pixels_count_for_nothing():
    valid = torch.tensor([[[[True, True], [False, False]]]])
    target = torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]])
    given = {"label": torch.tensor([[0.0, 1.0]]), "wrong_label": torch.tensor([[1.0, 0.0]])}
    sensitivity = measured(
        LABELS, obedient, Batch({"source": torch.zeros(1, 1, 2, 2), "target": target}, valid, condition=given)
    )
    assert sensitivity.figures()["right"] == 0.0


def test_a_code_is_neither_right_nor_wrong():
    code = batch(z=torch.tensor([[0.5]]))
    sensitivity = measured(
        Conditions(z=1), lambda image, condition: condition["z"].view(-1, 1, 1, 1).expand_as(image), code
    )
    assert sensitivity.figures() == {"diversity": 0.5}  # 0.5 and -0.5, of a scale of 2
