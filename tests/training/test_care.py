"""When care is due: its share of a run's time, at made-up durations of steps and of care; and what it never changes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import torch

from tests.slow_clock import set_clock
from translate.settings import RunSettings
from translate.training import recorder
from translate.training.care import REMEMBERED, Budget, Care, Due
from translate.training.folder import RunFolder
from translate.training.job import new_job
from translate.training.run import fit

BOTH = Due.VALIDATION | Due.CHECKPOINT


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def course(steps, *, step_seconds, seconds, usual=10, beside=0.0, **settings):
    """Steps -> what was due there, and the share of care after it; `seconds`: of the kinds, or a function of those."""
    clock, done, shares = Clock(), {}, {}
    care = Care(RunSettings.make(settings), usual=usual, clock=clock)
    late = 0.0
    for step in range(1, steps + 1):
        clock.now += step_seconds
        due = care.due(step, last=step == steps)
        for kind in (Due.VALIDATION, Due.CHECKPOINT):
            if due & kind:
                with care.timed(kind):
                    clock.now += seconds[kind]
        if due & Due.CHECKPOINT:
            care.saved()
        care.settle(beside=late)
        late = beside if due else 0.0
        if due:
            done[step], shares[step] = due, care.share
    return done, shares


@pytest.mark.parametrize("share", [0.02, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(20))
def test_the_share_is_kept_from_the_first_care_on_and_none_waits_for_ever(share, seed):
    """At any durations of which none is above those of the last ones; each care comes as soon as there is time."""
    chance, clock = random.Random(seed), Clock()
    budget = Budget(share, clock=clock)
    dearest = chance.uniform(0.1, 100)
    costs = [dearest] + [0.0] * 60
    for i in range(1, len(costs)):
        known = max(costs[max(0, i - REMEMBERED) : i])
        costs[i] = chance.uniform(0.1, 1) * known
    begin, spent = 0.0, 0.0
    for i, cost in enumerate(costs):
        asked = clock.now
        while not budget.allows():
            clock.now += chance.uniform(0.001, 0.3) * dearest
        expected = max(costs[max(0, i - REMEMBERED) : i], default=0.0)
        assert clock.now - asked <= (spent + expected) / share + 0.3 * dearest, "it waits no longer than it has to"
        clock.now += cost
        budget.charge(cost)
        if i == 0:
            begin = clock.now
            continue
        spent += cost
        assert spent <= share * (clock.now - begin) * (1 + 1e-9)


def test_care_that_gets_dearer_is_paid_back_by_waiting():
    clock = Clock()
    budget = Budget(0.1, clock=clock)
    budget.charge(1.0)
    clock.now += 9.0
    assert budget.allows()
    clock.now += 5.0  # and not 1, as expected
    budget.charge(5.0)
    assert budget.spent == 5.0
    clock.now += 80.0
    assert not budget.allows()  # (5 + 5) / (9 + 5 + 80 + 5) is more than a tenth
    clock.now += 1.1
    assert budget.allows()


def test_what_is_needed_once_makes_no_later_care_wait():
    clock = Clock()
    budget = Budget(0.1, clock=clock)
    budget.charge(50.0, once=49.0)
    clock.now += 9.0
    assert budget.allows()


def test_steps_that_the_person_gave_are_kept_whatever_they_cost():
    done, shares = course(
        40, step_seconds=1, seconds={Due.VALIDATION: 50, Due.CHECKPOINT: 9}, validate_every=8, checkpoint_every=5
    )
    assert [step for step, due in done.items() if due & Due.VALIDATION] == [8, 16, 24, 32, 40]
    assert [step for step, due in done.items() if due & Due.CHECKPOINT] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert shares[40] > 0.8


def test_so_are_those_of_the_interval_with_a_share_of_one():
    done, _ = course(40, step_seconds=1, seconds={Due.VALIDATION: 50, Due.CHECKPOINT: 9}, care_share=1)
    assert done == dict.fromkeys((10, 20, 30, 40), BOTH)


def test_the_defaults_adapt_and_both_kinds_come_together():
    """2 s a care: the first at its step, then as soon as 2 s are a twentieth, 38 s or 304 steps from its end."""
    seconds = {Due.VALIDATION: 1.5, Due.CHECKPOINT: 0.5}
    done, shares = course(1000, step_seconds=0.125, seconds=seconds, usual=100)
    assert done[100] == done[404] == BOTH
    assert set(done.values()) == {BOTH}
    assert shares[404] < 0.08  # the first, which is not counted, among it
    # cheap enough: at each interval
    done, _ = course(1000, step_seconds=10, seconds=seconds, usual=100)
    assert list(done) == list(range(100, 1001, 100))


def test_postponed_care_is_done_between_two_intervals():
    done, _ = course(300, step_seconds=1, seconds={Due.VALIDATION: 5, Due.CHECKPOINT: 1}, usual=50)
    # made due by the steps 50, 100 and 200 or 250; 6 s are a twentieth of 114 + 6, and 12 s of 120 + 114 + 6
    assert list(done) == [50, 164, 278, 300]


@pytest.mark.parametrize("expensive", ["validate_every", "checkpoint_every"])
def test_what_the_person_fixed_takes_nothing_from_the_budget_of_the_rest(expensive):
    seconds = {Due.VALIDATION: 1.0, Due.CHECKPOINT: 1.0}
    fixed, other = (BOTH & Due[name] for name in ("VALIDATION", "CHECKPOINT"))
    if expensive == "checkpoint_every":
        fixed, other = other, fixed
    seconds[fixed] = 30.0
    done, _ = course(400, step_seconds=1, seconds=seconds, usual=10, beside=0.5, **{expensive: 10})
    assert [step for step, due in done.items() if due & fixed] == list(range(10, 401, 10))
    assert len([step for step, due in done.items() if due & other]) > 20


def test_patience_counts_validations_at_fixed_steps():
    """The end of a run must not depend on its clock."""
    done, _ = course(100, step_seconds=1, seconds={Due.VALIDATION: 50, Due.CHECKPOINT: 50}, patience=3)
    assert [step for step, due in done.items() if due & Due.VALIDATION] == list(range(10, 101, 10))
    assert [step for step, due in done.items() if due & Due.CHECKPOINT] == [10, 20, 100] or len(done) == 10


def test_a_checkpoint_is_never_older_than_its_minutes():
    done, _ = course(
        100, step_seconds=30, seconds={Due.VALIDATION: 9e9, Due.CHECKPOINT: 1}, usual=1000, validate_every=1000
    )
    assert list(done) == [41, 82, 100]  # more than 20 minutes


def test_writing_beside_the_training_is_counted():
    seconds = {Due.VALIDATION: 0.5, Due.CHECKPOINT: 0.5}
    without, _ = course(500, step_seconds=1, seconds=seconds)
    with_it, _ = course(500, step_seconds=1, seconds=seconds, beside=3.0)
    assert len(without) > 2 * len(with_it)


@pytest.mark.parametrize(
    "fixed", [{"validate_every": 5, "checkpoint_every": 5}, {"patience": 2, "checkpoint_every": 5}]
)
def test_a_share_that_changes_nothing_is_refused_by_name(fixed):
    with pytest.raises(
        ValueError, match=r"--care-share 0.2 changes nothing where .*--validate-every.*--checkpoint-every"
    ):
        RunSettings.make({"care_share": 0.2, **fixed}).refuse_unused()
    RunSettings.make({"care_share": 0.2, "validate_every": 5}).refuse_unused()


@pytest.fixture(scope="module")
def runs(fronts, tmp_path_factory):
    """The same run with all of its care and with what a twentieth allows for; a step takes 1 s, a validation 10."""
    found = {}
    folder = tmp_path_factory.mktemp("care")
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, step=1, validation=10)
        patch.setattr(recorder, "MIN_INTERVAL", 1)
        patch.setattr(recorder, "FIRST_LOOK", 1e9)
        for share in (1, 0.05):
            values: dict[str, Any] = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "dropout": 0.5}
            values |= {"batch": 4, "steps": 10, "log_every": 1, "samples": 1, "tensorboard": False, "device": "cpu"}
            values |= {"data": fronts, "out": folder / str(share), "care_share": share, "log_json": True}
            printed: list[str] = []
            fit(new_job("pix2pix", values), say=printed.append)
            run = RunFolder(folder / str(share))
            found[share] = run, [json.loads(line) for line in run.metrics.read_text().splitlines()], printed
    return found


def test_the_steps_of_a_run_do_not_depend_on_when_it_validated(runs):
    states = []
    for run, lines, _ in runs.values():
        state = run.read_checkpoint(10)
        states.append(tensors({name: state[name] for name in ("model", "average", "optimizers", "meter", "seen")}))
        assert [line["step"] for line in lines] == list(range(1, 11))
    for name, value in states[0].items():
        same = torch.equal(value, states[1][name]) if isinstance(value, torch.Tensor) else value == states[1][name]
        assert same, name
    first, second = ([line["losses"] for line in lines] for _, lines, _ in runs.values())
    assert first == second


def test_the_journal_has_the_share_and_the_validations_that_fit_in(runs):
    steps = {share: [line["step"] for line in lines if "validation" in line] for share, (_, lines, _) in runs.items()}
    assert steps == {1: [3, 6, 9, 10], 0.05: [3, 10]}
    shares = [line["care_share"] for line in runs[0.05][1]]
    assert shares[:3] == [0, 0, 0]
    assert shares[-1] == pytest.approx(10 / 20, abs=0.02)  # before the last one; the thread's time is real


def test_progress_as_json_ends_with_the_last_step(runs):
    lines = [json.loads(line) for line in runs[0.05][2] if line.startswith("{")]
    assert lines[-1]["step"] == lines[-1]["steps"] == 10
    assert lines[-1]["losses"].keys() == runs[0.05][1][-1]["losses"].keys()


def tensors(value, where=""):
    """Leaves of nested dictionaries and lists, by their paths."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in tensors(item, f"{where}.{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, item in enumerate(value) for k, v in tensors(item, f"{where}.{i}").items()}
    return {where: value}
