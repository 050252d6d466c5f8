"""Our CUT and FastCUT, step by step, against by-hand versions of the published recipes that import nothing of ours.

In float64: a bias before an instance norm has no gradient but rounding, which Adam would blow up to whole steps. The
heads' smallest gradients would suffer alike where the library goes on in float32, so `Tensor.float` keeps float64 here.
"""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.drawn import with_draws
from tests.models.recipes import furthest_apart, make_step, set_rate
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import build, model_class

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import cut as byhand

SIZE, WIDTH, BLOCKS, PATCHES = 32, 4, 6, 50  # six blocks: a tap of the fifth that is not the last
STEPS = {"cut": 5, "fastcut": 8}  # a multiple of four for the rate's course of FastCUT
TERMS = {"cut": ("d", "g_gan", "g_nce", "g_nce_identity"), "fastcut": ("d", "g_gan", "g_nce")}


@pytest.fixture(params=[("cut", 1), ("cut", 2), ("fastcut", 1), ("fastcut", 2)], ids="{0[0]}-batch{0[1]}".format)
def setup(request, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    name, batch = request.param
    torch.manual_seed(0)
    narrow = {"width": WIDTH, "discriminator_width": WIDTH, "blocks": BLOCKS, "patch": 34, "nce_patches": PATCHES}
    settings = model_class(name).settings_class.make(narrow)
    spec = ImageSpec(channels=3)
    model = build(name, settings, source=spec, target=spec, size=SIZE).double()
    networks = [
        byhand.Generator(3, 3, WIDTH, BLOCKS).double(),
        byhand.Heads([3, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH, 4 * WIDTH]).double(),
        byhand.Discriminator(3, WIDTH, strided=2).double(),
    ]
    for ours, theirs in matched(model, networks):
        theirs.load_state_dict(ours.state_dict())
    shape = (batch, 3, SIZE, SIZE)
    batches = [tuple(torch.rand(shape, dtype=torch.float64) * 2 - 1 for _ in range(2)) for _ in range(STEPS[name])]
    return name, settings, model, networks, batches


def matched(model, networks):
    """Our layers beside the by-hand ones, in pairs: every layer with weights, from the picture to the output."""
    generator, heads, discriminator = networks
    ours = model.generator
    yield ours.first, generator.first
    yield from zip((d.conv for d in ours.down), generator.down, strict=True)
    yield from zip((b.conv1 for b in ours.blocks), generator.block_first, strict=True)
    yield from zip((b.conv2 for b in ours.blocks), generator.block_second, strict=True)
    yield from zip((u.conv for u in ours.up), generator.up, strict=True)
    yield ours.last, generator.last
    yield from zip((head[0] for head in model.heads.heads), heads.first, strict=True)
    yield from zip((head[2] for head in model.heads.heads), heads.second, strict=True)
    convs = (layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d))
    yield from zip(convs, discriminator.convs, strict=True)


def our_history(name, settings, model, batches):
    """Our loop; returns the losses of every step, in the order of `TERMS`, and what chance decided in it."""
    step = make_step(model, settings)
    history, draws = [], []
    for i, (source, target) in enumerate(batches):
        batch = with_draws(Batch({"source": source, "target": target}), model, first=i * len(source))
        places = [batch.draws[f"positions_{tap}"] for tap in range(5)]
        coins = (batch.draws["mirrored"] < 0.5).tolist() if "mirrored" in batch.draws else None
        draws.append((places, places, coins))

        set_rate(step, settings, i, steps=len(batches))
        values = step([batch])
        assert {term for term in values if term not in ("d_real", "d_fake")} == set(TERMS[name])
        history.append([values[term].item() for term in TERMS[name]])
    return torch.tensor(history, dtype=torch.float64), draws


def their_history(name, networks, batches, draws):
    history = byhand.train(*networks, batches, draws, steps=len(batches), fast=name == "fastcut")
    return torch.tensor(history, dtype=torch.float64)[:, : len(TERMS[name])]


def furthest(model, networks):
    """The largest difference between any of our weights and the by-hand ones."""
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for n in networks for p in n.parameters())
    return furthest_apart(matched(model, networks))


def test_the_steps_match_the_published_recipe(setup):
    name, settings, model, networks, batches = setup
    ours, draws = our_history(name, settings, model, batches)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(name, networks, batches, draws), rtol=1e-5, atol=1e-5)
    assert furthest(model, networks) < 1e-5


def test_chance_decides_as_published(setup):
    name, settings, model, _, batches = setup
    _, draws = our_history(name, settings, model, batches)
    for places, _, _ in draws:
        for place, side in zip(places, (32, 32, 16, 8, 8), strict=True):
            assert place.shape == (len(batches[0][0]), PATCHES)
            assert place.min() >= 0
            assert place.max() < side * side
            assert all(len(row.unique()) == PATCHES for row in place)
    coins = {coin for *_, flips in draws for coin in flips or ()}
    assert coins == ({True, False} if name == "fastcut" else set())  # both outcomes were compared above


def test_the_order_of_the_players_matters_and_is_the_published_one(setup):
    name, settings, model, networks, batches = setup
    model.players = dict(reversed(model.players.items()))
    ours, draws = our_history(name, settings, model, batches)
    assert (ours - their_history(name, networks, batches, draws)).abs().max() > 1e-4


@pytest.mark.parametrize("setup", [("fastcut", 1), ("fastcut", 2)], indirect=True, ids=["batch1", "batch2"])
def test_mirrored_features_are_turned_back(setup):
    name, settings, model, networks, batches = setup
    ours, draws = our_history(name, settings, model, batches)
    never = [(places, target, [False] * len(flips)) for places, target, flips in draws]
    assert (ours - their_history(name, networks, batches, never)).abs().max() > 1e-4


def test_the_by_hand_networks_are_of_the_published_sizes_and_filters():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(byhand.Generator(3, 3, 64, 9)) == 11_378_179
    assert count(byhand.Discriminator(3, 64, strided=3)) == 2_764_737
    x = torch.rand(1, 2, 6, 8)
    torch.testing.assert_close(byhand.double(x), F.interpolate(x, scale_factor=2, mode="bilinear"))
    assert byhand.halve(x)[0, 1, 1, 2].item() == pytest.approx(
        (torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) * x[0, 1, 1:4, 3:6]).sum().item() / 16
    )
