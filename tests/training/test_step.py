"""The order of passes, objectives and optimiser steps in one iteration, as a model logs them.

Its networks are a single weight each, from 0, with costs whose slope is 1 and optimisers that step by the slope: a
weight of -2 has made two steps. Batch 3 has sources of 300, and the fake of a generator that has made two steps is 298.
"""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from translate.batch import Batch
from translate.models import Model
from translate.models.game import Game
from translate.models.game_settings import GameSettings
from translate.networks import Discriminator
from translate.training.loop import Step, only

CPU = torch.device("cpu")
D, G = "discriminator", "generator"


class Pass(NamedTuple):
    """A call of `generate`."""

    players: tuple[str, ...]
    batch: int
    generator: int  # steps that it has made


class Objective(NamedTuple):
    """A call of `objective`."""

    player: str
    batch: int
    made_of: int  # batch of the fake
    made_after: int  # steps of the generator before it made the fake
    own: int  # steps of the player itself
    graph: bool = False  # whether the fake leads back to the generator


class Stepped(NamedTuple):
    """A call of the game's `after_step`."""

    player: str


class LoggedGame(Game):
    """Logs each step."""

    def __init__(self, discriminator, log, **settings):
        super().__init__(Discriminator(nn.Sequential(discriminator)), GameSettings(**settings), player=D)
        self.log = log

    def after_step(self, player, stats, *, pictures=1):
        self.log.append(Stepped(player))


class Logged(Model):
    """Translates by adding its weight."""

    players = {D: (D,), G: (G,)}  # noqa: RUF012

    def __init__(self, *, steps=None, **game):
        super().__init__()
        self.steps_per_iteration = dict(steps or {})
        self.generator, self.discriminator = (nn.Linear(1, 1, bias=False) for _ in range(2))
        self.slope = dict.fromkeys((D, G), lambda batch: 1.0)
        for weight in self.parameters():
            nn.init.zeros_(weight)
        self.log: list[Pass | Objective | Stepped] = []
        self.game = LoggedGame(self.discriminator, self.log, **game)

    def made(self, player):
        return -round(self.get_submodule(player).weight.item())

    def generate(self, batch, players):
        self.log.append(Pass(tuple(players), number(batch.source), self.made(G)))
        return {"fake": batch.source + self.generator.weight}

    def objective(self, player, batch, images):
        fake = images["fake"]
        self.log.append(
            Objective(
                player,
                number(batch.source),
                number(fake),
                round(100 * number(fake) - fake.mean().item()),
                self.made(player),
                graph=fake.requires_grad,
            )
        )
        frozen = {name for name in (D, G) if not self.get_submodule(name).weight.requires_grad}
        assert frozen == {D, G} - {player}
        slope, stats = self.slope[player](batch), {f"{player}_batch": torch.tensor(float(number(batch.source)))}
        if player == D:
            return {"d": slope * self.discriminator.weight.sum() + 0 * fake.detach().mean()}, stats
        return {"g": slope * fake.mean() + 0 * self.discriminator.weight.sum()}, stats


class GeneratorFirst(Logged):
    """The other order."""

    players = {G: (G,), D: (D,)}  # noqa: RUF012


def number(pictures):
    return round(pictures.mean().item() / 100 + 0.4)  # 298 and 300 alike


def batches(*numbers):
    return [Batch({"source": torch.full((1, 1, 1, 1), 100.0 * n), "target": torch.zeros(1, 1, 1, 1)}) for n in numbers]


def step_of(model):
    return Step(
        model, {p: torch.optim.SGD(model.get_submodule(p).parameters(), lr=1.0) for p in model.players}, device=CPU
    )


def log(model, numbers):
    """What happens in one step on batches of these numbers."""
    model.log.clear()
    step_of(model)(batches(*numbers))
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    return model.log


def test_one_pass_is_shared_where_the_discriminator_is_first():
    assert log(Logged(), [1]) == [
        Pass((D, G), 1, generator=0),
        Objective(D, 1, made_of=1, made_after=0, own=0, graph=True),
        Stepped(D),
        Objective(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Stepped(G),
    ]


def test_a_discriminator_that_is_second_sees_fakes_from_before_the_generators_step():
    model = GeneratorFirst()
    assert log(model, [1]) == [
        Pass((G, D), 1, generator=0),
        Objective(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Stepped(G),
        Objective(D, 1, made_of=1, made_after=0, own=0, graph=True),
        Stepped(D),
    ]
    assert log(model, [2])[0] == Pass((G, D), 2, generator=1)


def test_a_player_of_several_steps_has_batches_of_its_own():
    """The rounds of discriminators alone need fakes alone, and build no graph."""
    model = Logged(steps={D: 3})
    assert log(model, [1, 2, 3]) == [
        Pass((D,), 1, generator=0),
        Objective(D, 1, made_of=1, made_after=0, own=0),
        Stepped(D),
        Pass((D,), 2, generator=0),
        Objective(D, 2, made_of=2, made_after=0, own=1),
        Stepped(D),
        Pass((D, G), 3, generator=0),
        Objective(D, 3, made_of=3, made_after=0, own=2, graph=True),
        Stepped(D),
        Objective(G, 3, made_of=3, made_after=0, own=0, graph=True),
        Stepped(G),
    ]
    assert (model.made(D), model.made(G)) == (3, 1)


def test_the_last_round_is_that_of_all_players_in_their_order():
    assert log(GeneratorFirst(steps={D: 2}), [1, 2]) == [
        Pass((D,), 1, generator=0),
        Objective(D, 1, made_of=1, made_after=0, own=0),
        Stepped(D),
        Pass((G, D), 2, generator=0),
        Objective(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Stepped(G),
        Objective(D, 2, made_of=2, made_after=0, own=1, graph=True),
        Stepped(D),
    ]


def test_generators_may_make_several_steps_too():
    assert log(Logged(steps={G: 2}), [1, 2]) == [
        Pass((G,), 1, generator=0),
        Objective(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Stepped(G),
        Pass((D, G), 2, generator=1),
        Objective(D, 2, made_of=2, made_after=1, own=0, graph=True),
        Stepped(D),
        Objective(G, 2, made_of=2, made_after=1, own=1, graph=True),
        Stepped(G),
    ]


def test_accumulation_where_the_discriminator_is_first():
    """No two graphs at once: the discriminator has passes of its own, without one."""
    assert log(Logged(), [1, 2]) == [
        Pass((D,), 1, generator=0),
        Objective(D, 1, made_of=1, made_after=0, own=0),
        Pass((D,), 2, generator=0),
        Objective(D, 2, made_of=2, made_after=0, own=0),
        Stepped(D),
        Pass((G,), 1, generator=0),
        Objective(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Pass((G,), 2, generator=0),
        Objective(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Stepped(G),
    ]


def test_accumulation_where_the_discriminator_is_second():
    """It gets the fakes from before the generator's step again, without the graph."""
    assert log(GeneratorFirst(), [1, 2]) == [
        Pass((G,), 1, generator=0),
        Objective(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Pass((G,), 2, generator=0),
        Objective(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Stepped(G),
        Objective(D, 1, made_of=1, made_after=0, own=0),
        Objective(D, 2, made_of=2, made_after=0, own=0),
        Stepped(D),
    ]


def test_accumulation_in_rounds_deals_out_the_batches_in_order():
    calls = [(t.player, t.batch) for t in log(Logged(steps={D: 3}), [1, 2, 3, 4, 5, 6]) if isinstance(t, Objective)]
    assert calls == [(D, 1), (D, 2), (D, 3), (D, 4), (D, 5), (D, 6), (G, 5), (G, 6)]


@pytest.mark.parametrize("model_class", [Logged, GeneratorFirst])
def test_accumulated_gradients_are_averaged(model_class):
    model = model_class()
    model.slope = {D: lambda batch: number(batch.source), G: lambda batch: 10 * number(batch.source)}
    log(model, [1, 2, 6])
    assert model.discriminator.weight.item() == pytest.approx(-(1 + 2 + 6) / 3)
    assert model.generator.weight.item() == pytest.approx(-10 * (1 + 2 + 6) / 3)


def test_figures_are_means_over_batches_and_steps():
    values = step_of(Logged(steps={D: 2}))(batches(1, 2, 4, 7))
    assert values["discriminator_batch"].item() == pytest.approx((1 + 2 + 4 + 7) / 4)
    assert values["generator_batch"].item() == pytest.approx((4 + 7) / 2)
    assert values["d"].item() == pytest.approx((0 + 0 - 1 - 1) / 4)
    assert not any(value.requires_grad for value in values.values())


@pytest.mark.parametrize(("steps", "count"), [({}, 0), ({D: 3}, 2), ({D: 3}, 4)])
def test_every_round_needs_as_many_batches(steps, count):
    with pytest.raises(AssertionError, match="as many batches for every round"):
        step_of(Logged(steps=steps))(batches(*range(1, count + 1)))


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_a_penalty_is_due_every_so_many_iterations(interval):
    model = Logged(penalty="r1", penalty_every=interval)
    step, due = step_of(model), []
    for i in range(7):
        step(batches(1), number=i)
        due.append(model.game.penalty_due)
    assert due == [i % interval == 0 for i in range(7)]


def test_within_only_the_named_networks_are_trained_and_after_it_those_that_were():
    model = Logged()
    model.discriminator.requires_grad_(False)
    with only(model, [D]):
        assert not any(p.requires_grad for p in model.parameters())
    assert model.generator.weight.requires_grad
    assert not model.discriminator.weight.requires_grad


def test_an_error_within_leaves_nothing_frozen():
    model = Logged()
    model.slope[D] = lambda batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        step_of(model)(batches(1))
    assert all(p.requires_grad for p in model.parameters())
