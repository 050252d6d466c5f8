"""Lock files that the system frees when their process ends, also by a crash. Imports no torch.

The system keeps the lock, not the file: what a crash or a reboot leaves is an empty claim.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from translate.outside import checked, visible

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

LONGEST = 4096  # bytes of a lock file
LOCKED_BYTE = 1 << 30  # on Windows a locked byte cannot be read: this one lies behind the content
BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""The system's errors on disks without locks, such as some network disks."""

_held: set[int] = set()


def _let_go() -> None:
    """A forked child shares the lock, and would still hold it when its parent is killed."""
    for file in _held:
        with contextlib.suppress(OSError):
            os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


class InUse(ValueError):
    """Another process holds the lock; the message names it."""


@contextlib.contextmanager
def locked(path: Path, *, what: str, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock file at `path` for the block. Folders that are made for it are removed if they stay empty.

    `what` it stands for begins the error. On a disk without locks `say` gets a warning, and the block runs without one.

    Raises:
        InUse: another process holds it, or this one does already.
        OSError: the file cannot be written.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file: int | None = None
    try:
        try:
            file = take(path, json.dumps(holder()).encode())
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            say(f"{path.parent}: this disk knows no locks: take care that no other process works in it")
        else:
            if file is None:
                raise InUse(f"{what} is in use by {describe(content_if_held(path))}: wait for its end, or stop it")
        yield
    finally:
        if file is not None:
            drop(path, file)
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


class Holder(BaseModel):
    """The content of a lock file."""

    process: int = Field(ge=0, lt=2**63)
    host: str = Field(max_length=256)
    since: str = Field(max_length=40)


def holder() -> dict[str, Any]:
    """The content of a lock file of this process."""
    return {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def describe(content: bytes | None) -> str:
    """Who holds a lock, in words."""
    try:
        found = checked(Holder, (content or b"")[:LONGEST])
    except ValueError:
        return "another process"
    return f"process {found.process} on {visible(found.host)} (since {visible(found.since)})"


def take(path: Path, content: bytes) -> int | None:
    """Hold the lock file at `path`, made if need be, with `content`; None if someone holds it already.

    Raises:
        OSError: the disk knows no locks, or cannot be written to.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if not _lock(file):
                os.close(file)
                return None
            if _is_at(path, file):  # otherwise its holder has just removed it
                os.ftruncate(file, 0)
                left = memoryview(content)
                while left:
                    left = left[os.write(file, left) :]
                _held.add(file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def drop(path: Path, file: int) -> None:
    """Remove the lock file and release the lock. Does nothing in a forked child."""
    if file not in _held:
        return
    _held.discard(file)
    if fcntl is not None:
        path.unlink(missing_ok=True)  # while it is held, so that no other process's is removed
    os.close(file)
    if fcntl is None:
        with contextlib.suppress(OSError):  # an open file cannot be removed there
            path.unlink(missing_ok=True)


def content_if_held(path: Path) -> bytes | None:
    """What the holder of the lock file has written; None if no process holds it, and then it is removed."""
    try:
        file = _opened(path)
    except OSError:
        return None
    try:
        with contextlib.suppress(OSError):  # as of a file that this user may only read, on some disks: it may be held
            if _lock(file):
                if _is_at(path, file):
                    path.unlink(missing_ok=True)
                return None
        with os.fdopen(os.dup(file), "rb") as opened:
            return opened.read(LOCKED_BYTE)
    finally:
        os.close(file)


def wait_for(file: int, *, seconds: float) -> bool:
    """Lock an open file until it is closed; whether that was possible in this time. Also over network disks.

    Always False on Windows, where others could not read it meanwhile.
    """
    if fcntl is None:
        return False
    deadline = time.monotonic() + seconds
    try:
        while not _lock(file):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
    except OSError:  # a disk without locks
        return False
    return True


def _opened(path: Path) -> int:
    binary = getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, os.O_RDWR | binary)
    except PermissionError:  # another user's
        return os.open(path, os.O_RDONLY | binary)


def _lock(file: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in BUSY:
            return False
        raise
    return True


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
