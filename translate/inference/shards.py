"""One part of a conversion that several processes or machines share: `--shard I/N`. Imports no torch.

Inputs are dealt out one after another, as cards are, so that shards differ by one input at most. Names are settled over
all inputs before that: an output is called the same whatever N is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_SHARDS = 1_000_000

AUTO = "auto"
SLURM, KUBERNETES, PARALLEL = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "PARALLEL_SEQ"
VARIABLES = {SLURM: "Slurm's job arrays", KUBERNETES: "Kubernetes' indexed jobs", PARALLEL: "GNU parallel"}
"""By which a scheduler says which of its tasks this is. A Slurm array begins at any number and may have steps; indexed
jobs begin at 0; GNU parallel begins at 1."""

FORM = "give I/N, such as 1/4 for the first of four; auto/N, or auto in a Slurm array"


@dataclass(frozen=True)
class Shard:
    """One of so many parts."""

    number: int  # from 1 to `count`
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def stem(self) -> str:
        """How file names call it."""
        return f"{self.number}-of-{self.count}"


def shard_of(value: object, environ: Mapping[str, str] = os.environ) -> Shard:
    """The shard that `3/8`, `(3, 8)`, `auto/8` or `auto` means; `auto` is read from the scheduler's variables.

    Raises:
        ValueError: it is none of these, out of range, or the variables do not say which shard this is.
    """
    if isinstance(value, Shard):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        value = "/".join(map(str, value))
    text = "".join(str(value).split())
    if text == AUTO:
        return _scheduled(None, environ)
    if not re.fullmatch(r"[^/]+/[^/]+", text):
        if text.isdecimal():
            raise ValueError(f"of how many shards? {FORM}")
        raise ValueError(FORM)
    number, _, of = text.partition("/")
    if not (of.isdecimal() and of.isascii() and 1 <= int(of) <= MAX_SHARDS):
        raise ValueError(f"there are from 1 to {MAX_SHARDS:,} shards: {FORM}")
    if number == AUTO:
        return _scheduled(int(of), environ)
    if not (number.isdecimal() and number.isascii()):
        raise ValueError(FORM)
    if not 1 <= int(number) <= int(of):
        raise ValueError(f"shards are numbered from 1 to N: the {of} shards here are 1/{of} to {of}/{of}")
    return Shard(int(number), int(of))


def _scheduled(count: int | None, environ: Mapping[str, str]) -> Shard:
    """The shard that a scheduler's variables mean, of `count` or of as many as they say.

    Raises:
        ValueError: no scheduler's are set or several ones', or they say something else.
    """
    n = "N" if count is None else count
    found = [name for name in VARIABLES if environ.get(name, "") != ""]
    if not found:
        known = ", ".join(f"{name} ({what})" for name, what in VARIABLES.items())
        raise ValueError(f"this is no task of a scheduler that is known, none of {known} is set: give I/{n}")
    if len(found) > 1:
        raise ValueError(
            f"the variables {' and '.join(found)} are set at once: unset those that do not number the shards, or give "
            f"I/{n}"
        )
    (name,) = found
    if name == SLURM:
        return _of_slurm(count, environ)
    if count is None:
        raise ValueError(f"the variable {name} says which shard this is, and not of how many: give auto/N")
    first = 0 if name == KUBERNETES else 1
    task = _whole(name, environ)
    if not first <= task < first + count:
        raise ValueError(
            f"the variable {name} is {task}, and goes from {first} to {first + count - 1} for {count} shards: give "
            "auto/N, N being the number of all tasks"
        )
    return Shard(task - first + 1, count)


def _of_slurm(count: int | None, environ: Mapping[str, str]) -> Shard:
    task = _whole(SLURM, environ)
    first = _whole("SLURM_ARRAY_TASK_MIN", environ, default=1)
    tasks = _whole("SLURM_ARRAY_TASK_COUNT", environ, default=count or 0)
    if not tasks:
        raise ValueError("the variable SLURM_ARRAY_TASK_COUNT, which says of how many, is not set: give auto/N")
    if count is not None and tasks != count:
        raise ValueError(
            f"the Slurm array has {tasks} task{'s' * (tasks > 1)}, not {count}, so that {SLURM}={task} may be any of "
            f"{count} shards: submit the whole array, which skips what is there, or give I/{count}"
        )
    last = _whole("SLURM_ARRAY_TASK_MAX", environ, default=first + tasks - 1)
    step = _whole("SLURM_ARRAY_TASK_STEP", environ, default=1)
    if not (step and first + step * (tasks - 1) <= last < first + step * tasks):  # a list, such as 1,3,5
        step = (last - first) // max(tasks - 1, 1) or 1
    place, rest = divmod(task - first, step)
    if rest or not 0 <= place < tasks:
        raise ValueError(
            f"the task {SLURM}={task} has no place among {tasks} tasks from {first} to {last}: submit the array as "
            f"--array=1-{tasks}"
        )
    return Shard(place + 1, tasks)


def _whole(name: str, environ: Mapping[str, str], *, default: int | None = None) -> int:
    text = environ.get(name, "")
    if text == "" and default is not None:
        return default
    if not (text.isdecimal() and text.isascii() and len(text) < 19):
        raise ValueError(f"the variable {name} is {text[:40]!r}, no number: give I/N")
    return int(text)


class Dealer:
    """Deals the inputs out to the shards, in order, and remembers what the whole list was."""

    def __init__(self, shard: Shard | None) -> None:
        self._shard = shard
        self._sum = hashlib.blake2b(digest_size=16)
        self._latest: str | None = None
        self._inputs = 0
        self.outputs = 0  # of all shards

    def is_ours(self, name: str) -> bool:
        """Whether an output of this input is our shard's. The outputs of one input come one after another."""
        self.outputs += 1
        if self._shard is None:
            return True
        if name != self._latest:
            self._latest = name
            self._inputs += 1
            self._sum.update(name.encode("utf-8", "surrogateescape") + b"\0")
        return (self._inputs - 1) % self._shard.count == self._shard.number - 1

    @property
    def checksum(self) -> str:
        """Of the names of all inputs, in order: equal where two shards have dealt out the same list."""
        return self._sum.hexdigest()
