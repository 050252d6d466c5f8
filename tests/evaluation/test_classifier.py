"""Small classifiers on features: shares of outputs, labels obeyed, and a task's verdict."""

import pytest
import torch

from tests.evaluation.test_features import MeanColours
from translate.batch import Batch
from translate.conditions import Conditions
from translate.evaluation.base import Examples
from translate.evaluation.classifier import (
    Accuracy,
    Classifier,
    ClassShare,
    Obeyed,
    TargetShare,
    labels_of,
    task_verdict,
)
from translate.evaluation.features import TrainingFeatures
from translate.images import ImageSpec

RGB = ImageSpec(channels=3)
GRAY = ImageSpec(channels=1)


def blobs(count, *centres, seed=0):
    """`count` features around each centre on the first axis, and their classes."""
    noise = torch.randn(len(centres) * count, 3, generator=torch.Generator().manual_seed(seed))
    classes = torch.arange(len(centres)).repeat_interleave(count)
    noise[:, 0] += torch.tensor(centres)[classes]
    return noise, classes


@pytest.mark.parametrize("balanced", [True, False])
def test_the_classifier_is_the_minimum_of_its_cost(balanced):
    """Zero gradient of the regularised likelihood, worked out by hand, with classes of unlike size."""
    features, classes = blobs(40, -1.0, 1.0)
    features, classes = features[:55], classes[:55]  # 40 and 15
    found = Classifier(features, classes, count=2, balanced=balanced)
    x = found._standardised(features.double())
    assert x.mean(0).tolist() == pytest.approx([0] * 3, abs=1e-6)
    assert x.std(0, correction=0).tolist() == pytest.approx([1] * 3, abs=1e-6)
    p = (x @ found._weight + found._bias).softmax(1)
    weights = torch.tensor([55 / 80, 55 / 30] if balanced else [1, 1]).double()[classes]
    gradient = x.T @ ((p - torch.nn.functional.one_hot(classes, 2)) * weights[:, None]) / 55 + found._weight / 55
    assert gradient.abs().max() < 1e-4
    again = Classifier(features, classes, count=2, balanced=balanced)
    assert torch.equal(again._weight, found._weight)


def test_classes_are_told_apart_and_absent_ones_never_guessed():
    features, classes = blobs(50, -3.0, 3.0)
    found = Classifier(features, classes * 2, count=4)
    test, truth = blobs(200, -3.0, 3.0, seed=1)
    answers = found(test)
    assert set(answers.tolist()) == {0, 2}
    assert (answers == truth * 2).float().mean() > 0.99


def flat(*values):
    """Gray pictures, each of one value: `[B, 3, 4, 4]`."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()


def around(value, count=20):
    noise = torch.rand(count, generator=torch.Generator().manual_seed(0)) * 0.1
    return MeanColours().pooled(flat(*(value + noise).tolist()))


def test_the_share_taken_for_targets_beside_that_of_sources_and_of_real_targets():
    training = TrainingFeatures(around(-0.5), around(0.5))
    measure = TargetShare(Examples(GRAY, RGB, features=MeanColours(), training=training, targets=2))
    batch = Batch(
        pictures={"source": flat(-0.5, -0.4, 0.5)[:, :1].expand(-1, 3, -1, -1), "target": flat(0.5, 0.6, -0.5)}
    )
    measure.add(batch, {"output": flat(0.5, -0.5, 0.6)})
    assert measure.each() == {"target_share_colours": [1, 0, 1]}
    assert measure.figures() == {"target_share_colours": pytest.approx(2 / 3)}
    assert measure.references() == {  # the third target is the first one anew, and does not count
        "the source itself": {"target_share_colours": pytest.approx(1 / 3)},
        "real targets": {"target_share_colours": 1},
    }


def test_the_share_of_imagenet_classes():
    class Logits(MeanColours):
        class backbone:
            @staticmethod
            def logits(pictures):
                """Class 340 for bright pictures, 1 for dark ones."""
                logits = torch.zeros(len(pictures), 1000)
                logits[:, 340], logits[:, 1] = pictures.mean((1, 2, 3)), -pictures.mean((1, 2, 3))
                return logits

    measure = ClassShare(Examples(RGB, RGB, features=Logits(), imagenet_classes=(340, 341)))
    measure.add(Batch(pictures={"source": flat(-0.5, -0.5), "target": flat(0.5, 0.5)}), {"output": flat(0.4, -0.4)})
    assert measure.each() == {"class_share_colours": [1, 0]}
    assert {k: v["class_share_colours"] for k, v in measure.references().items()} == {
        "the source itself": 0,
        "real targets": 1,
    }


@pytest.mark.parametrize("several", [False, True])
def test_outputs_that_look_like_the_label_asked_for(several):
    conditions = Conditions(labels=("dark", "bright"), several=several)
    labels = torch.eye(2).repeat_interleave(20, 0)
    training = TrainingFeatures(None, torch.cat([around(-0.5), around(0.5)]), labels)
    measure = Obeyed(Examples(RGB, RGB, conditions=conditions, features=MeanColours(), training=training))
    asked = torch.eye(2)[[1, 0, 1, 1]]
    pictures = {"source": flat(0.0, 0.0, 0.0, 0.0), "target": flat(0.5, -0.5, 0.5, 0.5)}
    measure.add(Batch(pictures=pictures, condition={"label": asked}), {"output": flat(0.5, 0.5, -0.5, 0.6)})
    assert measure.each() == {"obeyed_colours": [1, 0, 0, 1]}
    assert measure.references() == {"real targets": {"obeyed_colours": 1}}


def test_an_accuracy_knows_how_sure_it_is():
    """The interval of Wilson (1927): worked numbers of Newcombe (1998), table I."""
    assert Accuracy(81, 263).interval() == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Accuracy(15, 148).interval() == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert Accuracy(0, 20).interval() == pytest.approx((0, 0.1611), abs=5e-5)
    assert str(Accuracy(1, 2)) == "50.0% (95 %: 9.5% to 90.5%)"


def test_the_verdict_of_a_task_that_translation_solves_and_one_that_it_does_not():
    """Targets are sources shifted by more than the classes are apart."""
    sources, labels = blobs(60, -2.0, 2.0)
    targets, target_labels = blobs(60, 8.0, 12.0, seed=1)
    test, test_labels = blobs(100, 8.0, 12.0, seed=2)
    known = {"labels": labels, "targets": targets, "target_labels": target_labels, "test": test}
    shift = torch.tensor([10.0, 0, 0])
    found = task_verdict(sources=sources, translated=sources + shift, **known, test_labels=test_labels)
    assert found.sources.value == found.chance.value == 0.5
    assert found.targets.value > 0.95
    assert found.translated.value > 0.95
    assert found.describe().splitlines()[1].startswith("  translated sources: 9")
    useless = task_verdict(sources=sources, translated=sources, **known, test_labels=test_labels)
    assert useless.translated == useless.sources
    with pytest.raises(ValueError, match="no real targets"):
        task_verdict(sources=sources, translated=sources, **known | {"test": test[:0]}, test_labels=labels[:0])
    with pytest.raises(ValueError, match="two labels"):
        task_verdict(sources=sources, translated=sources, **known | {"labels": labels * 0}, test_labels=test_labels)


def test_labels_by_their_names():
    numbers, names = labels_of(["b", "a", "b"])
    assert numbers.tolist() == [1, 0, 1]
    assert names == ("a", "b")
