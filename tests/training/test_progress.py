"""What a run shows of itself without a terminal: a line a minute, or JSON."""

from __future__ import annotations

import io
import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from translate.settings import RunSettings
from translate.training.care import Care
from translate.training.progress import Progress

KEYS = {"step", "steps", "epoch", "examples_per_second", "seconds", "seconds_left", "care_share", "lr", "losses"}
KEYS |= {"alarms"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def made(clock, *, step_seconds, steps, total=1000, first=True, as_json=False, losses=None, alarms=None):
    """What is printed over some steps of a run of 1000 steps, of 4 examples each."""
    meter = SimpleNamespace(means=lambda: {"d": 0.5, "g": float("nan")})
    session: Any = SimpleNamespace(steps=total, done=0, per_step=4, epoch=0.0, meter=meter, rate=lambda: 2e-4)
    printed: list[str] = []
    care = Care(RunSettings.make({}), usual=500)
    progress = Progress(session, care, first=first, as_json=as_json, title="pix2pix", say=printed.append)
    if losses:
        progress.losses(losses, alarms=alarms or {})
    for _ in range(steps):
        clock[0] += step_seconds
        session.done += 1
        session.epoch = session.done / 100
        progress.step(last=session.done == total)
    progress.close()
    return printed


def test_a_line_a_minute_has_the_step_the_rate_the_time_left_and_the_losses(clock):
    lines = made(clock, step_seconds=0.5, steps=250, losses={"d": 0.61234, "g_l1": 31.2})
    assert lines == [
        "step 120 of 1000: 8 examples a second, 7.3 min left; d 0.612, g_l1 31.2",
        "step 240 of 1000: 8 examples a second, 6.3 min left; d 0.612, g_l1 31.2",
    ]


def test_before_the_first_line_of_the_journal_losses_are_the_means_so_far(clock):
    (line,) = made(clock, step_seconds=61, steps=1)
    assert line.endswith("; d 0.5")


def test_alarms_are_in_the_line(clock):
    (line,) = made(clock, step_seconds=60, steps=1, losses={"d": 1.0}, alarms={"ALARM": "collapse, saturated"})
    assert line.endswith("; d 1; ALARM collapse; ALARM saturated")


def test_json_has_an_object_a_line_with_documented_names_and_one_of_the_last_step(clock):
    lines = [json.loads(line) for line in made(clock, step_seconds=0.5, steps=130, total=130, as_json=True)]
    assert [line["step"] for line in lines] == [120, 130]
    assert all(line.keys() == KEYS for line in lines)
    assert lines[0] | {"lr": 0} == {
        "step": 120,
        "steps": 130,
        "epoch": 1.2,
        "examples_per_second": 8.0,
        "seconds": 60.0,
        "seconds_left": 5.0,
        "care_share": 0.0,
        "lr": 0,
        "losses": {"d": 0.5},  # NaN is no JSON
        "alarms": [],
    }


def test_on_a_terminal_there_is_the_bar_or_with_log_json_the_lines(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert made(clock, step_seconds=60, steps=2) == []
    assert "pix2pix" in terminal.getvalue()
    shown = terminal.getvalue()
    assert len(made(clock, step_seconds=60, steps=2, as_json=True)) == 2
    assert terminal.getvalue() == shown


@pytest.mark.parametrize("as_json", [False, True])
def test_all_processes_but_the_first_are_silent(clock, as_json):
    assert made(clock, step_seconds=60, steps=10, total=10, first=False, as_json=as_json) == []
