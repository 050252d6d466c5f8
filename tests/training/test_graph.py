"""`--step graph`: steps that are recorded and replayed leave the weights that eager steps leave, bit for bit.

On a CPU the graph is `tests.recorded_graph`'s, which has the same traps as CUDA's. tests/gpu has the same on a GPU.
"""

import copy

import pytest
import torch

from tests.drawn import drawn
from tests.models.test_models import EVERY, SIZE, example_conditions, small_settings, some_conditions, source_of
from tests.recorded_graph import RecordedCapture
from translate.batch import RawBatch
from translate.images import ImageSpec
from translate.models import build
from translate.training.ema import Average
from translate.training.graph import MOST_GRAPHS, WARM_UP, GraphStep
from translate.training.guard import TrainingStopped
from translate.training.loop import Step, make_optimizers, set_rate

CPU = torch.device("cpu")


def batch_of(model, name, number, *, count=2, **changes):
    generator = torch.Generator().manual_seed(number)
    sides = {"source": SIZE // model.scale, "target": SIZE}
    specs = {"source": source_of(name), "target": ImageSpec(channels=3)}
    specs = {side: spec for side, spec in specs.items() if spec is not None}
    pictures = {
        side: torch.randint(0, 256, (count, sides[side], sides[side], spec.channels), generator=generator).byte()
        for side, spec in specs.items()
    }
    numbers = drawn(model, count, first=count * number)
    return RawBatch(pictures, condition=example_conditions(name, count, **changes), draws=numbers).to(CPU, specs)


def make(name, **changes):
    settings = small_settings(name, **changes)
    if settings.optimizer == "rmsprop":  # on a CPU it reads the rate as a number; on a GPU it does not
        settings = settings.replace(optimizer="adam")
    torch.manual_seed(0)
    usual = {"source": source_of(name), "target": ImageSpec(channels=3)}
    model = build(name.split()[0], settings, **usual, size=SIZE, conditions=some_conditions(name, **changes))
    return model, settings


class Run:
    """Some steps of one model, eager or recorded."""

    def __init__(self, model, settings, *, graph):
        self.model = model
        self.optimizers = make_optimizers(model, settings, device=CPU)
        clip = settings.clip_gradients
        self.step = Step(model, self.optimizers, device=CPU, pace=settings.pace, clip_gradients=clip)
        self.said, self.captures = [], []
        self.take = GraphStep(self.step, make_capture=self._capture, say=self.said.append) if graph else self.step
        self.average = Average(model, decay=0.9)
        self.losses = []

    def _capture(self):
        self.captures.append(RecordedCapture())
        return self.captures[-1]

    def advance(self, number, batches, *, measuring=False):
        torch.manual_seed(number)
        for optimizer in self.optimizers.values():
            set_rate(optimizer, 2e-4 * (1 - number / 20))
        self.step.measuring = measuring
        self.losses.append(self.take(batches, number=number, progress=number / 20))
        for batch in batches:  # the loader's memory is used again
            for tensor in (*batch.pictures.values(), *batch.draws.values()):
                tensor.zero_()
        self.average.update(self.model)
        return {player: norm.clone() for player, norm in self.step.gradients.items()} if measuring else None


def assert_same(one, other):
    for a, b in ((one.model, other.model), (one.average.model, other.average.model)):
        for (name, value), (_, expected) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
            assert torch.equal(value, expected), name
    for seen, expected in zip(one.losses, other.losses, strict=True):
        assert seen.keys() == expected.keys()
        assert all(torch.equal(seen[name], expected[name]) for name in seen)
    for player, optimizer in one.optimizers.items():
        both = zip(optimizer.state.values(), other.optimizers[player].state.values(), strict=True)
        assert all(torch.equal(a[key], b[key]) for a, b in both for key in a if isinstance(a[key], torch.Tensor))


def compared(name, *, steps=WARM_UP + 3, measured=(), **changes):
    """An eager run and a recorded one, after the same steps."""
    model, settings = make(name, **changes)
    runs = [Run(copy.deepcopy(model), settings, graph=graph) for graph in (False, True)]
    for number in range(steps):
        norms = []
        for run in runs:
            batches = [batch_of(model, name, 7 * number + i, **changes) for i in range(run.step.rounds)]
            norms.append(run.advance(number, batches, measuring=number in measured))
        assert norms[0] == norms[1]
    assert_same(*runs)
    return runs[1]


@pytest.mark.parametrize("name", EVERY)
def test_recorded_steps_of_every_model_are_the_eager_ones(name):
    run = compared(name)
    assert run.captures[0].recorded == 1
    assert run.take.eager_steps == WARM_UP
    assert len(run.said) == 1


def test_kinds_of_steps_have_graphs_of_their_own():
    """Penalty or not, gradients measured or not; the rate falls, and instance noise with it, in all of them."""
    changes = {"penalty": "r1", "penalty_every": 2, "norm": "instance", "discriminator_norm": "instance"}
    changes |= {"instance_noise": 0.1, "pool": 2, "augment": "color,translation,cutout", "ada": 0.6, "dropout": 0.5}
    run = compared("pix2pix", steps=18, measured=range(2, 18, 3), **changes)
    assert run.captures[0].recorded == 2  # of four kinds, two are too rare so far
    assert run.take.eager_steps == 4 * WARM_UP


@pytest.mark.parametrize(
    "changes",
    [
        {"simultaneous": True, "d_steps": 2, "clip_gradients": 1.0},
        {"optimizer": "sgd", "momentum": 0.9, "beta1": 0.5},
        {"objective": "wasserstein", "penalty": "clip"},
    ],
    ids=["several batches a step", "sgd", "clipped weights"],
)
def test_paces_and_optimisers(changes):
    compared("pix2pix", **changes)


def test_accumulated_batches():
    model, settings = make("pix2pix")
    runs = [Run(copy.deepcopy(model), settings, graph=graph) for graph in (False, True)]
    for number in range(WARM_UP + 2):
        for run in runs:
            run.advance(number, [batch_of(model, "pix2pix", 3 * number + i) for i in range(3)])
    assert_same(*runs)


def test_batches_of_another_shape_are_another_kind():
    model, settings = make("pix2pix")
    runs = [Run(copy.deepcopy(model), settings, graph=graph) for graph in (False, True)]
    for number in range(2 * WARM_UP + 3):
        for run in runs:
            run.advance(number, [batch_of(model, "pix2pix", number, count=1 + number % 2)])
    assert_same(*runs)
    assert runs[1].captures[0].recorded == 2


def test_validation_between_steps_and_a_resume_change_nothing():
    """Validation runs the networks in eval mode. Loading a checkpoint gives optimisers new tensors: graphs go."""
    model, settings = make("pix2pix", pool=2)
    runs = [Run(copy.deepcopy(model), settings, graph=graph) for graph in (False, True)]
    for number in range(2 * WARM_UP + 4):
        for run in runs:
            run.advance(number, [batch_of(model, "pix2pix", number)])
            with torch.no_grad():
                run.model.eval()
                run.model.generate(batch_of(model, "pix2pix", 99), tuple(model.players))
                run.model.train()
            if number == WARM_UP + 1:
                for optimizer in run.optimizers.values():
                    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                if run.captures:
                    run.take.forget()
    assert_same(*runs)
    assert [capture.recorded for capture in runs[1].captures] == [1, 1]


def test_kinds_beyond_the_limit_stay_eager(monkeypatch):
    monkeypatch.setattr("translate.training.graph.MOST_GRAPHS", 1)
    model, settings = make("pix2pix")
    run = Run(model, settings, graph=True)
    for number in range(WARM_UP + 4):
        run.advance(number, [batch_of(model, "pix2pix", number, count=1 if number > WARM_UP else 2)])
    assert run.captures[0].recorded == 1
    assert run.take.eager_steps == WARM_UP + 3
    assert "stays eager" in run.said[-1]
    assert MOST_GRAPHS > 4  # penalties and measurements together


def test_a_step_that_reads_a_value_cannot_be_recorded():
    model, settings = make("pix2pix")
    objective = model.objective

    def logged(*args):
        losses, stats = objective(*args)
        return losses, {**stats, "read": torch.full((), next(iter(losses.values())).item())}

    model.objective = logged
    run = Run(model, settings, graph=True)
    with pytest.raises(TrainingStopped, match=r"step 4 cannot be recorded .*capturing.*: use --step eager"):
        for number in range(WARM_UP + 1):
            run.advance(number, [batch_of(model, "pix2pix", number)])


def test_state_that_python_keeps_is_found():
    """A model that counts its steps in Python does so no more: the two runs differ, as they would on a GPU."""
    model, settings = make("pix2pix")
    objective = type(model).objective

    class Counting(type(model)):
        def objective(self, *args):
            self.calls = getattr(self, "calls", 0) + 1
            losses, stats = objective(self, *args)
            return {name: loss * self.calls for name, loss in losses.items()}, stats

    model.__class__ = Counting
    runs = [Run(copy.deepcopy(model), settings, graph=graph) for graph in (False, True)]
    for number in range(WARM_UP + 3):
        for run in runs:
            run.advance(number, [batch_of(model, "pix2pix", number)])
    with pytest.raises(AssertionError):
        assert_same(*runs)
