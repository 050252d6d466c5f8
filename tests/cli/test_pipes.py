"""Only regular files are opened: pipes, sockets and devices are told by name, and nothing waits for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from translate.cli import main
from translate.datasets.table import rows
from translate.files import write_bytes, write_text

FROZEN = Path(__file__).parents[1] / "inference" / "frozen" / "0.1.0" / "model.onnx"
TOLD = "is no file but a pipe, a socket or a device"


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


MAKERS: list[Callable[[Path], None]] = [os.mkfifo, a_socket, lambda path: path.symlink_to("/dev/zero")]


@pytest.fixture(params=MAKERS, ids=["pipe", "socket", "device"])
def special(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(tmp_path)  # names of sockets are short

    def make(name: str) -> Path:
        request.param(Path(name))
        return Path(name)

    return make


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """What waits is a failure rather than the end of all tests."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("something waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(90)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return path


COMMANDS = {
    "input": ("a.png", f"convert {FROZEN} a.png out.png"),
    "output": ("out.png", f"convert {FROZEN} real.png out.png"),
    "model": ("m.safetensors", "convert m.safetensors real.png out.png"),
    "exported model": ("m.onnx", "convert m.onnx real.png out.png"),
    "described": ("m.onnx", "info m.onnx"),
    "config": ("c.json", "train pix2pix --config c.json --data pictures"),
    "toml": ("c.toml", "train pix2pix --config c.toml --data pictures"),
    "data": ("t.csv", "train pix2pix --data t.csv"),
    "imported": ("net_G.pth", "import net_G.pth --out out"),
    "run": ("run", "train --resume run"),
    "to export": ("m.safetensors", "export m.safetensors out.onnx"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_is_told_by_name(name: str, special: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    place, command = COMMANDS[name]
    picture(Path("real.png"))
    picture(Path("pictures/1.png"))
    special(place)
    assert main(command.split()) != 0
    told = "".join(capsys.readouterr())
    assert place in told
    assert TOLD in told or name in ("run", "data")
    assert "Traceback" not in told


def test_a_table_is_told_by_name(special: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=rf"t\.csv: {TOLD}"):
        list(rows(special("t.csv")))


def test_one_in_a_folder_is_left_alone(special: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of pictures whose `config.json` or table is none."""
    for number in range(2):
        picture(Path(f"data/{number}.png"))
    special("data/config.json")
    special("data/metadata.csv")
    assert main(["train", "pix2pix", "--data", "data", "--derive", "gray", "--out", "run", "--dry-run"]) in (0, 1, 2)
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("write", [write_bytes, lambda path, data: write_text(path, data.decode())])
def test_none_is_written_over(write: Callable[[Path, bytes], None], special: Callable[[str], Path]) -> None:
    path = special("a.png")
    before = path.lstat()
    with pytest.raises(OSError, match=TOLD):
        write(path, b"x")
    assert path.lstat() == before
    assert [entry.name for entry in Path().iterdir()] == ["a.png"]


DEAD_MOUNT = """
import ctypes, io
from pathlib import Path
opened, lock = io.open, ctypes.create_string_buffer(64)
def open(file, *args, **options):
    if "dead" in Path(str(file)).name:
        Path("asked").touch()
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(lock)  # the second never comes back, and no signal wakes it
    return opened(file, *args, **options)
io.open = open
"""
"""What Python runs as it starts: opening a file of such a name is a call of the system that never comes back."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the lock that never opens is glibc's")
@pytest.mark.parametrize(
    ("command", "number"),
    [
        (f"convert {FROZEN} in out", signal.SIGINT),
        (f"convert {FROZEN} in out", signal.SIGTERM),
        ("convert dead.onnx in out", signal.SIGINT),  # in the main thread, which runs the handlers
        ("train pix2pix --data in --derive gray --out run --device cpu", signal.SIGINT),
    ],
)
def test_two_signals_end_what_reads_from_a_dead_mount(command: str, number: int, tmp_path: Path) -> None:
    for name in ("1", "2", "3", "dead"):
        picture(tmp_path / "in" / f"{name}.png")
    (tmp_path / "dead.onnx").write_bytes(FROZEN.read_bytes())
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(DEAD_MOUNT, encoding="utf-8")
    paths = [str(tmp_path / "start"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", "translate", *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stderr=subprocess.PIPE,
    )
    try:
        begun = time.monotonic()
        while not (tmp_path / "asked").exists() and process.poll() is None and time.monotonic() - begun < 60:
            time.sleep(0.05)
        assert (tmp_path / "asked").exists()
        time.sleep(1)  # until it waits
        process.send_signal(number)
        time.sleep(0.5)
        assert process.poll() is None  # it waits for what it has begun
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + number
    assert b"Traceback" not in error
