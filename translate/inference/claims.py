"""Keeps two conversions from writing the same files at one time. Imports no torch.

A conversion leaves a claim in its output folder while it runs: a lock file with hashes of the names that it will write.
Others may write other names there, as the parts of a large job do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from translate import locks
from translate.inference.plan import Jobs
from translate.outside import checked

CLAIM = ".translate-conversion-"  # followed by twelve hexadecimal digits, as in temporary names
MAX_TRIES = 4  # two conversions that start at the same moment each see the other's claim, and both retry
MAX_WRITE_SECONDS = 10.0  # for which an incomplete claim is waited for


class _Head(BaseModel):
    names: int = Field(ge=0, le=10**9)


@contextlib.contextmanager
def claimed(jobs: Jobs) -> Iterator[None]:
    """Within the block no other conversion may write the outputs of `jobs`. Their folder exists.

    On a disk without locks nothing is claimed.

    Raises:
        ValueError: another conversion writes one of them.
        OSError: the claim cannot be written.
    """
    folder = jobs.target.resolve()
    names = _hashes(jobs, folder, below=folder)
    head = json.dumps({**locks.holder(), "names": len(names)}).encode()
    for left in reversed(range(MAX_TRIES)):
        path = folder / f"{CLAIM}{secrets.token_hex(6)}.lock"
        try:
            file = locks.take(path, head + b"\n" + np.sort(names).tobytes())
        except OSError as error:
            if error.errno not in locks.NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            yield
            return
        assert file is not None, "the name is random and new"
        try:
            problem = _conflict(jobs, folder, own=path)
            if problem is None:
                yield
                return
            if not left:
                raise ValueError(problem)
        finally:
            locks.drop(path, file)
        time.sleep(random.uniform(0, 0.5))


def _conflict(jobs: Jobs, folder: Path, *, own: Path) -> str | None:
    """An error message if another running conversion writes one of the outputs, or None."""
    for place in (folder, *folder.parents, *_below(jobs, folder)):
        for path in _claims(place):
            if path == own or (found := _read(path)) is None:
                continue
            who, taken = found
            mine = _hashes(jobs, folder, below=place)
            if (both := np.isin(mine, taken)).any():
                output = _nth(jobs, folder, below=place, index=int(both.argmax()))
                return f"{output}: {who} is converting to it: wait for its end, or name another folder"
    return None


def _outputs(jobs: Jobs, folder: Path, *, below: Path) -> Iterator[tuple[str, str]]:
    """The outputs below a folder: path, and path relative to it."""
    start = f"{below.as_posix().rstrip('/')}/"
    for inside, output in jobs.outputs():
        path = f"{folder.as_posix()}/{output}" if inside == "." else f"{folder.as_posix()}/{inside}/{output}"
        if path.startswith(start):
            yield path, path.removeprefix(start)


def _hashes(jobs: Jobs, folder: Path, *, below: Path) -> np.ndarray:
    """`[N]` hashes of 64 bits: a collision among a million names has a chance of 1 in 30 million."""
    names = (name.encode("utf-8", "surrogateescape") for _, name in _outputs(jobs, folder, below=below))
    return np.frombuffer(b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names), "<u8")


def _nth(jobs: Jobs, folder: Path, *, below: Path, index: int) -> str:
    return next(path for n, (path, _) in enumerate(_outputs(jobs, folder, below=below)) if n == index)


def _below(jobs: Jobs, folder: Path) -> list[Path]:
    """Folders of the outputs and their parents, below `folder`."""
    found = dict.fromkeys(inside for inside, _ in jobs.outputs() if inside != ".")
    return list(dict.fromkeys(folder / p for inside in found for p in (Path(inside), *Path(inside).parents[:-1])))


def _claims(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.glob(f"{CLAIM}*.lock") if path.is_file()]
    except OSError:  # a parent folder that this user may not list
        return []


def _read(path: Path) -> tuple[str, np.ndarray] | None:
    """The holder of a claim and its hashes; None if it is no longer held or stays incomplete."""
    deadline = time.monotonic() + MAX_WRITE_SECONDS
    while (content := locks.content_if_held(path)) is not None:
        head, _, hashes = content.partition(b"\n")
        with contextlib.suppress(ValueError):
            if len(hashes) == 8 * checked(_Head, head[: locks.LONGEST]).names:
                return locks.describe(head), np.frombuffer(hashes, "<u8")
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None
