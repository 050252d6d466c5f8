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

CLAIM = ".translate-conversion-"  # and twelve hexadecimal digits, as temporary files have them
TRIES = 4  # of two that begin in the same moment both see the other's claim
WRITING = 10.0  # seconds that a claim may take to be written


class _Head(BaseModel):
    names: int = Field(ge=0, le=10**9)


@contextlib.contextmanager
def claimed(jobs: Jobs) -> Iterator[None]:
    """For the block no other conversion may write the outputs of `jobs`. Their folder is there.

    Where the disk knows no locks, nothing is claimed.

    Raises:
        ValueError: another conversion is going to write one of them.
        OSError: the claim cannot be written.
    """
    folder = jobs.target.resolve()
    names = _hashes(jobs, folder, below=folder)
    head = json.dumps({**locks.holder(), "names": len(names)}).encode()
    for left in reversed(range(TRIES)):
        path = folder / f"{CLAIM}{secrets.token_hex(6)}.lock"
        try:
            file = locks.take(path, head + b"\n" + np.sort(names).tobytes())
        except OSError as error:
            if error.errno not in locks.NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            yield
            return
        assert file is not None, "nobody else has this name"
        try:
            problem = _rival(jobs, folder, own=path)
            if problem is None:
                yield
                return
            if not left:
                raise ValueError(problem)
        finally:
            locks.drop(path, file)
        time.sleep(random.uniform(0, 0.5))


def _rival(jobs: Jobs, folder: Path, *, own: Path) -> str | None:
    """Which output another conversion is about to write, too, and whose that is."""
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
    """The outputs that are below a folder: path, and path relative to it."""
    start = f"{below.as_posix().rstrip('/')}/"
    for inside, output in jobs.outputs():
        path = f"{folder.as_posix()}/{output}" if inside == "." else f"{folder.as_posix()}/{inside}/{output}"
        if path.startswith(start):
            yield path, path.removeprefix(start)


def _hashes(jobs: Jobs, folder: Path, *, below: Path) -> np.ndarray:
    """`[N]` of 64 bits: by chance two of a million names are one in 1 of 30 million conversions."""
    names = (name.encode("utf-8", "surrogateescape") for _, name in _outputs(jobs, folder, below=below))
    return np.frombuffer(b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names), "<u8")


def _nth(jobs: Jobs, folder: Path, *, below: Path, index: int) -> str:
    return next(path for n, (path, _) in enumerate(_outputs(jobs, folder, below=below)) if n == index)


def _below(jobs: Jobs, folder: Path) -> list[Path]:
    """Folders of the outputs, and those on the way to them."""
    found = dict.fromkeys(inside for inside, _ in jobs.outputs() if inside != ".")
    return list(dict.fromkeys(folder / p for inside in found for p in (Path(inside), *Path(inside).parents[:-1])))


def _claims(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.glob(f"{CLAIM}*.lock") if path.is_file()]
    except OSError:  # a folder above that is none of the user's
        return []


def _read(path: Path) -> tuple[str, np.ndarray] | None:
    """Who holds a claim, and the hashes in it; None if it is an empty one."""
    deadline = time.monotonic() + WRITING
    while (content := locks.content_if_held(path)) is not None:
        head, _, hashes = content.partition(b"\n")
        with contextlib.suppress(ValueError):
            if len(hashes) == 8 * checked(_Head, head[: locks.LONGEST]).names:
                return locks.describe(head), np.frombuffer(hashes, "<u8")
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None
