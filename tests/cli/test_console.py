"""Work goes on, or ends in order, when its terminal, the reader of its output, or the room for it is gone."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from translate.console import SafeStream, keep_printing, say
from translate.training.folder import RunFolder

NETWORKS = ("--size", 32, "--width", 4, "--discriminator-width", 4, "--patch", 16)
SMALL = (*NETWORKS, "--tensorboard", "false", "--metric-features", "none")
OFTEN = ("--log-every", 1, "--validate-every", 5, "--samples", 1)  # which says something every five steps

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")


def translate(*words: object) -> list[str]:
    return [sys.executable, "-m", "translate", *map(str, words)]


def steps(run: RunFolder) -> int:
    return len(run.metrics.read_text().splitlines()) if run.metrics.is_file() else 0


class Broken(io.TextIOWrapper):
    """A stream that cannot write."""

    def __init__(self, error: Exception) -> None:
        super().__init__(io.BytesIO())
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [BrokenPipeError(32, "gone"), OSError(28, "full"), OSError(5, "no terminal")])
def test_a_stream_that_cannot_write_is_silent(error):
    voice = SafeStream(Broken(error))
    assert voice.write("text") == 4
    voice.flush()


def test_a_stream_that_is_closed_or_never_was_is_silent():
    closed = io.StringIO()
    closed.close()
    for voice in (SafeStream(None), SafeStream(closed), SafeStream(SafeStream(None)), SafeStream(SafeStream(closed))):
        voice.write("text")
        voice.flush()
        assert not voice.isatty()


def test_what_an_encoding_cannot_say_is_written_as_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    SafeStream(stream).write("pictures/b\u00e4r \udcff.png\n")
    stream.flush()
    assert stream.buffer.getvalue() == b"pictures/b\\xe4r \\udcff.png\n"


def test_lines_are_printed_above_a_bar(monkeypatch):
    """On one terminal, which both streams are: the bar makes room."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with keep_printing(), tqdm(total=3, file=SafeStream(sys.stderr), ascii=True) as bar:
        bar.update()
        say("a line")
    assert "\ra line\n" in terminal.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("where", ["full", "closed", "gone"])
def test_short_commands_end_well_whatever_becomes_of_their_words(where):
    words = " ".join(translate("--help"))
    redirected = {"full": ">/dev/full 2>/dev/full", "closed": ">&- 2>&-", "gone": "2>&1 | true"}[where]
    shell = ["bash", "-c", f"set -o pipefail; {words} {redirected}"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize(
    "where",
    [
        *(pytest.param(each, marks=pytest.mark.exhaustive) for each in ("full", "closed")),
        pytest.param("gone", marks=pytest.mark.slow),
    ],
)
def test_training_and_conversion_go_on_without_a_voice(fronts, tmp_path, where):
    run = RunFolder(tmp_path / "run")
    train = translate("train", "pix2pix", "--data", fronts, "--out", run.path, "--steps", 20, *SMALL, *OFTEN)
    convert = translate("convert", run.path, fronts / "train", tmp_path / "out")
    redirected = {"full": ">/dev/full 2>/dev/full", "closed": ">&- 2>&-", "gone": "2>&1 | head -n 1"}[where]
    for words in (train, convert):
        shell = ["bash", "-c", f"set -o pipefail; {' '.join(words)} {redirected}"]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert steps(run) == 20
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 12


def exit_code(number: int) -> int:
    """Of a process that has to end soon."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(number, signal.SIGKILL)
    pytest.fail("it has not ended after a minute")


def in_a_terminal(words: list[str], *, before: str = "") -> tuple[int, int]:
    """A command that has a terminal of its own, whose other end comes with its process; `before` runs in it first."""
    import pty

    number, terminal = pty.fork()
    if number == 0:
        exec(before)
        os.execv(words[0], words)
    return number, terminal


def until(run: RunFolder, terminal: int, count: int) -> None:
    """Read what comes, as a terminal does, until the run has made some steps."""
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 120
    while steps(run) < count:
        assert time.monotonic() < deadline
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.01)


@pytest.mark.slow
@needs_terminal
def test_a_run_whose_terminal_goes_saves_and_ends(fronts, tmp_path):
    """With a worker, whom the signal reaches, too."""
    run = RunFolder(tmp_path / "run")
    words = ("--data", fronts, "--out", run.path, "--steps", 100_000, "--workers", 1, *SMALL, *OFTEN)
    number, terminal = in_a_terminal(translate("train", "pix2pix", *words))
    until(run, terminal, 7)
    os.close(terminal)  # the system sends SIGHUP, and every write fails
    assert exit_code(number) == 128 + signal.SIGHUP
    assert run.checkpoint_steps()[-1] == json.loads(run.metrics.read_text().splitlines()[-1])["step"]
    assert not list(run.path.glob(".*"))


@pytest.mark.slow
@needs_terminal
def test_under_nohup_a_run_survives_its_terminal(fronts, tmp_path):
    run = RunFolder(tmp_path / "run")
    words = translate("train", "pix2pix", "--data", fronts, "--out", run.path, "--steps", 40, *SMALL, *OFTEN)
    number, terminal = in_a_terminal(words, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    until(run, terminal, 2)
    os.close(terminal)
    assert exit_code(number) == 0
    assert steps(run) == 40


@pytest.mark.slow
@needs_terminal
def test_a_hangup_that_comes_twice_ends_nothing_before_it_is_saved(fronts, tmp_path):
    """The system and the shell both send it, and a service manager SIGTERM besides."""
    run = RunFolder(tmp_path / "run")
    words = ("--data", fronts, "--out", run.path, "--steps", 100_000, *SMALL, *OFTEN)
    train = translate("train", "pix2pix", *words)
    with subprocess.Popen(train, stdout=subprocess.DEVNULL) as process:
        while steps(run) < 3:
            time.sleep(0.01)
            assert process.poll() is None
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
    assert process.returncode == 128 + signal.SIGHUP
    assert run.checkpoint_steps()[-1] == json.loads(run.metrics.read_text().splitlines()[-1])["step"]
