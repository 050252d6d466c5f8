"""Loggers get all that a run tells, and none can slow, stop or change it, whatever becomes of its server."""

import contextlib
import json
import os
import threading
import time
from typing import Any

import pytest
import torch
from PIL import Image

from translate.cli import main
from translate.settings import RunSettings
from translate.training import events, loggers
from translate.training import run as running
from translate.training.events import Background, Logger, Opening, Together
from translate.training.group import Group
from translate.training.loggers import LOGGERS, check_loggers, open_loggers
from translate.training.run import train

PAGE = Image.new("RGB", (3, 2))
SMALL: dict[str, Any] = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "samples": 1, "device": "cpu"}
SMALL |= {"steps": 4, "log_every": 1, "validate_every": 2, "threads": 1}


class Kept(Logger):
    """Keeps what it is told. Waits for `go` before `open`, and at the events that `hangs` names."""

    def __init__(self, *, hangs=(), fails=()):
        self.reported, self.hangs, self.fails = [], hangs, fails
        self.go = threading.Event()

    def _do(self, what, *reported):
        if what in self.hangs:
            self.go.wait()
        if what in self.fails:
            raise ConnectionError("refused\nby \x1b[2Jthe server")
        self.reported.append((what, *reported))

    def open(self, opening):
        self._do("open", opening)
        return "http://here/1"

    def settings(self, values):
        self._do("settings", values)

    def scalars(self, group, values, *, step):
        self._do("scalars", group, values, step)

    def picture(self, name, picture, *, step):
        self._do("picture", name, picture.size, step)

    def close(self):
        self._do("close")


@pytest.fixture
def said():
    return []


def made(logger, tmp_path, said):
    return Background("fake", logger, Opening(tmp_path, resumed=None), say=said.append)


def test_all_is_passed_on_in_order_and_nothing_starts_before_the_first_curve(tmp_path, said):
    logger = Kept()
    one = made(logger, tmp_path, said)
    one.settings({"lr": 1})
    assert not one._thread.is_alive(), "the processes that read pictures are not there yet"
    values = {"d": 0.5}
    one.scalars("loss", values, step=1)
    values["d"] = 2.0  # what comes after is not what was told
    one.picture("samples", PAGE, step=2)
    Together([one]).close()
    assert [reported[0] for reported in logger.reported] == ["open", "settings", "scalars", "picture", "close"]
    assert logger.reported[2:4] == [("scalars", "loss", {"d": 0.5}, 1), ("picture", "samples", (3, 2), 2)]
    assert said == ["fake: http://here/1"]


@pytest.mark.parametrize("where", ["open", "scalars", "close"])
def test_one_that_hangs_holds_nothing_up_and_what_does_not_fit_is_dropped_and_told_once(
    where, tmp_path, said, monkeypatch
):
    monkeypatch.setattr(events, "CLOSE_SECONDS", 0.05)
    logger, other = Kept(hangs=(where,)), Kept()
    one, healthy = made(logger, tmp_path, said), made(other, tmp_path, said)
    both = Together([one, healthy])
    for step in range(events.MAX_WAITING + 50):
        both.scalars("loss", {"d": 1.0}, step=step)
        while healthy._queue.qsize() > events.MAX_WAITING / 2:
            time.sleep(0.001)
    both.close()  # all of this has come back, and the logger still hangs
    assert one._thread.is_alive()
    assert one._thread.daemon, "it ends with the process"
    reported = [line for line in said if "did not answer in time" in line]
    assert len(reported) == 1
    slow = [line for line in said if "more slowly" in line]
    assert len(slow) == (where != "close")
    assert other.reported[-1] == ("close",), "another one is none the worse for it"
    lines = len(said)
    logger.go.set()
    one._thread.join(5)
    assert not one._thread.is_alive()
    assert len(said) == lines, "nothing is said once the run is over"
    if where != "close":
        assert len(logger.reported) <= events.MAX_WAITING + 3


def test_pictures_that_wait_are_few(tmp_path, said):
    logger = Kept(hangs=("open",))
    one = made(logger, tmp_path, said)
    for step in range(events.MAX_PICTURES + 5):
        one.picture("samples", PAGE, step=step)
    one.scalars("loss", {"d": 1.0}, step=99)  # curves still fit
    logger.go.set()
    Together([one]).close()
    assert [reported[-1] for reported in logger.reported if reported[0] == "picture"] == list(
        range(events.MAX_PICTURES)
    )
    assert ("scalars", "loss", {"d": 1.0}, 99) in logger.reported
    assert said[-1] == "fake lacks 5 events of this run"


def test_one_that_fails_costs_its_own_events_and_is_told_in_one_line(tmp_path, said):
    logger = Kept(fails=("scalars", "close"))
    one = made(logger, tmp_path, said)
    for step in range(3):
        one.scalars("loss", {"d": 1.0}, step=step)
    one.picture("samples", PAGE, step=3)
    Together([one]).close()
    assert logger.reported[-1][0] == "picture", "it goes on with the next"
    why = "ConnectionError: refused by \\u001b[2Jthe server"
    assert said[1:] == [f"fake did not take an event ({why}); the run goes on", "fake lacks 4 events of this run"]


def test_one_that_cannot_be_opened_is_told_once_and_left_alone(tmp_path, said):
    logger = Kept(fails=("open",))
    one = made(logger, tmp_path, said)
    one.scalars("loss", {"d": 1.0}, step=1)
    one._thread.join(5)
    one.scalars("loss", {"d": 1.0}, step=2)
    Together([one]).close()
    assert logger.reported == []
    (line,) = said
    assert line.startswith("fake cannot be logged to (ConnectionError: refused")


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def weights(path):
    from safetensors.torch import load_file

    return load_file(path / "model.safetensors")


def test_a_run_is_the_same_with_loggers_that_hang_or_fail(fronts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(events, "CLOSE_SECONDS", 0.05)
    hanging = Kept(hangs=("open",))
    for name, logger in {"hang": hanging, "fail": Kept(fails=("open",)), "lose": Kept(fails=("scalars",))}.items():
        monkeypatch.setitem(LOGGERS, name, type(name, (Kept,), {"__new__": lambda cls, one=logger: one}))
    plain = train("pix2pix", data=fronts, out=tmp_path / "plain", tensorboard=False, **SMALL)
    logged = train("pix2pix", data=fronts, out=tmp_path / "logged", tensorboard=False, log_to="hang,fail,lose", **SMALL)
    hanging.go.set()
    assert logged.step == plain.step == 4
    for name, tensor in weights(plain.path).items():
        assert torch.equal(weights(logged.path)[name], tensor)
    out = capsys.readouterr().out
    for line in ("hang did not answer in time", "fail cannot be logged to", "lose did not take an event"):
        assert out.count(line) == 1


def test_of_several_processes_the_first_alone_logs(fronts, tmp_path, monkeypatch):
    """One that is not the first, by itself: with one process its group waits for none."""

    class Other(Group):
        first = property(lambda self: False)

    monkeypatch.setattr(running, "joined", lambda: contextlib.nullcontext(Other()))
    logger = Kept()
    monkeypatch.setitem(LOGGERS, "kept", type("kept", (Kept,), {"__new__": lambda cls: logger}))
    flags = SMALL | {"steps": 1, "tensorboard": True, "log_to": "kept"}
    train("pix2pix", data=fronts, out=tmp_path / "run", **flags)
    assert logger.reported == []
    assert not list(tmp_path.rglob("*tfevents*"))


def test_tensorboard_has_what_the_journal_has_and_more(fronts, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    flags = SMALL | {"tensorboard": False, "log_to": "tensorboard"}
    with pytest.raises(ValueError, match="--tensorboard false and --log-to tensorboard contradict"):
        train("pix2pix", data=fronts, out=tmp_path / "run", **flags)
    flags["tensorboard"] = None
    path = train("pix2pix", data=fronts, out=tmp_path / "run", **flags).path
    train(resume=path, steps=6)
    kept = accumulator.EventAccumulator(os.fspath(path))
    kept.Reload()
    points = {tag: {event.step: event.value for event in kept.Scalars(tag)} for tag in kept.Tags()["scalars"]}
    journal = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line in journal:
        step = line["step"]
        flat = {f"loss/{name}": value for name, value in line["losses"].items()}
        flat |= {f"training/{name}": line[name] for name in ("lr", "examples_per_second")}
        for weights_of, figures in line.get("validation", {}).items():
            flat |= {f"validation/{weights_of}/{name}": value for name, value in figures.items()}
        flat |= {f"health/{name}": value for name, value in line.get("health", {}).items()}
        for tag, value in flat.items():
            assert points[tag][step] == pytest.approx(value, rel=1e-6), tag
    assert [line["step"] for line in journal] == [1, 2, 3, 4, 5, 6]
    assert list(points["baseline/mean_target/l1"]) == [2, 6], "once, and once for the resumed run"
    assert [event.step for event in kept.Images("samples")] == [2, 4, 6]
    assert kept.Images("samples")[0].width == size_of(path / "samples" / "step-00000002.png")[0]
    text = kept.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| width | `4` |" in text
    assert '| model | `"pix2pix"` |' in text
    assert kept.summary_metadata["_hparams_/session_start_info"]


def test_what_is_no_logger_or_not_installed_is_refused_before_anything_is_written(
    fronts, tmp_path, monkeypatch, capsys
):
    words = ["train", "pix2pix", "--data", str(fronts), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    for flags, reported in (
        (["--log-to", "wandbb"], 'no logger is called "wandbb" (did you mean "wandb"?): there is tensorboard, wandb,'),
        (["--log-to", "wandb"], '--log-to wandb needs accelerate and wandb: pip install "translate-gan[wandb]"'),
        (["--log-to", "mlflow,trackio"], '--log-to mlflow needs accelerate and mlflow: pip install "translate-gan['),
        (["--log-to", "tensorboard, trackio"], '--log-to tensorboard needs tensorboard: pip install "translate-gan['),
        (["--tensorboard"], '--tensorboard needs tensorboard: pip install "translate-gan[tensorboard]"'),
        (["--log-to", "wandb,"], 'no logger is called ""'),
    ):
        assert main([*words, *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reported in line
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_name_of_a_package_is_no_package(tmp_path, monkeypatch):
    """Weights & Biases itself makes a folder `wandb` where it runs."""
    if any(loggers.importlib.util.find_spec(name) for name in ("wandb", "trackio")):
        pytest.skip("they are installed here")
    (tmp_path / "trackio").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="--log-to trackio needs accelerate and trackio"):
        check_loggers(RunSettings(log_to="trackio"))


def test_without_flags_only_what_is_installed_is_used(tmp_path, monkeypatch, said):
    def absent():
        raise ImportError

    monkeypatch.setattr(loggers.TensorBoard, "load", staticmethod(absent))
    assert open_loggers(RunSettings(), Opening(tmp_path, resumed=None), say=said.append)._loggers == []
    with pytest.raises(ValueError, match="--tensorboard needs"):
        open_loggers(RunSettings(tensorboard=True), Opening(tmp_path, resumed=None), say=said.append)
