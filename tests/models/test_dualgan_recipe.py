"""Five steps of our DualGAN against a by-hand version of the published recipe that imports nothing of the project.

In float64, all of it: where the library goes on in float32, `Tensor.float` keeps float64 here, since RMSprop makes
whole steps of the smallest gradients.
"""

import sys
from pathlib import Path

import pytest
import torch

from tests.models.recipes import furthest_apart, make_step, set_rate
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import build
from translate.models.dualgan import DualGANSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import dualgan as byhand

SIZE, WIDTH, STEPS, ROUNDS = 32, 4, 5, 3
SIDES = ("", "_back")
TERMS = [f"{term}{side}" for term in ("d", "g_gan", "g_cycle") for side in SIDES]
STATS = {f"{stat}{side}" for stat in ("d_real", "d_fake") for side in SIDES}


@pytest.fixture(params=[1, 2], ids="batch{}".format)
def setup(request, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    torch.manual_seed(0)
    settings = DualGANSettings.make({"width": WIDTH, "discriminator_width": WIDTH, "dropout": 0.0})
    spec = ImageSpec(channels=3)
    model = build("dualgan", settings, source=spec, target=spec, size=SIZE).double()
    networks = [  # there, back, and the critics of targets and of sources
        byhand.Generator(3, 3, WIDTH, depth=5).double(),
        byhand.Generator(3, 3, WIDTH, depth=5).double(),
        byhand.Discriminator(3, WIDTH).double(),
        byhand.Discriminator(3, WIDTH).double(),
    ]
    for ours, theirs in matched(model, networks):
        theirs.load_state_dict(ours.state_dict())
    shape = (request.param, 3, SIZE, SIZE)

    def picture():
        return torch.rand(shape, dtype=torch.float64) * 2 - 1

    rounds = [[(picture(), picture()) for _ in range(ROUNDS)] for _ in range(STEPS)]
    return settings, model, networks, rounds


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
        layers = [layer for layer in ours.network if not isinstance(layer, torch.nn.LeakyReLU)]
        yield from zip(layers, theirs.children(), strict=True)


def our_history(model, settings, rounds):
    """Our loop; returns the losses of every step in the order of `TERMS`."""
    step = make_step(model, settings)
    assert step.rounds == ROUNDS
    history = []
    for i, batches in enumerate(rounds):
        set_rate(step, settings, i, steps=STEPS)
        values = step([Batch({"source": source, "target": target}) for source, target in batches])
        assert set(values) == set(TERMS) | STATS
        history.append([values[name].item() for name in TERMS])
    return torch.tensor(history, dtype=torch.float64)


def their_history(networks, rounds, **changes):
    return torch.tensor(byhand.train(*networks, rounds, **changes), dtype=torch.float64)


def furthest(model, networks):
    """The largest difference between any of our weights or running statistics and the by-hand ones."""
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for n in networks for p in n.parameters())
    return furthest_apart(matched(model, networks))


def test_five_steps_match_the_published_recipe(setup):
    settings, model, networks, rounds = setup
    ours = our_history(model, settings, rounds)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(networks, rounds), rtol=1e-5, atol=1e-7)
    assert furthest(model, networks) < 1e-6


def test_the_order_of_the_players_matters_and_is_the_published_one(setup):
    """The generators' first, on the same pictures: their critics have made two of three steps."""
    settings, model, networks, rounds = setup
    model.players = dict(reversed(model.players.items()))
    our_history(model, settings, rounds)
    their_history(networks, rounds)
    assert furthest(model, networks) > 1e-5


@pytest.mark.parametrize("changes", [{"clip": 1.0}, {"clip": 0.02}, {"cycle": 10.0}], ids=str)
def test_another_game_is_told_apart(setup, changes):
    settings, model, networks, rounds = setup
    our_history(model, settings, rounds)
    their_history(networks, rounds, **changes)
    assert furthest(model, networks) > 1e-5


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_each_move_of_the_critics_is_on_pictures_of_its_own(setup, which):
    settings, model, networks, rounds = setup
    our_history(model, settings, rounds)
    their_history(networks, [[batches[which]] * ROUNDS for batches in rounds])
    assert furthest(model, networks) > 1e-5


def test_the_critics_convolutions_alone_are_clipped(setup):
    settings, model, _, rounds = setup
    our_history(model, settings, rounds)
    for name, weight in model.named_parameters():
        clipped = "discriminator" in name and weight.dim() > 1
        assert (weight.abs().max() <= settings.clip) == clipped or weight.dim() == 1, name
    gains = [w for n, w in model.named_parameters() if "discriminator" in n and w.dim() == 1 and n.endswith("weight")]
    assert gains
    assert all(gain.min() > 0.5 for gain in gains)
