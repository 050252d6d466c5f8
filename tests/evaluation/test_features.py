"""Figures on the features of a pretrained network: what they are computed of, and by which network."""

import pytest
import torch
from torch import Tensor

from translate.batch import Batch
from translate.evaluation.base import Examples
from translate.evaluation.features import Features, judging_features
from translate.evaluation.kid import kid
from translate.evaluation.metrics import PerceptualDistance
from translate.evaluation.sets import SetFigures
from translate.images import ImageSpec
from translate.losses import perceptual
from translate.networks.backbone import Backbone

RGB = ImageSpec(channels=3)


class MeanColours(Features):
    """Stands for a pretrained network: the mean of each channel and of its square."""

    name = "colours"

    def __init__(self):
        self.computed = 0

    def pooled(self, pictures: Tensor, *, real: int | None = None) -> Tensor:
        self.computed += len(pictures)
        return torch.cat([pictures.mean((2, 3)), pictures.square().mean((2, 3))], 1)

    def maps(self, pictures: Tensor, *, real: int | None = None) -> list[Tensor]:
        return [pictures, pictures[..., ::2, ::2]]


def pictures(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batches(sources: Tensor, targets: Tensor, size: int = 3):
    """As validation gives them: the shorter side begins anew when it ends."""
    count = max(len(sources), len(targets))
    order = torch.arange(count)
    for chosen in order.split(size):
        yield Batch(pictures={"source": sources[chosen % len(sources)], "target": targets[chosen % len(targets)]})


@pytest.mark.parametrize(("made", "real"), [(7, 7), (5, 8), (8, 4)])
def test_each_picture_of_either_set_counts_once(made, real):
    sources, targets = pictures(made, 0), pictures(real, 1)
    measure = SetFigures(Examples(RGB, RGB, paired=False, sources=made, targets=real, features=MeanColours()))
    for batch in batches(sources, targets):
        measure.add(batch, {"output": -batch.source})
    expected = kid(MeanColours().pooled(-sources), MeanColours().pooled(targets))
    assert measure.figures()["kid_colours"] == pytest.approx(expected.value)
    assert measure.errors()["kid_colours"] == pytest.approx(expected.error)
    assert measure.each() == {}


def test_two_pictures_are_no_set():
    measure = SetFigures(Examples(RGB, RGB, features=MeanColours()))
    for batch in batches(pictures(2, 0), pictures(2, 1)):
        measure.add(batch, {"output": batch.source})
    assert measure.figures() == {}


def test_perceptual_distance_of_each_picture_without_what_is_not_valid():
    sources, targets = pictures(5, 0), pictures(5, 1)
    measure = PerceptualDistance(Examples(RGB, RGB, features=MeanColours()))
    valid = torch.ones(5, 1, 8, 8, dtype=torch.bool)
    valid[1] = False
    for chosen in torch.arange(5).split(2):
        sides = {"source": sources[chosen], "target": targets[chosen]}
        measure.add(Batch(pictures=sides, valid=valid[chosen]), {"output": sources[chosen]})
    (found,) = measure.each().values()
    maps = MeanColours().maps
    expected = [float(perceptual(maps(s[None]), maps(t[None]))) for s, t in zip(sources, targets, strict=True)]
    expected[1] = 0.0
    assert found == pytest.approx(expected)
    assert measure.figures() == {"perceptual_colours": pytest.approx(sum(expected) / 5)}


def test_real_features_are_computed_once():
    features, photos = Features(Backbone()), pictures(2, 0)
    first, again = features.pooled(photos, real=0), features.pooled(photos + 1, real=0)
    assert first is again
    assert features.pooled(photos, real=2) is not first
    assert torch.equal(features.pooled(photos[:1], real=0), features.pooled(photos[:1]))  # fewer from the same place
    assert features.maps(photos, real=0) is features.maps(photos, real=0)
    assert [x.shape[-1] for x in features.maps(photos)] == [32, 16, 8, 4]  # enlarged to 128 pixels
    assert first.shape == (2, 1280)


def test_a_model_is_judged_by_other_features_than_it_trains_on():
    assert judging_features(RGB).name == "lite0"
    assert judging_features(RGB, trained_on="tf_efficientnet_lite0").name == "lite1"
    assert judging_features(RGB, trained_on="resnet18").name == "lite0"
    assert judging_features(RGB, name="tf_efficientnet_lite1").name == "lite1"


def test_what_has_no_features_says_why():
    five = ImageSpec(channels=5)
    assert judging_features(five) == "pictures of 5 channels are neither gray nor colour"
    with pytest.raises(ValueError, match="tf_efficientnet_lite0 cannot judge these pictures: pictures of 5 channels"):
        judging_features(five, name="tf_efficientnet_lite0")
    with pytest.raises(ValueError, match='no model called "lite5"'):
        judging_features(RGB, name="lite5")
