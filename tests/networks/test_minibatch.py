"""Minibatch discrimination and deviation: against double loops, and in the discriminators that take them."""

import itertools

import pytest
import torch
from torch import nn

from tests.models.test_models import SIZE, small_model, small_step, some_batch
from translate.networks import DISCRIMINATORS
from translate.networks.blocks import MIXING
from translate.networks.discriminator import JOINS, Discriminator, Shown
from translate.networks.minibatch import (
    MINIBATCH,
    Minibatch,
    MinibatchDeviation,
    MinibatchDiscrimination,
    minibatch_layers,
)
from translate.networks.network import Network
from translate.networks.patchgan import DiscriminatorSettings, patchgan
from translate.training.job import new_job

SEEN = [name for name in MINIBATCH if name != "none"]
CHAINS = ("patchgan", "dcgan")
ABLE = [name for name, network in DISCRIMINATORS.items() if "minibatch" in network.takes]


def discrimination_by_loops(x, weight):
    """`[B, C, H, W]` and T `[C, 100, 5]` -> `[B, 100]`, number by number."""
    pooled = x.mean((2, 3))
    rows = torch.einsum("ia,abc->ibc", pooled, weight)
    found = [
        torch.stack([torch.exp(-(rows[i, b] - rows[j, b]).abs().sum()) for j in range(len(x)) if j != i]).sum()
        for i, b in itertools.product(range(len(x)), range(weight.shape[1]))
    ]
    return torch.stack(found).view(len(x), -1)


def test_discrimination_is_a_double_loop_with_its_gradients():
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(4).double()
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    made = layer(x)
    assert made.shape == (3, 104, 2, 3)
    assert torch.equal(made[:, :4], x)
    tensor = layer.projection.weight.view(100, 5, 4).permute(2, 0, 1)
    expected = discrimination_by_loops(x, tensor)
    for row, column in itertools.product(range(2), range(3)):
        torch.testing.assert_close(made[:, 4:, row, column], expected, rtol=0, atol=1e-12)
    weights = torch.randn(3, 100, dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weights).sum(), [x, layer.projection.weight])
    found = torch.autograd.grad((made[:, 4:, 0, 0] * weights).sum(), [x, layer.projection.weight])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [2, 5])
def test_an_example_does_not_count_itself(count):
    """Equal examples are at distance 0 of the others: exp(0) for each of these."""
    made = MinibatchDiscrimination(3)(torch.ones(count, 3, 2, 2))
    assert torch.equal(made[:, 3:], torch.full((count, 100, 2, 2), count - 1.0))


def test_the_deviation_is_that_of_each_feature_and_position():
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64)
    total = 0.0
    for channel, row, column in itertools.product(range(2), range(2), range(2)):
        values = x[:, channel, row, column]
        mean = sum(values) / 3
        total += (sum((value - mean) ** 2 for value in values) / 3 + 1e-8) ** 0.5
    made = MinibatchDeviation(2)(x)
    assert made.shape == (3, 3, 2, 2)
    torch.testing.assert_close(made[:, 2], torch.full((3, 2, 2), float(total / 8), dtype=torch.float64))
    assert torch.equal(made[:, :2], x)


@pytest.mark.parametrize("name", SEEN)
def test_gradients_and_those_of_gradients_are_finite_differences(name):
    torch.manual_seed(0)
    (layer,), _ = minibatch_layers(name, 2)
    layer.double()
    x = torch.randn(3, 2, 1, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.linspace(-1, 1, layer(x)[0].numel(), dtype=torch.float64).view_as(layer(x)[0])

    def cost(given):
        return (layer(given) * weights).sum((1, 2, 3))

    assert torch.autograd.gradcheck(cost, x)
    assert torch.autograd.gradgradcheck(cost, x)
    alike = torch.ones(2, 2, 1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer.float()(alike).sum(), alike)
    assert gradient.isfinite().all(), "where all examples are alike, too"


def network(name, minibatch, channels=3, **changes):
    torch.manual_seed(0)
    own = {"patchgan": {"patch": 16}, "multiscale": {"patch": 16, "scales": 2}}.get(name, {})
    return DISCRIMINATORS[name](channels, size=32, width=4, norm="instance", minibatch=minibatch, **own | changes)


@pytest.mark.parametrize("name", CHAINS)
def test_without_it_weights_keep_their_names(name):
    plain, seeing = network(name, "none").state_dict(), network(name, "stddev").state_dict()
    assert len(plain) == len(seeing)
    assert list(plain)[:-2] == list(seeing)[:-2]
    assert list(patchgan(3, width=2).state_dict())[-2:] == ["11.weight", "11.bias"], "as files of earlier versions"


@pytest.mark.parametrize("minibatch", SEEN)
@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in CHAINS), ("patchgan", {"patch": 1})])
def test_the_last_convolution_sees_the_batch(name, changes, minibatch):
    seeing = network(name, minibatch, **changes)
    layer, last = seeing[-2:]
    assert isinstance(layer, MIXING)
    assert isinstance(last, nn.Conv2d)
    picture = torch.rand(3, 3, 32, 32)
    logits = seeing(picture)
    assert logits.shape == network(name, "none", **changes)(picture).shape
    other = torch.cat([picture[:2], -picture[2:]])
    assert not torch.equal(seeing(other)[:2], logits[:2])


@pytest.mark.parametrize("minibatch", SEEN)
@pytest.mark.parametrize("name", ABLE)
def test_every_branch_sees_the_batch(name, minibatch):
    discriminator = Discriminator(network(name, minibatch))
    assert discriminator.mixes_batch
    picture = torch.rand(3, 3, 32, 32)
    (seen,), (other,) = (discriminator(Shown(x)) for x in (picture, torch.cat([picture[:2], -picture[2:]])))
    assert all(not torch.equal(one.logits[:2], two.logits[:2]) for one, two in zip(seen, other, strict=True))


@pytest.mark.parametrize("minibatch", SEEN)
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("join", [*JOINS, None])
def test_codes_classes_and_features_go_on_working(name, minibatch, join):
    code = 6 if join else 0
    whole = network(name, minibatch, 3 + (JOINS[join] if join else 0))
    discriminator = Discriminator(whole, join=join, code=code, classes=0 if join else 2)
    plain = Discriminator(network(name, "none"), classes=2)
    if not join:
        shared = {
            key: value for key, value in plain.network.state_dict().items() if key in list(whole.state_dict())[:-2]
        }
        whole.load_state_dict(shared, strict=False)
    shown = Shown(torch.rand(2, 3, 32, 32), code=torch.rand(2, code) if join else None)
    ((scores,),) = discriminator(shown)
    ((before,),) = plain(shown._replace(code=None))
    assert scores.logits.shape == before.logits.shape
    assert [each.shape for each in scores.features] == [each.shape for each in before.features]
    if not join:
        assert scores.predicted.shape == (2, 2)
        assert all(map(torch.equal, scores.features, before.features))
    scores.logits.sum().backward()
    heads = [p for p in discriminator.parameters() if p.grad is not None]
    assert all(p.grad.isfinite().all() for p in heads)


@pytest.mark.parametrize("minibatch", SEEN)
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "dcgan"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_real_and_fake_pass_apart_with_penalties_too(name, minibatch, precision):
    changes = {"minibatch": minibatch, "batch": 2, "pool": 0, "norm": "instance", "penalty": "r1"}
    model = small_model(name, **changes)
    assert not any(game.together for game in model.games)
    assert any(game.together for game in small_model(name, **changes | {"minibatch": "none"}).games)
    batch = some_batch(name, **changes)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        values = small_step(name, model, **changes)(batch)
    assert all(value.isfinite() for value in values.values())


@pytest.mark.parametrize("name", SEEN)
def test_a_reference_batch_in_front_is_a_batch_of_its_own(name):
    torch.manual_seed(0)
    (layer,), _ = minibatch_layers(name, 3)
    x = torch.randn(5, 3, 2, 2)
    expected = torch.cat([layer(x[:3]), layer(x[3:])])
    assert isinstance(layer, Minibatch)
    layer.references = 3
    assert torch.equal(layer(x), expected)
    assert not torch.equal(layer.eval()(x), expected)


@pytest.mark.parametrize("minibatch", SEEN)
@pytest.mark.parametrize("more", [{}, {"accumulate": 4}])
def test_a_batch_of_one_is_refused_before_training(minibatch, more, fronts, tmp_path):
    flags = {"data": fronts, "out": tmp_path / "run", "size": SIZE, "minibatch": minibatch} | more
    with pytest.raises(ValueError, match=f"--minibatch {minibatch} compares the examples.*--batch is 1: use --batch 2"):
        new_job("pix2pix", flags)
    assert new_job("pix2pix", flags | {"batch": 2}).science.minibatch == minibatch


def test_a_discriminator_that_sees_no_batch_says_so(monkeypatch, fronts, tmp_path):
    monkeypatch.setitem(DISCRIMINATORS, "other", Network(patchgan, DiscriminatorSettings))
    flags = {"data": fronts, "out": tmp_path / "run", "size": SIZE, "minibatch": "stddev", "batch": 2}
    with pytest.raises(ValueError, match=r"--minibatch stddev is for --discriminator patchgan.*not for other"):
        new_job("pix2pix", flags | {"discriminator": "other"})
