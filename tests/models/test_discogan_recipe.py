"""Five steps of our DiscoGAN against a by-hand version of the published recipe that imports nothing of the project.

In float64, all of it: where the library goes on in float32, `Tensor.float` keeps float64 here, since Adam makes whole
steps of the smallest gradients.
"""

import sys
from pathlib import Path

import pytest
import torch

from tests.models.recipes import furthest_apart, make_step, set_rate
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import build
from translate.models.discogan import DiscoGANSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import discogan as byhand

SIZE, WIDTH, STEPS = 32, 4, 5
SIDES = ("", "_back")
TERMS = [f"{term}{side}" for term in ("g_gan", "g_features", "g_cycle", "d") for side in SIDES]
STATS = {f"{stat}{side}" for stat in ("d_real", "d_fake") for side in SIDES}


@pytest.fixture(params=[1, 3], ids="batch{}".format)
def setup(request, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    torch.manual_seed(0)
    settings = DiscoGANSettings.make({"width": WIDTH, "discriminator_width": WIDTH})
    spec = ImageSpec(channels=3)
    model = build("discogan", settings, source=spec, target=spec, size=SIZE).double()
    networks = [  # there, back, and the discriminators of targets and of sources
        byhand.Generator(3, 3, WIDTH, depth=5).double(),
        byhand.Generator(3, 3, WIDTH, depth=5).double(),
        byhand.Discriminator(3, WIDTH, strided=3).double(),
        byhand.Discriminator(3, WIDTH, strided=3).double(),
    ]
    for ours, theirs in matched(model, networks):
        theirs.load_state_dict(ours.state_dict())
    shape = (request.param, 3, SIZE, SIZE)
    batches = [tuple(torch.rand(shape, dtype=torch.float64) * 2 - 1 for _ in range(2)) for _ in range(STEPS)]
    return settings, model, networks, batches


def matched(model, networks):
    """Our layers beside the by-hand ones, in pairs: every layer with weights."""
    there, back, d_target, d_source = networks
    for ours, theirs in ((model.generator, there), (model.generator_back, back)):
        up = list(ours.up)[::-1]
        yield from zip((d.conv for d in ours.down), theirs.encoder, strict=True)
        yield from zip((d.norm for d in ours.down[1:-1]), theirs.encoder_norm, strict=True)
        yield from zip((u.conv for u in up), theirs.decoder, strict=True)
        yield from zip((u.norm for u in up[:-1]), theirs.decoder_norm, strict=True)
    for ours, theirs in ((model.discriminator, d_target), (model.discriminator_back, d_source)):
        first, *inner, last = (layer for layer in ours.network if not isinstance(layer, torch.nn.LeakyReLU))
        yield first, theirs.first
        yield from zip(inner[::2], theirs.convs, strict=True)
        yield from zip(inner[1::2], theirs.norms, strict=True)
        yield last, theirs.last


def our_history(model, settings, batches):
    """Our loop; returns the losses of every step in the order of `TERMS`."""
    step = make_step(model, settings)
    history = []
    for i, (source, target) in enumerate(batches):
        set_rate(step, settings, i, steps=STEPS)
        values = step([Batch({"source": source, "target": target})])
        assert set(values) == set(TERMS) | STATS  # no term of its own for identity, for one
        history.append([values[name].item() for name in TERMS])
    return torch.tensor(history, dtype=torch.float64)


def their_history(networks, batches, **changes):
    return torch.tensor(byhand.train(*networks, batches, **changes), dtype=torch.float64)


def furthest(model, networks):
    """The largest difference between any of our weights or running statistics and the by-hand ones."""
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for n in networks for p in n.parameters())
    return furthest_apart(matched(model, networks))


def test_five_steps_match_the_published_recipe(setup):
    settings, model, networks, batches = setup
    ours = our_history(model, settings, batches)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(networks, batches), rtol=1e-5, atol=1e-7)
    assert furthest(model, networks) < 1e-6


def test_the_order_of_the_players_matters_and_is_the_published_one(setup):
    settings, model, networks, batches = setup
    model.players = dict(reversed(model.players.items()))
    ours = our_history(model, settings, batches)
    assert (ours - their_history(networks, batches)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "changes",
    [{"gan": 0.9}, {"features": 0.1}, {"cycle": 10.0}, {"skipped": 0}, {"skipped": 2}],
    ids=lambda changes: "-".join(f"{name}{value}" for name, value in changes.items()),
)
def test_another_game_is_told_apart(setup, changes):
    """By the weights alone, which all losses together have changed."""
    settings, model, networks, batches = setup
    our_history(model, settings, batches)
    their_history(networks, batches, **changes)
    assert furthest(model, networks) > 1e-5


def test_the_discriminator_is_of_the_published_size():
    network = byhand.Discriminator(3, 64, strided=4)  # 64 pixels; DCGAN's layers of 64, 128, 256 and 512 channels
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert sum(p.numel() for p in network.parameters()) == convolutions + 64 + 2 * (128 + 256 + 512) + 1
    assert network(torch.rand(2, 3, 64, 64))[0].shape == (2, 1, 1, 1)
