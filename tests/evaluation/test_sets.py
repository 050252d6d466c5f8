"""Two sets of pictures by their features: against torchmetrics and plain loops."""

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tests.evaluation.test_features import MeanColours, batches, pictures
from translate.batch import Batch
from translate.evaluation.base import Examples
from translate.evaluation.features import TrainingFeatures
from translate.evaluation.frechet import fid
from translate.evaluation.kid import kid
from translate.evaluation.neighbours import FEWEST, nearest, overlap
from translate.evaluation.sets import InceptionFigures, SetFigures, compare_sets, floor, left_out
from translate.images import ImageSpec

RGB = ImageSpec(channels=3)


def features(count, width, seed=0, shift=0.0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


class AsTheyAre(nn.Module):
    """Stands for Inception: its features are the values given."""

    def __init__(self, width):
        super().__init__()
        self.num_features = width

    def forward(self, x):
        return x.flatten(1)


def by_torchmetrics(metric, made, real):
    metric.update(real[..., None, None], real=True)
    metric.update(made[..., None, None], real=False)
    return metric.compute()


@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save all")
def test_kid_is_that_of_torchmetrics_with_the_subset_as_large_as_the_set():
    made, real = features(120, 64), features(120, 64, 1, shift=0.3)
    theirs = KernelInceptionDistance(AsTheyAre(64), subsets=1, subset_size=120, normalize=True)
    assert kid(made, real).value == pytest.approx(by_torchmetrics(theirs, made, real)[0].item(), rel=1e-3)


def test_fid_is_that_of_torchmetrics():
    mixed = features(64, 64, 2)
    made, real = features(2000, 64) @ mixed, features(2000, 64, 1, shift=0.1) @ (mixed + 0.1)
    theirs = by_torchmetrics(FrechetInceptionDistance(AsTheyAre(64), normalize=True), made, real).item()
    assert fid(made, real) == pytest.approx(theirs, rel=1e-3)
    assert fid(made, made) == pytest.approx(0, abs=1e-6)


def by_hand(made, real):
    """Kynkaanniemi 2019, eq. 1 and 2, and Naeem 2020, eq. 3 and 4, with loops."""

    def ball(x, i, k):
        return sorted(float((x[i] - x[j]).norm()) for j in range(len(x)) if j != i)[k - 1]

    def held(centres, points, k):
        radii = [ball(centres, i, k) for i in range(len(centres))]
        return [[float((c - p).norm()) <= r for c, r in zip(centres, radii, strict=True)] for p in points]

    def share(values):
        return sum(values) / len(values)

    in_real, in_made, larger = held(real, made, 3), held(made, real, 3), held(real, made, 5)
    return {
        "precision": share([any(row) for row in in_real]),
        "recall": share([any(row) for row in in_made]),
        "density": share([sum(row) / 5 for row in larger]),
        "coverage": share([any(row[i] for row in larger) for i in range(len(real))]),
    }


def without(x, i):
    return torch.cat([x[:i], x[i + 1 :]])


def test_overlap_is_that_of_the_definitions_and_its_error_that_of_leaving_out_each_picture():
    made, real = features(13, 2), features(14, 2, 1, shift=0.5)
    made[7:] += 20  # one half of either set is not in the other
    real[7:] -= 20
    found = overlap(made, real)
    expected = by_hand(made, real)
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(expected)
    assert min(expected.values()) > 0
    assert max(expected["precision"], expected["recall"], expected["coverage"]) < 1
    left = [by_hand(without(made, i), real) for i in range(13)], [by_hand(made, without(real, i)) for i in range(14)]
    for name, estimate in found.items():
        values = [torch.tensor([one[name] for one in side], dtype=torch.float64) for side in left]
        variance = sum((len(v) - 1) / len(v) * (v - v.mean()).square().sum() for v in values)
        assert estimate.error == pytest.approx(float(variance) ** 0.5, rel=1e-6), name


def test_a_set_overlaps_with_itself_and_not_with_one_far_away():
    real = features(20, 4)
    assert {name: e.value for name, e in overlap(real, real).items() if name != "density"} == (
        {"precision": 1, "recall": 1, "coverage": 1}
    )
    far = overlap(real + 100, real)
    assert {e.value for e in far.values()} == {0}


def test_few_pictures_are_told_what_they_lack():
    assert left_out(2, 2, 1280).keys() == {"kid", "fid", "precision", "recall", "density", "coverage"}
    assert left_out(FEWEST, FEWEST, 1280) == {
        "fid": "it takes more pictures of each than the 1280 features, and there are 7 outputs and 7 targets"
    }
    assert left_out(1281, 2000, 1280) == {}
    for count in (2, 6, 9):
        found = compare_sets(features(count, 8), features(count, 8, 1))
        assert found.keys() ^ left_out(count, count, 8).keys() == {"kid", "fid", *overlap(*[features(9, 2)] * 2)}


def test_the_floor_is_that_of_as_many_real_pictures():
    real, training = features(40, 8), features(90, 8, 1)
    assert floor(real, training=training, count=30)["kid"].value == pytest.approx(0, abs=1)
    assert floor(real)["fid"].value < fid(features(20, 8, 2, shift=1), real)
    assert floor(real) == floor(real)
    again = floor(real, training=training, seed=1)
    assert again != floor(real, training=training)


def measured(kind, examples, sources, targets):
    measure = kind(examples)
    for batch in batches(sources, targets):
        measure.add(batch, {"output": batch.source})
    return measure


def test_figures_of_outputs_have_those_of_real_pictures_beside():
    sources, targets = pictures(9, 0), pictures(9, 1)
    pool = MeanColours().pooled
    plain = measured(SetFigures, Examples(RGB, RGB, features=MeanColours()), sources, targets)
    assert plain.figures() == (
        {f"{name}_colours": e.value for name, e in compare_sets(pool(sources), pool(targets)).items()}
    )
    assert plain.errors().keys() == plain.figures().keys() - {"fid_colours"}
    assert plain.left_out() == {}
    assert list(plain.references()) == ["one half of the targets against the other"]
    training = TrainingFeatures(None, pool(pictures(12, 2)))
    trained = measured(SetFigures, Examples(RGB, RGB, features=MeanColours(), training=training), sources, targets)
    (what,) = trained.references()
    assert what == "9 training targets against the targets"
    same = TrainingFeatures(None, pool(targets), apart=False)  # the training pictures themselves are measured
    again = measured(SetFigures, Examples(RGB, RGB, features=MeanColours(), training=same), sources, targets)
    assert again.references() == plain.references()
    assert trained.references()[what] == (
        {f"{n}_colours": e.value for n, e in floor(pool(targets), training=training.target).items()}
    )


def test_pixels_that_are_not_valid_are_alike_in_outputs_and_targets():
    """Holes of the targets, which outputs fill with something, are no difference of the sets."""
    targets, valid = pictures(9, 1), torch.ones(9, 1, 8, 8, dtype=torch.bool)
    valid[..., 3:] = False
    made = torch.where(valid, targets, 1.0)
    measure = SetFigures(Examples(RGB, RGB, features=MeanColours()))
    measure.add(Batch({"source": made, "target": targets}, valid), {"output": made})
    same = MeanColours().pooled(targets)
    assert measure.figures()["kid_colours"] == kid(same, same).value


def test_true_fid_and_kid_are_those_of_inception_alone():
    class Stub(MeanColours):
        name = "inception"

    found = measured(InceptionFigures, Examples(RGB, RGB, inception=Stub()), pictures(9, 0), pictures(9, 1))
    assert found.figures().keys() == {"kid_inception", "fid_inception"}
    assert found.left_out() == {}


def test_of_sets_that_do_not_meet_at_all_no_error_follows():
    """A share of none is not known to 0.0000 either."""
    far = overlap(features(12, 4), features(12, 4, seed=1, shift=100.0))
    assert {name: tuple(estimate) for name, estimate in far.items()} == dict.fromkeys(far, (0.0, None))


def test_the_nearest_training_picture():
    training = features(30, 4)
    places, distances = nearest(training[[7, 3]] + torch.tensor([[0.0] * 4, [1e-3, 0, 0, 0]]), training)
    assert places.tolist() == [7, 3]
    assert distances.tolist() == pytest.approx([0, 1e-3], abs=1e-5)
