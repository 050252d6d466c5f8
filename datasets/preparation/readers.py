"""Reads pictures in several processes, where there are many: threads of one take turns in all that is not decoding.

The processes are of this program and get nothing but names of files; what they send back are rows and bytes. Where none
can be started, or one ends, its files are read here. Imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

from translate.datasets.preparation.looking import How, Looked, Wanted, look
from translate.memory import processes_here

MIN_FILES = 5000  # fewer are read before processes have started
TOGETHER = 32  # files that are read at once
TOGETHER_APART = 256  # the same by a process
MOST, MOST_APART = 16, 8  # threads; processes, of 65 MB each
MAX_BYTES = 2**30  # of a message
LENGTH = struct.Struct("<Q")
COMMAND = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import serve; serve()"  # no code of other places

Rows = Sequence[int]
"""Where facts of one file go."""


def in_parallel(
    files: Sequence[Rows], wanted: Callable[[Sequence[Rows]], list[Wanted]], how: How, *, alone: bool = False
) -> Iterator[tuple[Sequence[Rows], Looked]]:
    """A few of `files` and what is kept of them, and so on, in order; results do not pile up.

    Args:
        alone: with a single thread.
    """
    cores = 1 if alone else _cores()
    apart = len(files) >= MIN_FILES and cores > 1
    count = min(MOST_APART if apart else MOST, cores)
    readers = _Readers(how) if apart else None
    together = TOGETHER_APART if apart else TOGETHER
    waiting: deque[tuple[Sequence[Rows], Future[Looked]]] = deque()
    pool = ThreadPoolExecutor(max_workers=count)
    try:
        for start in range(0, len(files), together):
            some = files[start : start + together]
            waiting.append((some, pool.submit(readers.look if readers else look, wanted(some), how)))
            if len(waiting) > 2 * count:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=readers is None, cancel_futures=True)  # Ctrl-C must not wait for a hundred thousand files
        if readers is not None:
            readers.close()
            pool.shutdown()


def _cores() -> int:
    """Those that this process may use, shared with the others that train on this machine."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have none
        cores = os.cpu_count() or 1
    return max(1, cores // processes_here())


class _Readers:
    """A process for each thread that asks."""

    def __init__(self, how: How) -> None:
        self._how = how
        self._own = threading.local()
        self._lock = threading.Lock()
        self._started: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def look(self, some: Sequence[Wanted], how: How) -> Looked:
        """As `look`, in the process of this thread."""
        process = self._process()
        if process is None:
            return look(some, how)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, some)
            found: Looked = receive(process.stdout)
            return found
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            self._own.process = None
            if self._closed:
                raise
            return look(some, how)

    def _process(self) -> subprocess.Popen[bytes] | None:
        if not hasattr(self._own, "process"):
            self._own.process = self._start()
        process: subprocess.Popen[bytes] | None = self._own.process
        return process

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            process = None if self._closed else start(COMMAND, self._how)
            if process is not None:
                self._started.append(process)
            return process

    def close(self) -> None:
        """End the processes, whatever they are at."""
        with self._lock:
            self._closed = True
        for process in self._started:
            end(process)


def start(command: str, request: Any) -> subprocess.Popen[bytes] | None:
    """A process of this program that runs `command`, and was sent a request; None where none can be started."""
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    with contextlib.suppress(OSError, ValueError):
        process = subprocess.Popen(
            [sys.executable, "-c", command, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        try:
            send(process.stdin, request)
        except OSError:
            end(process)
            raise
        return process
    return None


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it is at."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not sent yet
            if stream is not None:
                stream.close()


def streams() -> tuple[IO[bytes], IO[bytes]]:
    """Requests and answers of such a process. Ctrl-C is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError):  # 8-bit pictures are read without it, too
        import cv2

        cv2.setNumThreads(1)  # one thread a process: together they fill the machine
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints comes between the answers
    return sys.stdin.buffer, answers


def serve() -> None:
    """What a reading process does: it answers until its input ends."""
    requests, answers = streams()
    with contextlib.suppress(EOFError, BrokenPipeError):
        how: How = receive(requests)
        while True:
            send(answers, look(receive(requests), how))


def send(stream: IO[bytes], value: Any) -> None:
    """A message for `receive`."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: there is nothing more.
        ValueError: something else was written.
    """
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    if length > MAX_BYTES:
        raise ValueError("no message of ours")
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
