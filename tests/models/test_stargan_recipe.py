"""Five steps of our StarGAN against a by-hand version of the published recipe that imports nothing of the project.

The networks are ours on both sides, so that only the recipe is compared. In float64, all of it: a bias before an
instance norm has no gradient but rounding, which Adam would blow up to whole steps; where the library goes on in
float32, `Tensor.float` keeps float64 here.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.models.recipes import copy_of, furthest_of_parts, make_step, pass_on, set_rate
from translate.batch import Batch
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.models import Model, build
from translate.models.stargan import StarGANSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from byhand import stargan as byhand

SIZE, WIDTH, STEPS, CRITIC_STEPS, CLASSES = 32, 4, 5, 5, 3
PARTS = ("generator", "encoder", "discriminator")
TERMS = ("d", "d_class", "d_penalty", "g_gan", "g_class", "g_cycle")

Rounds = list[list[byhand.Move]]
Setup = tuple[StarGANSettings, Model, list[nn.Module], Rounds]


@pytest.fixture(params=[1, 3], ids="batch{}".format)
def setup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    torch.manual_seed(0)
    settings = StarGANSettings.make(
        {"width": WIDTH, "discriminator_width": WIDTH, "blocks": 1, "patch": 16, "code_width": 8}
    )
    spec, conditions = ImageSpec(channels=3), Conditions(labels=("brick", "wood", "stone"), required=True)
    model = build("stargan", settings, source=spec, target=spec, size=SIZE, conditions=conditions).double()
    pass_on(model)
    networks = [copy_of(model.get_submodule(part)) for part in PARTS]
    count = request.param
    rounds = [[some_pictures(count, seed=CRITIC_STEPS * i + j) for j in range(CRITIC_STEPS)] for i in range(STEPS)]
    return settings, model, networks, rounds


def some_pictures(count: int, *, seed: int) -> byhand.Move:
    """Pictures that are to become what they are not."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.randint(CLASSES, (count,))
    goal = (own + torch.randint(1, CLASSES, (count,))) % CLASSES
    shares = torch.rand(count, 1, 1, 1, generator=generator).double()
    picture = torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64) * 2 - 1
    return byhand.Move(picture, own, goal, shares)


def our_batch(given: byhand.Move) -> Batch:
    """As a multi-domain set gives it. The partner's picture is not looked at: a NaN would show in all losses."""
    one_hot = torch.eye(CLASSES)
    return Batch(
        {"source": given.picture, "target": torch.full_like(given.picture, torch.nan)},
        draws={"game.mix": given.share},
        condition={"label": one_hot[given.goal], "own_label": one_hot[given.own]},
    )


def our_history(model: Model, settings: StarGANSettings, rounds: Rounds) -> Tensor:
    """Five steps of our loop; returns the losses of every step in the order of `TERMS`."""
    step = make_step(model, settings)
    assert step.rounds == CRITIC_STEPS
    history = []
    for i, steps in enumerate(rounds):
        set_rate(step, settings, i, steps=STEPS)
        values = step([our_batch(given) for given in steps])
        assert set(values) == {*TERMS, "d_real", "d_fake"}
        history.append([values[name].item() for name in TERMS])
    return torch.tensor(history, dtype=torch.float64)


def their_history(networks: list[nn.Module], rounds: Rounds, **changes: float) -> Tensor:
    return torch.tensor(byhand.train(*networks, rounds, classes=CLASSES, **changes), dtype=torch.float64)


def furthest(model: Model, networks: list[nn.Module]) -> float:
    """The largest difference between any of our weights and the by-hand ones."""
    apart: float = furthest_of_parts(model, networks, parts=PARTS)
    return apart


def difference(setup: Setup, rounds: Rounds, **changes: float) -> tuple[float, float]:
    """How far our steps on the rounds of `setup` and theirs on `rounds`, changed, end apart: losses, and weights.

    At ten times the published rate, so that five steps lead somewhere. A loss whose own weight is changed does not
    count.
    """
    settings, model, networks, given = setup
    settings = settings.replace(lr=10 * settings.lr)
    apart = (our_history(model, settings, given) - their_history(networks, rounds, lr=settings.lr, **changes)).abs()
    own = {"penalty": ["d_penalty"], "label": ["d_class", "g_class"], "cycle": ["g_cycle"]}
    counted = [term not in [name for change in changes for name in own[change]] for term in TERMS]
    return apart[:, counted].max().item(), furthest(model, networks)


def test_five_steps_match_the_published_recipe(setup: Setup) -> None:
    settings, model, networks, rounds = setup
    ours = our_history(model, settings, rounds)
    assert furthest(model, networks) > 1e-4  # the by-hand ones are unchanged yet

    torch.testing.assert_close(ours, their_history(networks, rounds), rtol=1e-7, atol=1e-9)
    assert furthest(model, networks) < 1e-7


def test_the_order_of_the_players_matters_and_is_the_published_one(setup: Setup) -> None:
    _, model, _, rounds = setup
    model.players = dict(reversed(model.players.items()))
    assert min(difference(setup, rounds)) > 1e-3


@pytest.mark.parametrize("setup", [3], indirect=True, ids=["batch3"])
@pytest.mark.parametrize("term", ["penalty", "label", "cycle"])
def test_a_missing_term_is_detected(setup: Setup, term: str) -> None:
    assert min(difference(setup, setup[-1], **{term: 0.0})) > 1e-3


WRONG: dict[str, Callable[[list[byhand.Move]], list[byhand.Move]]] = {
    "goal taken for own label": lambda steps: [given._replace(own=given.goal) for given in steps],
    "own label taken for goal": lambda steps: [given._replace(goal=given.own) for given in steps],
    "share of the drawn picture": lambda steps: [given._replace(share=1 - given.share) for given in steps],
    "one batch for all steps": lambda steps: steps[-1:] * CRITIC_STEPS,
    "one step less": lambda steps: steps[1:],
}


@pytest.mark.parametrize("setup", [3], indirect=True, ids=["batch3"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_steps_on_something_else_are_detected(
    setup: Setup, wrong: Callable[[list[byhand.Move]], list[byhand.Move]]
) -> None:
    assert min(difference(setup, [wrong(steps) for steps in setup[-1]])) > 1e-3
