"""Who is shown what in one optimisation step, and in which order, told by a model that keeps a diary.

Its networks are a single weight each, from 0, with costs whose slope is 1 and optimisers that step by the slope: a
weight of -2 has made two moves. Batch 3 has sources of 300, and the fake of a generator that has made two moves is 298.
"""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from translate.batch import Batch
from translate.models import Model
from translate.settings import ModelSettings
from translate.training.loop import Step, only

CPU = torch.device("cpu")
D, G = "discriminator", "generator"


class Pass(NamedTuple):
    """A call of `fakes` or `translate`."""

    of: str
    batch: int
    generator: int  # moves that it has made


class Turn(NamedTuple):
    """A call of `losses`."""

    player: str
    batch: int
    made_of: int  # batch of the fake that was shown
    made_after: int  # moves of the generator that made it
    own: int  # moves of the player itself
    graph: bool = False  # whether the fake leads back to the generator


class Moved(NamedTuple):
    player: str
    stats: bool = True  # whether those are of its own losses


class Diary(Model):
    """Translates by adding its weight."""

    players = {D: (D,), G: (G,)}  # noqa: RUF012
    pooled = {D: ("fake",)}  # noqa: RUF012

    def __init__(self, *, moves=None, pool=0):
        super().__init__(ModelSettings(), source_channels=1, target_channels=1, size=1)
        self.moves, self.pool = dict(moves or {}), pool
        self.generator, self.discriminator = (nn.Linear(1, 1, bias=False) for _ in range(2))
        self.slope = dict.fromkeys((D, G), lambda batch: 1.0)
        for weight in self.parameters():
            nn.init.zeros_(weight)
        self.diary = []

    def made(self, player):
        return -round(self.get_submodule(player).weight.item())

    def _make(self, of, batch):
        self.diary.append(Pass(of, number(batch.source), self.made(G)))
        return {"fake": batch.source + self.generator.weight}

    def translate(self, batch):
        return self._make("translate", batch)

    def fakes(self, batch):
        return self._make("fakes", batch)

    def losses(self, player, batch, images):
        fake = images["fake"]
        self.diary.append(
            Turn(
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

    def after_step(self, player, stats):
        self.diary.append(Moved(player, set(stats) == {f"{player}_batch"}))


class GeneratorFirst(Diary):
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


def diary(model, numbers):
    """What happens in one step on batches of these numbers."""
    model.diary.clear()
    step_of(model)(batches(*numbers))
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    return model.diary


def test_one_pass_is_shared_where_the_judge_moves_first():
    assert diary(Diary(), [1]) == [
        Pass("translate", 1, generator=0),
        Turn(D, 1, made_of=1, made_after=0, own=0, graph=True),
        Moved(D),
        Turn(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Moved(G),
    ]


def test_a_judge_that_moves_second_sees_what_the_generator_made_before_it_moved():
    model = GeneratorFirst()
    assert diary(model, [1]) == [
        Pass("translate", 1, generator=0),
        Turn(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Moved(G),
        Turn(D, 1, made_of=1, made_after=0, own=0, graph=True),
        Moved(D),
    ]
    assert diary(model, [2])[0] == Pass("translate", 2, generator=1)


def test_a_player_that_moves_more_often_has_batches_of_its_own():
    """The rounds of judges alone call for fakes alone, and build no graph."""
    model = Diary(moves={D: 3})
    assert diary(model, [1, 2, 3]) == [
        Pass("fakes", 1, generator=0),
        Turn(D, 1, made_of=1, made_after=0, own=0),
        Moved(D),
        Pass("fakes", 2, generator=0),
        Turn(D, 2, made_of=2, made_after=0, own=1),
        Moved(D),
        Pass("translate", 3, generator=0),
        Turn(D, 3, made_of=3, made_after=0, own=2, graph=True),
        Moved(D),
        Turn(G, 3, made_of=3, made_after=0, own=0, graph=True),
        Moved(G),
    ]
    assert (model.made(D), model.made(G)) == (3, 1)


def test_the_last_round_is_that_of_all_players_in_their_order():
    assert diary(GeneratorFirst(moves={D: 2}), [1, 2]) == [
        Pass("fakes", 1, generator=0),
        Turn(D, 1, made_of=1, made_after=0, own=0),
        Moved(D),
        Pass("translate", 2, generator=0),
        Turn(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Moved(G),
        Turn(D, 2, made_of=2, made_after=0, own=1, graph=True),
        Moved(D),
    ]


def test_generators_may_move_more_often_too():
    assert diary(Diary(moves={G: 2}), [1, 2]) == [
        Pass("translate", 1, generator=0),
        Turn(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Moved(G),
        Pass("translate", 2, generator=1),
        Turn(D, 2, made_of=2, made_after=1, own=0, graph=True),
        Moved(D),
        Turn(G, 2, made_of=2, made_after=1, own=1, graph=True),
        Moved(G),
    ]


def test_accumulation_where_the_judge_moves_first():
    """No two graphs at once: the judge has passes of its own, without one."""
    assert diary(Diary(), [1, 2]) == [
        Pass("fakes", 1, generator=0),
        Turn(D, 1, made_of=1, made_after=0, own=0),
        Pass("fakes", 2, generator=0),
        Turn(D, 2, made_of=2, made_after=0, own=0),
        Moved(D),
        Pass("translate", 1, generator=0),
        Turn(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Pass("translate", 2, generator=0),
        Turn(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Moved(G),
    ]


def test_accumulation_where_the_judge_moves_second():
    """It is shown what was made before the generator moved, once more and without the graph."""
    assert diary(GeneratorFirst(), [1, 2]) == [
        Pass("translate", 1, generator=0),
        Turn(G, 1, made_of=1, made_after=0, own=0, graph=True),
        Pass("translate", 2, generator=0),
        Turn(G, 2, made_of=2, made_after=0, own=0, graph=True),
        Moved(G),
        Turn(D, 1, made_of=1, made_after=0, own=0),
        Turn(D, 2, made_of=2, made_after=0, own=0),
        Moved(D),
    ]


def test_accumulation_in_rounds_deals_out_the_batches_in_order():
    turns = [(t.player, t.batch) for t in diary(Diary(moves={D: 3}), [1, 2, 3, 4, 5, 6]) if isinstance(t, Turn)]
    assert turns == [(D, 1), (D, 2), (D, 3), (D, 4), (D, 5), (D, 6), (G, 5), (G, 6)]


@pytest.mark.parametrize("model_class", [Diary, GeneratorFirst])
def test_accumulated_gradients_are_averaged(model_class):
    model = model_class()
    model.slope = {D: lambda batch: number(batch.source), G: lambda batch: 10 * number(batch.source)}
    diary(model, [1, 2, 6])
    assert model.discriminator.weight.item() == pytest.approx(-(1 + 2 + 6) / 3)
    assert model.generator.weight.item() == pytest.approx(-10 * (1 + 2 + 6) / 3)


def test_figures_are_means_over_batches_and_moves():
    values = step_of(Diary(moves={D: 2}))(batches(1, 2, 4, 7))
    assert values["discriminator_batch"].item() == pytest.approx((1 + 2 + 4 + 7) / 4)
    assert values["generator_batch"].item() == pytest.approx((4 + 7) / 2)
    assert values["d"].item() == pytest.approx((0 + 0 - 1 - 1) / 4)
    assert not any(value.requires_grad for value in values.values())


@pytest.mark.parametrize(("moves", "count"), [({}, 0), ({D: 3}, 2), ({D: 3}, 4)])
def test_every_round_needs_as_many_batches(moves, count):
    with pytest.raises(AssertionError, match="as many batches for every round"):
        step_of(Diary(moves=moves))(batches(*range(1, count + 1)))


@pytest.mark.parametrize("model_class", [Diary, GeneratorFirst])
@pytest.mark.parametrize("each", [1, 2])
def test_the_judge_meets_past_fakes_and_the_generator_its_own(model_class, each):
    torch.manual_seed(0)
    model = model_class(pool=2)
    step = step_of(model)
    for i in range(10):
        step(batches(*range(1 + i * each, 1 + (i + 1) * each)))
    turns = [t for t in model.diary if isinstance(t, Turn)]
    assert all(t.made_of == t.batch and t.graph for t in turns if t.player == G)
    judged = [t for t in turns if t.player == D]
    old = [t for t in judged if t.made_of != t.batch]
    assert 0 < len(old) < len(judged)
    assert all(t.made_of < t.batch for t in old)
    assert not any(t.graph for t in judged)
    assert all(t.made_after == (t.made_of - 1) // each for t in judged)  # as they were made, and not made again


def test_within_only_the_named_networks_are_trained_and_after_it_those_that_were():
    model = Diary()
    model.discriminator.requires_grad_(False)
    with only(model, [D]):
        assert not any(p.requires_grad for p in model.parameters())
    assert model.generator.weight.requires_grad
    assert not model.discriminator.weight.requires_grad


def test_an_error_within_leaves_nothing_frozen():
    model = Diary()
    model.slope[D] = lambda batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        step_of(model)(batches(1))
    assert all(p.requires_grad for p in model.parameters())
