"""Five steps of our pix2pix against a by-hand version of the published recipe that imports nothing of the project."""

import sys
from pathlib import Path

import pytest
import torch

from tests.models.recipes import furthest_apart, make_step, set_rate
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import build
from translate.models.pix2pix import Pix2PixSettings
from translate.training.loop import rate_factor

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import pix2pix as byhand

SIZE, WIDTH, STEPS = 64, 8, 5


@pytest.fixture
def setup():
    torch.manual_seed(0)
    settings = Pix2PixSettings.make({"width": WIDTH, "discriminator_width": WIDTH, "dropout": 0.0})
    model = build("pix2pix", settings, source=ImageSpec(channels=3), target=ImageSpec(channels=3), size=SIZE)
    generator = byhand.Generator(3, 3, WIDTH, depth=6)
    discriminator = byhand.Discriminator(6, WIDTH)
    give_weights(model, generator, discriminator)
    pairs = [tuple(torch.rand(1, 3, SIZE, SIZE) * 2 - 1 for _ in range(2)) for _ in range(STEPS)]
    return settings, model, generator, discriminator, pairs


def matched(model, generator, discriminator):
    """Our modules beside the by-hand ones, in pairs."""
    down, up = model.generator.down, list(model.generator.up)[::-1]
    yield from zip((d.conv for d in down), generator.encoder, strict=True)
    yield from zip((d.norm for d in down[1:-1]), generator.encoder_norm, strict=True)
    yield from zip((u.conv for u in up), generator.decoder, strict=True)
    yield from zip((u.norm for u in up[:-1]), generator.decoder_norm, strict=True)
    ours = [m for m in model.discriminator.network if not isinstance(m, torch.nn.LeakyReLU)]
    yield from zip(ours, discriminator.children(), strict=True)


def give_weights(model, generator, discriminator):
    for ours, theirs in matched(model, generator, discriminator):
        theirs.load_state_dict(ours.state_dict())


def our_history(model, settings, pairs):
    """Five steps of our loop; returns the losses of every step as (d, g_gan, g_l1)."""
    step = make_step(model, settings)
    history = []
    for i, (source, target) in enumerate(pairs):
        set_rate(step, settings, i, steps=STEPS)
        values = step([Batch({"source": source, "target": target})])
        history.append([values[name].item() for name in ("d", "g_gan", "g_l1")])
    return torch.tensor(history)


def furthest(model, generator, discriminator):
    """The largest difference between any of our weights or running statistics and the by-hand ones."""
    return furthest_apart(matched(model, generator, discriminator))


def test_five_steps_match_the_published_recipe(setup):
    settings, model, generator, discriminator, pairs = setup
    ours = our_history(model, settings, pairs)
    assert furthest(model, generator, discriminator) > 1e-4  # the by-hand one are unchanged yet

    theirs = torch.tensor(byhand.train(generator, discriminator, pairs, steps=STEPS))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert furthest(model, generator, discriminator) < 1e-5


def test_the_order_of_the_players_matters_and_is_the_published_one(setup):
    settings, model, generator, discriminator, pairs = setup
    model.players = dict(reversed(model.players.items()))
    ours = our_history(model, settings, pairs)
    theirs = torch.tensor(byhand.train(generator, discriminator, pairs, steps=STEPS))
    assert (ours - theirs).abs().max() > 1e-3


def test_rate_is_constant_then_linear_to_zero():
    course = [rate_factor(s, steps=10, schedule="linear", decay_start=0.5) for s in range(10)]
    assert course == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
