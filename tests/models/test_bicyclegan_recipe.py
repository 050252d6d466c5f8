"""Five steps of our BicycleGAN against a by-hand version of the published recipe that imports nothing of the project.

The networks are ours on both sides, so that only the recipe is compared. In float64, all of it: a bias before an
instance norm has no gradient but rounding, which Adam would blow up to whole steps; where the library goes on in
float32, `Tensor.float` keeps float64 here.
"""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.models.recipes import copy_of, furthest_of_parts, make_step, pass_on, set_rate
from translate.batch import Batch
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.models import Model, build
from translate.models.bicyclegan import BicycleGANSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import bicyclegan as byhand

SIZE, WIDTH, STEPS, Z = 32, 4, 5, 8
PARTS = ("generator", "encoder", "discriminator", "discriminator_drawn")
TERMS = ("d", "d_drawn", "g_gan", "g_gan_drawn", "g_l1", "g_kl", "g_latent")
STATS = ("d_real", "d_fake", "d_real_drawn", "d_fake_drawn")

Batches = list[byhand.Pairs]
Setup = tuple[BicycleGANSettings, Model, list[nn.Module], Batches]


@pytest.fixture(params=[1, 3], ids="batch{}".format)
def setup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    torch.manual_seed(0)
    settings = BicycleGANSettings.make(
        {"width": WIDTH, "discriminator_width": WIDTH, "encoder_width": WIDTH, "patch": 34}
    )
    spec = ImageSpec(channels=3)
    model = build("bicyclegan", settings, source=spec, target=spec, size=SIZE, conditions=Conditions(z=Z)).double()
    pass_on(model)
    networks = [copy_of(model.get_submodule(part)) for part in PARTS]
    return settings, model, networks, [some_pairs(request.param, seed=i) for i in range(STEPS)]


def some_pairs(count: int, *, seed: int) -> byhand.Pairs:
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64) * 2 - 1 for _ in range(2))
    noise, drawn = torch.randn(2, count, Z, generator=generator).double()
    return byhand.Pairs(source, target, noise, drawn)


def our_history(model: Model, settings: BicycleGANSettings, batches: Batches) -> Tensor:
    """Five steps of our loop; returns the losses of every step in the order of `TERMS`."""
    step = make_step(model, settings)
    history = []
    for i, pairs in enumerate(batches):
        set_rate(step, settings, i, steps=STEPS)
        draws = {"z_noise": pairs.noise, "z_drawn": pairs.drawn}
        values = step([Batch({"source": pairs.source, "target": pairs.target}, draws=draws)])
        assert set(values) == {*TERMS, *STATS}
        history.append([values[name].item() for name in TERMS])
    return torch.tensor(history, dtype=torch.float64)


def their_history(networks: list[nn.Module], batches: Batches, **changes: float) -> Tensor:
    return torch.tensor(byhand.train(*networks, batches, **changes), dtype=torch.float64)


def furthest(model: Model, networks: list[nn.Module]) -> float:
    """The largest difference between any of our weights and the by-hand ones."""
    apart: float = furthest_of_parts(model, networks, parts=PARTS)
    return apart


def difference(setup: Setup, batches: Batches, **changes: float) -> tuple[float, float]:
    """How far our steps on the batches of `setup` and theirs on `batches`, changed, end apart: losses, and weights.

    At ten times the published rate, so that five steps lead somewhere. A loss whose own weight is changed does not
    count.
    """
    settings, model, networks, given = setup
    settings = settings.replace(lr=10 * settings.lr)
    apart = (our_history(model, settings, given) - their_history(networks, batches, lr=settings.lr, **changes)).abs()
    return apart[:, [term.removeprefix("g_") not in changes for term in TERMS]].max().item(), furthest(model, networks)


def test_five_steps_match_the_published_recipe(setup: Setup) -> None:
    settings, model, networks, batches = setup
    ours = our_history(model, settings, batches)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(networks, batches), rtol=1e-7, atol=1e-9)
    assert furthest(model, networks) < 1e-7


def test_the_order_of_the_players_matters_and_is_the_published_one(setup: Setup) -> None:
    _, model, _, batches = setup
    model.players = dict(reversed(model.players.items()))
    assert min(difference(setup, batches)) > 1e-3


@pytest.mark.parametrize("changes", [{"l1": 0.0}, {"kl": 0.0}, {"latent": 0.0}, {"encoder_learns": True}], ids=str)
def test_another_game_is_told_apart(setup: Setup, changes: dict[str, float]) -> None:
    assert min(difference(setup, setup[-1], **changes)) > 1e-3


def test_codes_of_targets_and_drawn_ones_are_told_apart(setup: Setup) -> None:
    exchanged = [pairs._replace(noise=pairs.drawn, drawn=pairs.noise) for pairs in setup[-1]]
    assert min(difference(setup, exchanged)) > 1e-3
