"""Record of what each output was made of, in a file beside the outputs: shows which are out of date. No torch.

A line of `.translate-done.jsonl` is one output: its name, the input's name below the input folder with its size and
time of change, the model's checksum, and the settings that change pixels and differ from their defaults. Lines are
appended one at a time; of several for one output the last counts.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from translate import locks
from translate.inference.listing import RECORD
from translate.inference.model import LoadedModel
from translate.inference.options import ConvertSettings
from translate.inference.pieces import exact_strips

MAX_LINE_BYTES = 2**16  # longer lines are not ours
MAX_WAIT_SECONDS = 1.0  # for another process that writes a line, which takes microseconds
PIXELS = (
    *("quality", "keep_alpha", "keep_metadata", "derive", "resize"),
    *("label", "text", "seed", "interpolate", "seed_to", "arithmetic"),
)
"""Settings that change the pixels or metadata of an output."""

DIFFERENT = (
    "another input, or another state of it",
    "another model, or other weights of it",
    "other settings",
)
"""Reasons why an output is out of date, in the order of `Made`."""

Made = tuple[int, int, int]
"""What an output is made of: hashes of 64 bits of the input's identity, the model and the settings."""


@dataclass(frozen=True)
class Stamp:
    """Size and time of a file, to notice changes."""

    size: int  # bytes
    mtime: int  # time of change, nanoseconds

    @classmethod
    def of(cls, path: str | Path) -> Stamp:
        """Raises:
        OSError: there is no such file.
        """
        found = os.stat(path)  # noqa: PTH116 - a Path takes several times as long
        return cls(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Maker:
    """The model and settings of a conversion."""

    model: str
    settings: dict[str, Any]
    conditioned: Callable[[str], dict[str, Any]]  # conditions of an input, by its name below the input folder

    @classmethod
    def of(
        cls, loaded: LoadedModel, settings: ConvertSettings, *, conditioned: Callable[[str], dict[str, Any]]
    ) -> Maker:
        """Computes a checksum of the weights if their file has none."""
        backend = loaded.backend
        model = getattr(backend, "weights", "")
        if not isinstance(model, str) or not model:  # a custom backend
            model = f"sha256:{hashlib.sha256(loaded.card.model_dump_json().encode()).hexdigest()}"
        fields = type(settings).model_fields
        chosen = {name: getattr(settings, name) for name in PIXELS}
        chosen = {name: value for name, value in chosen.items() if value != fields[name].default}
        if settings.samples is not None:  # their number is in the outputs' names
            chosen["seed"] = settings.seed or 0
        if loaded.card.direction != "AtoB":
            chosen["direction"] = loaded.card.direction
        if (precision := getattr(backend, "precision", "float32")) != "float32":
            chosen["precision"] = precision
        if isinstance(loaded.tile, int) and not exact_strips(backend):
            chosen["tile"] = loaded.tile
        return cls(model, chosen, conditioned)

    def made(self, name: str, stamp: Stamp) -> Made:
        """What an output of this input is made of."""
        return _made(name, stamp.size, stamp.mtime, self.model, self.settings | self.conditioned(name))

    def write(self, output: Path, name: str, stamp: Stamp) -> None:
        """Append the line of an output that was just written.

        Raises:
            OSError: it cannot be written.
        """
        line = {
            "output": output.name,
            "input": name,
            "size": stamp.size,
            "mtime": stamp.mtime,
            "model": self.model,
            "settings": self.settings | self.conditioned(name),
        }
        append(output.with_name(RECORD), json.dumps(line))


class Record:
    """The lines of one folder: 32 bytes each in memory."""

    def __init__(self, folder: Path) -> None:
        """Damaged lines, as a killed process may leave, are skipped.

        Raises:
            ValueError: the record is no regular file, or cannot be read.
        """
        names: list[bytes] = []
        rows: list[bytes] = []
        try:
            with _opened(folder / RECORD, os.O_RDONLY) as file, os.fdopen(file, "rb", closefd=False) as lines:
                while line := lines.readline(MAX_LINE_BYTES):
                    if found := _parsed(line):
                        names.append(found[0])
                        rows.append(np.array(found[1], "<u8").tobytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ValueError(f"{folder / RECORD}: cannot be read: {error.strerror}") from None
        keys = np.frombuffer(b"".join(names), "<u8")
        made = np.frombuffer(b"".join(rows), "<u8").reshape(-1, 3)
        order = np.argsort(keys, kind="stable")
        self._keys, self._made = keys[order], made[order]

    def find(self, output: str) -> Made | None:
        """What an output of this name was made of, by its last line; None without one."""
        key = np.frombuffer(_key(output), "<u8")[0]
        place = int(np.searchsorted(self._keys, key, side="right")) - 1
        if place < 0 or self._keys[place] != key:
            return None
        one, other, last = (int(value) for value in self._made[place])
        return one, other, last


def append(path: Path, line: str) -> None:
    """Append a line in one system call, so that lines of several processes stay whole; ends a cut line first.

    A network disk does not know where the file ends while another machine writes to it, so that it is locked meanwhile.

    Raises:
        OSError: the file cannot be written.
    """
    with _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
        locks.wait_for(file, seconds=MAX_WAIT_SECONDS)
        end = os.fstat(file).st_size
        cut = end > 0 and _last_byte(file, end) != b"\n"
        os.write(file, b"\n" * cut + line.encode("ascii") + b"\n")


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Raises:
    OSError: no regular file: a link might lead anywhere, and a pipe would block.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "it is no regular file: take it away")
    file = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _last_byte(file: int, end: int) -> bytes:
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1)


def _parsed(line: bytes) -> tuple[bytes, Made] | None:
    """Key of the output and what it was made of; None for a line that `Maker.write` does not write."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    output, name, model = (found.get(key) for key in ("output", "input", "model"))
    size, mtime, settings = (found.get(key) for key in ("size", "mtime", "settings"))
    if not (isinstance(output, str) and isinstance(name, str) and isinstance(model, str)):
        return None
    if not (type(size) is int and type(mtime) is int and isinstance(settings, dict)):
        return None
    try:
        return _key(output), _made(name, size, mtime, model, settings)
    except RecursionError:
        return None


def _made(name: str, size: int, mtime: int, model: str, settings: dict[str, Any]) -> Made:
    one, other, last = (
        int.from_bytes(_key(json.dumps(part, sort_keys=True)), "little")
        for part in ([name, size, mtime], model, settings)
    )
    return one, other, last


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
