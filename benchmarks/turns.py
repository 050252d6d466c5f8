"""Candidates that take turns, each in a process of its own.

So a machine that is slower for a while spoils no ratio, and what one candidate does to its process (memory that it
keeps, threads that it starts, settings of libraries) neither helps nor disturbs another.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import torch

from benchmarks.measure import peak_bytes

BESIDE = 3  # runs a round of what the machine can do: of a peak the best one counts

Clock = Literal["wall", "cpu"]
Work = Callable[[], object]


@dataclass(frozen=True)
class Candidate:
    """One way to do a piece of work."""

    name: str
    make: Callable[..., Work]  # called in the candidate's process; a function of a module, since it is sent there
    given: Mapping[str, Any] = field(default_factory=dict)  # to `make`
    environment: Mapping[str, str] = field(default_factory=dict)  # of its process, read when libraries start


class Turn(NamedTuple):
    """What one run of the work took, in seconds."""

    wall: float
    cpu: float  # of all threads


@dataclass(frozen=True)
class Measured:
    """What was found out about a candidate."""

    turns: Sequence[Turn]
    grown: int  # bytes that its process grew by, at most, after the imports
    made: Any  # what the last run returned

    def seconds(self, clock: Clock) -> list[float]:
        """Of each run."""
        return [getattr(turn, clock) for turn in self.turns]


class Ratio(NamedTuple):
    """How many times faster, round by round."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, slow: Sequence[float], fast: Sequence[float]) -> Ratio:
        """Of neighbouring runs."""
        found = [a / b for a, b in zip(slow, fast, strict=True)]
        return cls(statistics.median(found), min(found), max(found))


def take_turns(
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    warmup: int,
    threads: int | None = None,
    isolate: bool = True,
    beside: Mapping[str, Work] | None = None,
) -> tuple[dict[str, Measured], dict[str, list[Turn]]]:
    """Run all candidates in turns; and `beside` them, in this process, what the machine can do at all.

    Args:
        warmup: rounds that do not count, before the others.
        isolate: each in a process of its own; else all in this one, for a rehearsal.

    Raises:
        ValueError: a candidate cannot be made, and why.
    """
    beside = beside or {}
    turns: dict[str, list[Turn]] = {name: [] for name in [*(c.name for c in candidates), *beside]}
    workers: list[Here | Apart] = []
    try:
        for candidate in candidates:
            workers.append(Apart(candidate, threads) if isolate else Here(candidate))
        for index in range(warmup + rounds):
            for worker in workers:
                turn = worker.run()
                if index >= warmup:
                    turns[worker.name].append(turn)
            for name, work in beside.items():
                turns[name] += [_timed(work)[0] for _ in range(BESIDE)]
        measured = {worker.name: Measured(turns[worker.name], *worker.close()) for worker in workers}
    finally:
        for worker in workers:
            worker.stop()
    return measured, {name: turns[name] for name in beside}


class Here:
    """A candidate in this process."""

    def __init__(self, candidate: Candidate) -> None:
        self.name = candidate.name
        self.made: Any = None
        self._before = peak_bytes()
        self._work = candidate.make(**candidate.given)

    def run(self) -> Turn:
        """Do the work once."""
        turn, self.made = _timed(self._work)
        return turn

    def close(self) -> tuple[int, Any]:
        """Bytes that the process grew by at most, and what the last run returned."""
        return peak_bytes() - self._before, self.made

    def stop(self) -> None:
        """Nothing is left to end."""


class Apart:
    """A candidate in a process of its own, which waits for a word to run."""

    def __init__(self, candidate: Candidate, threads: int | None) -> None:
        """
        Raises:
            ValueError: it cannot be made.
        """
        self.name = candidate.name
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        several = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self._process = context.Process(target=_serve, args=(theirs, candidate, threads), daemon=True)
        with _environment({**several, **candidate.environment}):
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._answer()

    def run(self) -> Turn:
        """Do the work once; the way of the word to the process is not counted."""
        self._connection.send(True)
        turn: Turn = self._answer()
        return turn

    def close(self) -> tuple[int, Any]:
        """Bytes that the process grew by at most, and what the last run returned."""
        self._connection.send(False)
        grown, made = self._answer()
        return grown, made

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise ValueError(f"the process of {self.name} has ended early: is there memory for it?") from None
        if isinstance(answer, Exception):
            raise ValueError(f"{self.name}: {answer}")
        return answer


def _serve(connection: Connection, candidate: Candidate, threads: int | None) -> None:
    if threads:
        torch.set_num_threads(threads)
    try:
        worker = Here(candidate)
        connection.send(None)
        while connection.recv():
            connection.send(worker.run())
        connection.send(worker.close())
    except (ValueError, MemoryError) as error:
        connection.send(error)


def _timed(work: Work) -> tuple[Turn, Any]:
    begin = Turn(time.perf_counter(), time.process_time())
    made = work()
    return Turn(time.perf_counter() - begin.wall, time.process_time() - begin.cpu), made


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
