"""Trackers through accelerate's own classes; in place of each package stands what these call of it."""

import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from translate.training import events
from translate.training.events import Opening
from translate.training.trackers import MLflow, Trackio, WeightsAndBiases

PAGE = Image.new("RGB", (3, 2))
SMALL = (
    "--size=32",
    "--width=4",
    "--discriminator-width=4",
    "--patch=16",
    "--samples=1",
    "--device=cpu",
    "--threads=1",
)


class Run:
    """A run of any of the packages: keeps what it is called with."""

    def __init__(self, name, calls):
        self.name, self.calls, self.url = name, calls, "https://there/1"
        self.info = types.SimpleNamespace(run_id="id-of-the-server")

    def log(self, values, step=None):
        self.calls.append(("log", step, values))

    def finish(self):
        self.calls.append(("finish",))


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def package(name, monkeypatch):
    """A package of this name, and the list of the calls that it gets."""
    calls = []

    def call(what, result=None):
        def called(*args, **kwargs):
            calls.append((what, *args, kwargs))
            return result

        return called

    def init(**options):
        calls.append(("init", options))
        return Run(options.get("name"), calls)

    fake = types.ModuleType(name)
    fake.init, fake.config = init, types.SimpleNamespace(update=call("config"))
    fake.Image, fake.Settings = lambda picture: ("image", picture.size), lambda **given: given
    fake.setup, fake.login = (
        lambda: types.SimpleNamespace(settings=types.SimpleNamespace(mode=None)),
        lambda prompt: True,
    )
    fake.search_experiments, fake.create_experiment = call("search", []), call("experiment", "7")
    fake.start_run, fake.end_run = call("start_run", Run("a", calls)), call("finish")
    fake.log_metrics, fake.log_params = call("log"), call("config")
    fake.log_artifact = lambda local_path, artifact_path: calls.append(
        ("picture", artifact_path, Path(local_path).name, size_of(local_path))
    )
    validation = types.SimpleNamespace(MAX_PARAM_VAL_LENGTH=6000, MAX_PARAMS_TAGS_PER_BATCH=100)
    fake.utils = types.SimpleNamespace(validation=validation)
    monkeypatch.setitem(sys.modules, name, fake)
    return calls


def all_of(logger, opening):
    logger.load()
    address = logger.open(opening)
    logger.settings({"lr": 0.1})
    logger.scalars("loss", {"d": 0.5, "g": 1.5}, step=7)
    logger.picture("samples", PAGE, step=7)
    logger.close()
    return address


@pytest.fixture
def alone(monkeypatch):
    """accelerate's state as at the start of a process that a launcher started; it has to leave the variables alone."""
    state = pytest.importorskip("accelerate.state")
    state.PartialState._reset_state()
    variables = {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield
    assert state.PartialState().num_processes == 1
    assert state.PartialState().device.type == "cpu"
    assert not torch.distributed.is_initialized()
    assert {name: os.environ[name] for name in variables} == variables
    state.PartialState._reset_state()


@pytest.mark.usefixtures("alone")
def test_weights_and_biases_goes_on_with_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "40")
    monkeypatch.delenv("WANDB_SILENT", raising=False)
    calls = package("wandb", monkeypatch)
    folder = tmp_path / "one"
    folder.mkdir()
    assert all_of(WeightsAndBiases(), Opening(folder, resumed=None)) == "https://there/1"
    (name, options), *rest = calls
    own = options.pop("id")
    assert name == "init"
    assert options == {"project": "mine", "name": "one", "resume": "allow", "dir": str(folder)} | {
        "settings": {
            "console": "off",
            "silent": True,
            "finish_timeout": events.CLOSE_SECONDS,
        }  # the other is the user's
    }
    assert rest == [
        ("config", {"lr": 0.1}, {"allow_val_change": True}),
        ("log", 7, {"loss/d": 0.5, "loss/g": 1.5}),
        ("log", 7, {"samples": [("image", (3, 2))]}),
        ("finish",),
    ]
    all_of(WeightsAndBiases(), Opening(folder, resumed=7))
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["wandb"], "login", lambda prompt: prompt)  # nobody has logged in
        with pytest.raises(ValueError, match="no API key: call `wandb login` before, or set WANDB_MODE=offline"):
            WeightsAndBiases().open(Opening(folder, resumed=7))
    assert calls[len(rest) + 1][1]["id"] == own
    (folder / "wandb-run.txt").write_text("../../x\x1b[2J")
    with pytest.raises(ValueError, match=r"wandb-run\.txt names no run: delete it"):
        WeightsAndBiases().open(Opening(folder, resumed=7))


@pytest.mark.usefixtures("alone")
def test_mlflow_goes_on_with_its_run_and_gets_settings_once(tmp_path, monkeypatch):
    calls = package("mlflow", monkeypatch)
    all_of(MLflow(), Opening(tmp_path, resumed=None))
    made = [call for call in calls if call[0] not in ("search", "experiment")]
    assert (made[0][0], made[0][1]["run_id"], made[0][1]["run_name"]) == ("start_run", None, tmp_path.name)
    assert made[1:] == [
        ("config", {"lr": 0.1}, {}),
        ("log", {"loss/d": 0.5, "loss/g": 1.5}, {"step": 7}),
        ("picture", "samples", "step-00000007.png", (3, 2)),
        ("finish", {}),
    ]
    calls.clear()
    all_of(MLflow(), Opening(tmp_path, resumed=7))
    (start,) = [call for call in calls if call[0] == "start_run"]
    assert start[1]["run_id"] == "id-of-the-server"
    assert not [call for call in calls if call[0] == "config"], "it refuses a parameter that changes"


@pytest.mark.usefixtures("alone")
def test_trackio_goes_on_with_the_run_of_its_name(tmp_path, monkeypatch):
    calls = package("trackio", monkeypatch)
    all_of(Trackio(), Opening(tmp_path, resumed=None))
    all_of(Trackio(), Opening(tmp_path, resumed=7))
    starts = [call[1] for call in calls if call[0] == "init"]
    assert [(start["name"], start["resume"]) for start in starts] == [
        (tmp_path.name, "never"),
        (tmp_path.name, "allow"),
    ]
    assert ("log", 7, {"samples": ("image", (3, 2))}) in calls


@pytest.mark.slow
@pytest.mark.parametrize("answers", [False, True], ids=["refused", "accepted and never answered"])
@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_dead_server_stops_no_run(name, answers, fronts, tmp_path):
    """With the real packages, where they are installed, in a process whose end is waited for."""
    pytest.importorskip(name)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answers:
            server.listen(64)
        there = f"http://127.0.0.1:{server.getsockname()[1]}"
        variables = {"WANDB_BASE_URL": there, "WANDB_API_KEY": "0" * 40, "MLFLOW_TRACKING_URI": there}
        variables |= {"TRACKIO_SERVER_URL": there, "TRACKIO_WRITE_TOKEN": "x", "TRACKIO_DIR": str(tmp_path / "trackio")}
        flags = (*SMALL, "--steps=4", "--log-every=1", "--validate-every=2")
        words = [sys.executable, "-m", "translate", "train", "pix2pix", f"--data={fronts}", f"--out={tmp_path / 'run'}"]
        done = subprocess.run(
            [*words, *flags, f"--log-to={name}"],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "finished: " in done.stdout
    assert (tmp_path / "run" / "model.safetensors").is_file()
