"""Commands in processes of their own that need not import everything anew: copies of one that waits with all of it.

To start Python and import PyTorch and the metrics takes 6 s of a core. `start` asks a server, one for each process of
the tests, which has done so, to fork. What runs then is what `python -m translate` or `python -c` runs, as the main
program of a process with its own number, folder, streams and signals. Where processes cannot be forked, and in the
tests that say so, it is a new Python. This file is also what the server executes.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
IMPORTED = ("translate.cli", "translate.training.run", "translate.inference.translator", "translate.inference.convert")


class Process:
    """A command that a server has forked, with the part of `subprocess.Popen` that the tests use."""

    def __init__(self, server: str, request: dict[str, Any], streams: Sequence[int | None]) -> None:
        self.returncode: int | None = None
        ends: list[int] = []
        self.stdout, self.stderr = (self._stream(kind, ends) for kind in streams)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(server)
        self._server.sendmsg(
            [json.dumps(request).encode() + b"\n"],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends).tobytes())],
        )
        for end in ends:
            os.close(end)
        self._answers = self._server.makefile()
        self.pid = int(self._answers.readline())

    @staticmethod
    def _stream(kind: int | None, ends: list[int]) -> IO[str] | None:
        if kind == PIPE:
            reading, writing = os.pipe()
            ends.append(writing)
            return os.fdopen(reading, encoding="utf-8")
        ends.append(os.open(os.devnull, os.O_WRONLY))
        return None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or the number of the signal that ended it with a minus.

        Raises:
            subprocess.TimeoutExpired: it has not ended.
        """
        if self.returncode is None:
            import select

            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked command", timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._server.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        """All that is left of its output and of its complaints, once it has ended."""
        found: list[str | None] = [None, None]

        def drain(place: int, stream: IO[str]) -> None:
            with stream:
                found[place] = stream.read()

        readers = [
            threading.Thread(target=drain, args=(place, stream), daemon=True)
            for place, stream in enumerate((self.stdout, self.stderr))
            if stream is not None
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return found[0], found[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


Command = Process | subprocess.Popen[str]

_servers: list[str] = []


def start(
    *words: object,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | None = PIPE,
    stderr: int | None = PIPE,
    new: bool = False,
) -> Command:
    """`python` with these words, which begin with `-m` or `-c`; `new`: a Python that is started for it."""
    given = [str(word) for word in words]
    if new or not hasattr(os, "fork"):
        return subprocess.Popen([sys.executable, *given], env=env, cwd=cwd, stdout=stdout, stderr=stderr, text=True)
    if not _servers:
        _servers.append(_start_server())
    request = {"words": given, "env": dict(env or os.environ), "cwd": str(cwd or Path.cwd())}
    return Process(_servers[0], request, (stdout, stderr))


def translate(*words: object, **how: Any) -> Command:
    """The command `translate` with these words."""
    return start("-m", "translate", *words, **how)


def _start_server() -> str:
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    place = str(Path(folder.name) / "server")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,  # which closes when this process is gone, whatever ended it
            stdout=DEVNULL,
        )

    def stop() -> None:
        process.kill()
        process.communicate()
        folder.cleanup()

    atexit.register(stop)
    return place


def _serve(listening: socket.socket) -> list[str]:
    """Fork for each request; returns in what has been forked for one, with its words, ready to run them."""
    import importlib
    import select

    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what waits
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which is for the tests
    while True:
        if sys.stdin in select.select([listening, sys.stdin], [], [])[0]:
            sys.exit()
        asking, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            return _wait_for_a_child(asking)
        asking.close()


def _wait_for_a_child(asking: socket.socket) -> list[str]:
    """Returns in a child, which has the streams, folder and variables that are asked for; tell how that one ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams, *_ = socket.recv_fds(asking, 1 << 20, 2)
    while not request.endswith(b"\n"):
        request += asking.recv(1 << 20)
    child = os.fork()
    if child == 0:
        asking.close()
        _become(json.loads(request), streams)
        words: list[str] = json.loads(request)["words"]
        return words
    for stream in streams:
        os.close(stream)
    asking.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):  # nobody may be there any more
        asking.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((nothing, *streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    kind, _, *more = request["words"]
    sys.argv = [kind, *more]
    sys.path[0] = str(Path.cwd()) if kind == "-m" else ""  # in place of the folder of this file
    sys.path_importer_cache.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    kind, what, *_ = _serve(socket.socket(fileno=int(sys.argv[1])))
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)
