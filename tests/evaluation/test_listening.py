"""Whether a model listens, on answers worked out by hand."""

import torch

from translate.batch import Batch
from translate.conditions import Conditions
from translate.evaluation.listening import Listening

LABELS = Conditions(labels=("dark", "bright"))


def batch(**condition):
    return Batch({"source": torch.zeros(1, 1, 2, 2), "target": torch.ones(1, 1, 2, 2)}, condition=condition)


def obedient(image, condition):
    """1 where told to be bright, -1 where told to be dark, 0 where told nothing."""
    label = condition["label"]
    return (label[:, 1] - label[:, 0]).view(-1, 1, 1, 1).expand_as(image)


def test_a_model_that_listens_is_wrong_where_it_is_told_wrong():
    listening = Listening(LABELS, heap=False)
    listening.add(obedient, batch(label=torch.tensor([[0.0, 1.0]]), wrong_label=torch.tensor([[1.0, 0.0]])))
    # a difference of 2 is full scale
    assert listening.figures() == {"right": 0.0, "wrong": 1.0, "none": 0.5, "diversity": 1.0}
    assert listening.describe() == (
        "L1 0.0000 with the right condition, 1.0000 with a wrong one, 0.5000 with none; outputs for two conditions are "
        "1.0000 apart"
    )


def test_a_deaf_model_is_as_wrong_whatever_it_is_told():
    listening = Listening(LABELS, heap=False)
    told = {"label": torch.tensor([[0.0, 1.0]]), "wrong_label": torch.tensor([[1.0, 0.0]])}
    for _ in range(2):
        listening.add(lambda image, condition: image, batch(**told))
    assert listening.figures() == {"right": 0.5, "wrong": 0.5, "none": 0.5, "diversity": 0.0}


def test_in_a_heap_a_picture_should_stay_what_it_is():
    listening = Listening(LABELS.model_copy(update={"required": True}), heap=True)
    dark, bright = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    example = Batch(
        {"source": -torch.ones(1, 1, 2, 2), "target": torch.ones(1, 1, 2, 2)},
        condition={"own_label": dark, "wrong_label": bright},
    )
    listening.add(obedient, example)
    assert listening.figures() == {"right": 0.0, "wrong": 1.0, "diversity": 1.0}


def test_ignored_pixels_count_for_nothing():
    listening = Listening(LABELS, heap=False)
    valid = torch.tensor([[[[True, True], [False, False]]]])
    target = torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]])
    told = {"label": torch.tensor([[0.0, 1.0]]), "wrong_label": torch.tensor([[1.0, 0.0]])}
    listening.add(obedient, Batch({"source": torch.zeros(1, 1, 2, 2), "target": target}, valid, condition=told))
    assert listening.figures()["right"] == 0.0


def test_a_code_is_neither_right_nor_wrong():
    listening = Listening(Conditions(z=1), heap=False)
    listening.add(
        lambda image, condition: condition["z"].view(-1, 1, 1, 1).expand_as(image), batch(z=torch.tensor([[0.5]]))
    )
    assert listening.figures() == {"diversity": 0.5}  # 0.5 and -0.5, of a scale of 2
