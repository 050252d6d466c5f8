"""Five steps of our CycleGAN against a by-hand version of the published recipe that imports nothing of the project.

In float64: a bias before an instance norm has no gradient but rounding, which Adam would blow up to whole steps.
"""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models.recipes import furthest_apart, make_step, set_rate
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import build
from translate.models.cyclegan import CycleGANSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import cyclegan as byhand

SIZE, WIDTH, BLOCKS, STEPS, POOL = 32, 4, 2, 5, 2
TERMS = ["g_gan", "g_gan_back", "g_cycle", "g_cycle_back", "g_identity", "g_identity_back", "d", "d_back"]


@pytest.fixture(params=[1, 2], ids="batch{}".format)
def setup(request):
    torch.manual_seed(0)
    settings = CycleGANSettings.make(
        {"width": WIDTH, "discriminator_width": WIDTH, "blocks": BLOCKS, "patch": 34, "pool": POOL}
    )
    spec = ImageSpec(channels=3)
    model = build("cyclegan", settings, source=spec, target=spec, size=SIZE).double()
    networks = [  # there, back, and the discriminators of targets and of sources
        byhand.Generator(3, 3, WIDTH, BLOCKS).double(),
        byhand.Generator(3, 3, WIDTH, BLOCKS).double(),
        byhand.Discriminator(3, WIDTH, strided=2).double(),
        byhand.Discriminator(3, WIDTH, strided=2).double(),
    ]
    for ours, theirs in matched(model, networks):
        theirs.load_state_dict(ours.state_dict())
    shape = (request.param, 3, SIZE, SIZE)
    batches = [tuple(torch.rand(shape, dtype=torch.float64) * 2 - 1 for _ in range(2)) for _ in range(STEPS)]
    return settings, model, networks, batches


def matched(model, networks):
    """Our layers beside the by-hand ones, in pairs: every layer with weights, from the picture to the output."""
    there, back, d_target, d_source = networks
    for ours, theirs in ((model.generator, there), (model.generator_back, back)):
        yield ours.first, theirs.first
        yield from zip((d.conv for d in ours.down), theirs.down, strict=True)
        yield from zip((b.conv1 for b in ours.blocks), theirs.block_first, strict=True)
        yield from zip((b.conv2 for b in ours.blocks), theirs.block_second, strict=True)
        yield from zip((u.conv for u in ours.up), theirs.up, strict=True)
        yield ours.last, theirs.last
    for ours, theirs in ((model.discriminator, d_target), (model.discriminator_back, d_source)):
        yield from zip((m for m in ours.modules() if isinstance(m, nn.Conv2d)), theirs.convs, strict=True)


def our_history(model, settings, batches):
    """Five steps of our loop; returns the losses of every step in the order of `TERMS`."""
    step = make_step(model, settings)
    history = []
    for i, (source, target) in enumerate(batches):
        draws = draws_by_hand(i, len(source), filled=i * len(source))
        set_rate(step, settings, i, steps=STEPS)
        values = step([Batch({"source": source, "target": target}, draws=draws)])
        assert {name for name in values if name.startswith(("g_", "d"))} - stats(values) == set(TERMS)
        history.append([values[name].item() for name in TERMS])
    return torch.tensor(history)


def draws_by_hand(step, count, *, filled):
    """The coins and places of both pools in the order in which the by-hand pools draw them in this step."""
    torch.manual_seed(step)
    draws: dict[str, torch.Tensor] = {}
    for game in ("game", "game_back"):
        coins, places = torch.zeros(count), torch.zeros(count, dtype=torch.long)
        for i in range(count):
            if filled + i >= POOL:
                coins[i] = torch.rand(())
                if coins[i] >= 0.5:
                    places[i] = torch.randint(POOL, ())
        draws |= {f"{game}.pool_coin": coins, f"{game}.pool_place": places}
    return draws


def stats(values):
    return {name for name in values if name.startswith(("d_real", "d_fake"))}


def their_history(networks, batches, *, pool=POOL):
    return torch.tensor(byhand.train(*networks, batches, steps=STEPS, pool=pool))


def furthest(model, networks):
    """The largest difference between any of our weights and the by-hand ones."""
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for n in networks for p in n.parameters())
    return furthest_apart(matched(model, networks))


def test_five_steps_match_the_published_recipe(setup):
    settings, model, networks, batches = setup
    ours = our_history(model, settings, batches)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(networks, batches), rtol=1e-5, atol=1e-5)
    assert furthest(model, networks) < 1e-5


def test_the_order_of_the_players_matters_and_is_the_published_one(setup):
    settings, model, networks, batches = setup
    model.players = dict(reversed(model.players.items()))
    ours = our_history(model, settings, batches)
    assert (ours - their_history(networks, batches)).abs().max() > 1e-4


def test_the_pool_gives_back_past_fakes(setup):
    settings, model, networks, batches = setup
    ours = our_history(model, settings, batches)
    without = their_history(networks, batches, pool=1000)  # never full: every fake is used as it comes
    assert (ours - without).abs().max() > 1e-4


def test_identity_is_a_share_of_the_weight_of_the_cycle(setup):
    """Other weights than the published 10 and 0.5. Before the first step each term is its weight times the same."""
    settings, model, networks, batches = setup
    changed = settings.replace(lambda_cycle=3.0, lambda_identity=0.2)
    spec = ImageSpec(channels=3)
    other = build("cyclegan", changed, source=spec, target=spec, size=SIZE).double()
    other.load_state_dict(model.state_dict())
    ours = our_history(other, changed, batches[:1])
    scale = torch.tensor([1, 1, 3 / 10, 3 / 10, 0.2 * 3 / 5, 0.2 * 3 / 5, 1, 1])
    torch.testing.assert_close(ours, torch.tensor(byhand.train(*networks, batches, steps=1, pool=POOL)) * scale)


def test_the_by_hand_networks_are_of_the_published_sizes():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(byhand.Generator(3, 3, 64, 9)) == 11_378_179
    assert count(byhand.Discriminator(3, 64, strided=3)) == 2_764_737
