"""The semi-supervised discriminator's loss: the softmax over n + 1 classes, by hand, and its gradients."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.losses import OBJECTIVES
from translate.losses.few_labels import labelled_cost
from translate.networks import DISCRIMINATORS
from translate.networks.class_discriminator import ClassDiscriminator
from translate.networks.discriminator import Shown


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def test_the_logit_is_that_of_a_softmax_over_one_more_class_whose_logit_is_0():
    """D = Z / (Z + 1), and log Z is its logit."""
    classes = numbers(5, 4)
    whole = F.softmax(torch.cat([classes, torch.zeros(5, 1)], 1), 1)
    z = classes.exp().sum(1)
    assert torch.allclose(1 - whole[:, -1], z / (z + 1))
    assert torch.allclose(classes.logsumexp(1).sigmoid(), z / (z + 1))


def test_labelled_real_pictures_cost_the_cross_entropy_over_one_more_class():
    """Class and real: -log p(label | real) - log D is -log of the softmax over n + 1 at the label."""
    classes, label = numbers(6, 3).float(), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    real = F.softplus(-classes.logsumexp(1)).mean()  # the game's cost of a real picture, unhalved
    expected = F.cross_entropy(torch.cat([classes, torch.zeros(6, 1)], 1), label.argmax(1))
    assert (real + labelled_cost(classes, label).cost).item() == pytest.approx(expected.item(), rel=1e-6)
    fake = F.softplus(classes.logsumexp(1)).mean()  # and of a fake the same at the last
    last = F.cross_entropy(torch.cat([classes, torch.zeros(6, 1)], 1), torch.full((6,), 3))
    assert fake.item() == pytest.approx(last.item(), rel=1e-6)
    halved = OBJECTIVES["vanilla"].discriminator(classes.logsumexp(1), classes.logsumexp(1))
    assert halved.item() == pytest.approx(0.5 * (real + fake).item(), rel=1e-6)


def test_pictures_without_a_label_cost_nothing_and_the_others_their_mean():
    classes = numbers(4, 3).float().requires_grad_()
    label = torch.zeros(4, 3)
    label[1, 2] = label[3, 0] = 1
    found = labelled_cost(classes, label)
    expected = F.cross_entropy(classes[[1, 3]], torch.tensor([2, 0]))
    assert found.cost.item() == pytest.approx(expected.item(), rel=1e-6)
    assert found.share.item() == 0.5
    (gradient,) = torch.autograd.grad(found.cost, classes)
    by_hand = torch.zeros(4, 3)
    by_hand[[1, 3]] = (F.softmax(classes[[1, 3]], 1) - label[[1, 3]]) / 2  # softmax less the label, over their number
    assert torch.allclose(gradient, by_hand, atol=1e-6)
    wrong = classes.argmax(1) != label.argmax(1)
    assert found.wrong.item() == wrong[[1, 3]].sum().item() / 4


def test_a_batch_without_labels_costs_nothing_and_has_a_gradient_of_nothing():
    classes = numbers(2, 3).float().requires_grad_()
    found = labelled_cost(classes, torch.zeros(2, 3))
    (gradient,) = torch.autograd.grad(found.cost, classes)
    assert (found.cost.item(), found.share.item(), found.wrong.item()) == (0, 0, 0)
    assert not gradient.any()


def test_parts_of_a_batch_add_up_to_the_whole():
    """Two processes with unlike numbers of labels: the mean of their gradients is that of one process."""
    classes, label = numbers(4, 3).float(), torch.zeros(4, 3)
    label[0, 1] = label[1, 0] = label[3, 2] = 1
    whole = labelled_cost(classes, label).cost
    share = label.amax(1).mean()
    parts = [
        labelled_cost(c, y, across=lambda _: share).cost for c, y in zip(classes.split(2), label.split(2), strict=True)
    ]
    assert torch.stack(parts).mean().item() == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["dcgan", "patchgan"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_discriminator_has_classes_and_their_log_sum_exp_for_each_picture(name, batch):
    torch.manual_seed(0)
    settings = {"width": 4} | ({"patch": 16} if name == "patchgan" else {"size": 32})
    network: Any = DISCRIMINATORS[name](3, norm="instance", **settings)
    d = ClassDiscriminator(network, classes=5)
    picture = torch.randn(batch, 3, 32, 32, requires_grad=True)
    ((scores,),) = d(Shown(picture))
    assert scores.classes.shape == (batch, 5)
    assert scores.logits.shape == (batch, 1, 1, 1)
    assert torch.allclose(scores.logits.flatten(), scores.classes.exp().sum(1).log(), atol=1e-5)
    assert torch.allclose(d.classify(picture), scores.classes)
    assert len(scores.features) > 1
    (gradient,) = torch.autograd.grad(scores.logits.sum(), picture, create_graph=True)
    gradient.square().sum().backward()  # as a penalty does
    assert all(p.grad is not None for p in network[0].parameters() if p.dim() > 1)
    assert isinstance(network[-1], nn.Conv2d)
    both = d(Shown(picture), Shown(picture.detach()), together=True)
    assert torch.allclose(both[1][0].logits, scores.logits, atol=1e-5)


def test_spectral_norm_of_the_last_layer_goes_over_to_that_of_the_classes():
    network: Any = DISCRIMINATORS["dcgan"](3, norm="none", width=4, size=16)
    for layer in [layer for layer in network if isinstance(layer, nn.Conv2d)]:
        nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=20)
    d = ClassDiscriminator(network, classes=5)
    largest = torch.linalg.matrix_norm(network[-1].weight.flatten(1), ord=2)
    assert network[-1].weight.shape[0] == 5
    assert largest.item() == pytest.approx(1, abs=0.1)
    assert d.classify(torch.randn(2, 3, 16, 16)).shape == (2, 5)
