"""Files that are written whole or not at all, and names that are free."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.[^.]*)?")
STEP = re.compile(r"step-([0-9]{8,})")  # names of what belongs to a step of a training
KEPT = 40  # most letters of a name's stem that its temporary name keeps

SERVICE_FOLDERS = frozenset(
    {
        "@eadir",  # Synology: thumbnails under the names of the pictures
        "@tmp",
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "~snapshot",  # NetApp
        "__macosx",  # archives of macOS: a shadow of every file
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "lightroom previews.lrdata",
        "captureone",  # previews and settings beside the pictures
        "__pycache__",
    }
)
"""Folders that file servers, systems and photo programs make beside pictures, in lower case. Others are hidden."""


SPECIAL = "is no file but a pipe, a socket or a device"


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether this is a pipe, a socket or a device: opening one may block for ever, or start something."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path takes several times as long
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` once the block ends without an error.

    The data is flushed to the disk before the rename, so neither a crash nor a full disk leaves half a file, and the
    former content of `path` stays until the new one is complete.

    Raises:
        OSError: it cannot be written, or `path` is a pipe, a socket or a device, which no file takes the place of.
    """
    _refuse_special(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file as `atomic` does, with half the system calls: for thousands of files."""
    _refuse_special(path)
    try:
        _write_bytes(path, data)
    except FileNotFoundError:  # no folder yet; or another process removed the temporary file as a partial one
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_bytes(path, data)


def _write_bytes(path: Path, data: bytes) -> None:
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _refuse_special(path: Path) -> None:
    if is_special(path):
        raise OSError(errno.EEXIST, SPECIAL)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem[:KEPT]}-{secrets.token_hex(6)}{path.suffix}")


def drop_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in `folder`, and nothing else."""
    for path in folder.glob(".*-*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def of_step(folder: Path, step: int, suffix: str) -> Path:
    """The path of the file of a step in a folder."""
    return folder / f"step-{step:08d}{suffix}"


def steps_in(folder: Path, suffix: str) -> list[int]:
    """The steps of the files in a folder, in order. Files with other names are ignored."""
    found = [(path, STEP.fullmatch(path.stem)) for path in folder.glob(f"step-*{suffix}")]
    steps = [(path, int(match[1])) for path, match in found if match]
    return sorted(step for path, step in steps if path == of_step(folder, step, suffix) and path.is_file())


def free(base: Path) -> Path:
    """`base`, or the first of `base`-2, `base`-3, ... that does not exist."""
    number = 1
    while (path := base if number == 1 else base.with_name(f"{base.name}-{number}")).exists():
        number += 1
    return path
