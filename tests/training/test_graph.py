"""`--step graph`: steps that are recorded and replayed leave the weights that eager steps leave, bit for bit.

On a CPU the graph is `tests.recorded_graph`'s, which has the same traps as CUDA's. tests/gpu has the same on a GPU.
"""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.drawn import drawn
from tests.models.test_models import EVERY, SIZE, example_conditions, small_settings, some_conditions, source_of
from tests.parts import slow_but
from tests.recorded_graph import RecordedCapture
from tests.training.test_resumed_game import leaves, pictures_of, same_leaf, session_of
from translate.batch import RawBatch
from translate.help import is_switch
from translate.images import ImageSpec
from translate.models import build
from translate.settings import RunSettings
from translate.training.ema import Average
from translate.training.graph import MOST_GRAPHS, WARM_UP, GraphStep, check_graph, step_as_asked
from translate.training.group import Group
from translate.training.guard import TrainingStopped
from translate.training.job import as_before
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
        self.said: list[str] = []
        self.captures: list[RecordedCapture] = []
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


@pytest.mark.parametrize("name", slow_but(["pix2pix", "stargan"], EVERY))
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
    assert "stay eager" in run.said[-1]
    assert len(run.said) == 2
    assert MOST_GRAPHS > 4  # penalties and measurements together


def test_a_step_that_reads_a_value_cannot_be_recorded():
    model, settings = make("pix2pix")
    objective = model.objective

    def logged(*args):
        losses, stats = objective(*args)
        return losses, {**stats, "read": torch.full((), next(iter(losses.values())).item())}

    model.objective = logged
    run = Run(model, settings, graph=True)
    for number in range(WARM_UP):
        run.advance(number, [batch_of(model, "pix2pix", number)])
    with pytest.raises(TrainingStopped, match=r"step 4 cannot be recorded .*capturing.*: use --step eager"):
        run.advance(WARM_UP, [batch_of(model, "pix2pix", WARM_UP)])


def test_state_that_python_keeps_is_found():
    """A model that counts its steps in Python does so no more: the two runs differ, as they would on a GPU."""
    model, settings = make("pix2pix")
    objective = type(model).objective

    class Counting(type(model)):  # type: ignore[misc]
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


def test_a_session_that_resumes_in_graphs_is_one_that_went_on_eagerly(tmp_path):
    """The whole of `advance`, gradients measured at every fourth step; the session that resumes had other graphs."""
    changes = {"pool": 3, "dropout": 0.5, "steps": 16, "log_every": 4, "instance_noise": 0.2}
    whole, first, second = (session_of(tmp_path, **changes) for _ in range(3))
    for session in (first, second):
        session.stepping = GraphStep(session.step, make_capture=RecordedCapture)
    for number in range(12):
        whole.advance(pictures_of(whole, number))
    for number in range(6):
        first.advance(pictures_of(first, number))
        second.advance(pictures_of(second, 50 + number))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for number in range(6, 12):
        second.advance(pictures_of(second, number))
    assert second.meter.means() == whole.meter.means()
    for (name, value), (_, expected) in zip(leaves(second.state_dict()), leaves(whole.state_dict()), strict=True):
        assert same_leaf(value, expected), name


def test_earlier_names_mean_what_they_meant():
    """`--compile` was a switch, and `--step N` of `--init-from` is `--init-step N` now; old configs have both."""
    make_run = RunSettings.make
    assert make_run({}).step == "auto"
    assert make_run({"compile": True}).step == make_run({"step": "compile", "compile": "true"}).step == "compile"
    before = make_run({"compile": False, "step": None})
    assert (before.step, before.init_step) == ("auto", None)
    assert make_run({"compile": "false", "step": "eager"}).step == "eager"
    assert make_run({"step": "3"}).init_step == make_run({"step": 3}).init_step == 3
    assert as_before({"compile": True, "step": 3}).items() >= {"step": "compile", "init_step": 3}.items()
    assert is_switch(RunSettings, "compile")
    with pytest.raises(ValueError, match="--compile means --step compile, and --step graph is given"):
        make_run({"compile": True, "step": "graph"})
    with pytest.raises(ValueError, match="--step 3 is an old name of --init-step"):
        make_run({"step": 3, "init_step": 4})
    with pytest.raises(ValueError, match="--compile got perhaps"):
        make_run({"compile": "perhaps"})
    with pytest.raises(ValueError, match="--step got"):
        make_run({"step": "graphs"})


@pytest.mark.parametrize(
    ("model", "run", "device", "size", "message"),
    [
        ("pix2pix", {}, "cpu", 1, "--step graph is for CUDA, and the device is cpu"),
        ("pix2pix", {}, "cuda", 2, "for one process, and 2 train together"),
        ("pix2pix", {"precision": "float16"}, "cuda", 1, "--precision float16"),
        ("own.module:Class", {}, "cuda", 1, "own.module:Class is a class of your own"),
    ],
)
def test_where_there_can_be_no_graph_it_is_refused(model, run, device, size, message):
    where: dict[str, Any] = {"device": torch.device(device), "group": Group(size=size)}

    def job_of(way: str) -> Any:
        return SimpleNamespace(model=model, run=RunSettings.make({**run, "step": way}))

    with pytest.raises(ValueError, match=message):
        check_graph(job_of("graph"), **where)
    for other in ("auto", "eager", "compile"):
        check_graph(job_of(other), **where)


def test_auto_is_eager_and_says_why_where_there_is_a_choice():
    said: list[str] = []
    step: Any = SimpleNamespace()
    cuda = torch.device("cuda")
    made = [step_as_asked("auto", step, device=CPU, say=said.append)]
    assert not said
    made += [step_as_asked(mode, step, device=cuda, say=said.append) for mode in ("auto", "eager")]
    assert all(one is step for one in made)
    (line,) = said
    assert line.startswith("--step auto: eager, since no GPU run has shown")
