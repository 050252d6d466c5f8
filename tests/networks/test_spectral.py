"""Spectral norm: torch's own values, at any precision, and a state that can be saved."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from translate.networks.blocks import init_weights
from translate.networks.spectral import learned, spectral_norm


def normed(*sizes):
    torch.manual_seed(0)
    layer = nn.Conv2d(*sizes)
    network = nn.Sequential(layer)
    spectral_norm(network)
    return network


def test_it_is_torch_s_pass_by_pass_and_so_are_its_gradients():
    ours = normed(3, 5, 4)
    torch.manual_seed(0)
    theirs = nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(3, 5, 4)))
    theirs[0].parametrizations.weight.original.data.copy_(learned(ours[0]))
    theirs[0].bias.data.copy_(ours[0].bias)
    norm, other = ours[0].parametrizations.weight[0], theirs[0].parametrizations.weight[0]
    other._u.copy_(norm.u)
    other._v.copy_(norm.v)
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        for network in (ours, theirs):
            network.zero_grad()
        made = [network(x) for network in (ours, theirs)]
        torch.testing.assert_close(*made)
        grads = [
            torch.autograd.grad(y.square().sum(), [x, network[0].parametrizations.weight.original])
            for y, network in zip(made, (ours, theirs), strict=True)
        ]
        torch.testing.assert_close(*grads)
    torch.testing.assert_close(norm.u, other._u)


@pytest.mark.parametrize("kind", ["normal", "xavier"])
def test_weights_are_initialised_under_the_norm_whose_vectors_follow(kind):
    network = normed(8, 16, 4)
    init_weights(network, kind=kind, gain=0.5)
    original = learned(network[0])
    expected = 0.5 if kind == "normal" else 0.5 * (2 / ((8 + 16) * 16)) ** 0.5
    assert original.std().item() == pytest.approx(expected, rel=0.1)
    network.eval()
    assert torch.linalg.matrix_norm(network[0].weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_frozen_ones_stay():
    network = normed(2, 3, 3)
    learned(network[0]).requires_grad_(False)
    before = learned(network[0]).clone()
    init_weights(network)
    assert torch.equal(learned(network[0]), before)


def test_the_vectors_move_in_training_alone_and_are_saved():
    network = normed(3, 4, 3)
    init_weights(network)
    state = copy.deepcopy(network.state_dict())
    learned(network[0]).data.normal_()
    moved = learned(network[0]).clone()
    network.eval()(torch.rand(1, 3, 4, 4))
    assert torch.equal(network.state_dict()["0.parametrizations.weight.0.u"], state["0.parametrizations.weight.0.u"])
    network.train()(torch.rand(1, 3, 4, 4))
    after = network.state_dict()
    assert not torch.equal(after["0.parametrizations.weight.0.u"], state["0.parametrizations.weight.0.u"])
    assert torch.equal(learned(network[0]), moved)


def test_it_is_done_in_float32_under_autocast():
    network = normed(3, 4, 3)
    init_weights(network)
    network.eval()
    expected = network[0].weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = network[0].weight
        network.train()
        assert network(torch.rand(1, 3, 4, 4)).dtype == torch.bfloat16
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected)
    assert network[0].parametrizations.weight[0].u.dtype == torch.float32


def test_two_passes_before_one_backward():
    network = normed(3, 4, 3)
    x = torch.rand(1, 3, 4, 4)
    (network(x).sum() - network(-x).sum()).backward()
    assert learned(network[0]).grad.isfinite().all()


def test_a_second_time_changes_nothing():
    network = normed(3, 4, 3)
    keys = list(network.state_dict())
    spectral_norm(network)
    assert list(network.state_dict()) == keys
