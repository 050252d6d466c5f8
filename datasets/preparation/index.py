"""An index of the pictures that were read, by path, size and time: another start reads none of them again.

It is a file in the user's cache. What it holds is data: a file that is damaged, or made by something else, is as none.
No names are in it, only hashes of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from translate.datasets.pairs import Role, View
from translate.datasets.preparation.facts import (
    ALPHA,
    DEPTHS,
    KNOWN_FLAGS,
    LABELS,
    ROW,
    SAMPLE_DIVISOR_8_BITS,
    Packed,
    lengths,
)
from translate.datasets.preparation.roles import Side
from translate.files import atomic
from translate.outside import MAX_CHANNELS

VARIABLE = "TRANSLATE_INDEX"  # a folder for the indexes, or "off"
MAGIC = b"translate index\n"
VERSION = 1  # of the file, and of what the scan finds in a picture: raise it when either changes
HEADER = struct.Struct("<16sIIQQ")  # magic, version, bytes of a row, rows, bytes beside them
SUM = 32  # bytes of the sha256 of all before it, at the end
STAMP = np.dtype(
    [
        ("high", "<u8"),  # of the key, by which the file is sorted
        ("low", "<u8"),
        ("size", "<i8"),  # of the file
        ("time", "<i8"),  # nanoseconds, of its last change
        ("sampling", "<i8"),  # how values were sampled, as `sampling` says
    ]
)
BLOCK = 2**14  # rows that are read or written at once
MIN_FILES = 32  # fewer are read as quickly
MAX_BYTES = 2**31  # of all indexes together: the oldest go first
MAX_INDEXES = 1000
SETTLED_NS = 2 * 10**9
"""A file that has changed within this time before it was read may change again with the same time: some file systems
count in seconds, and FAT in two."""


@dataclass
class Stamps:
    """Size and time of change of files, as they were before they were read: `[N]` by row, -1 for unknown."""

    size: np.ndarray
    time: np.ndarray

    @classmethod
    def unknown(cls, count: int) -> Stamps:
        return cls(np.full(count, -1, np.int64), np.full(count, -1, np.int64))

    def put(self, rows: Sequence[int], state: tuple[int, int] | None) -> None:
        for row in rows:
            self.size[row], self.time[row] = state or (-1, -1)


@dataclass
class Index:
    """The index of a set that is looked at in one way.

    Args:
        folder: where it is kept.
        sides: how the pictures of each role are looked at.
        sample: values kept of each picture.
        beside: a folder of a run, which may have a copy.
    """

    folder: Path
    sides: Mapping[Role, Side]
    sample: int
    max_pixels: int
    beside: Path | None = None
    _sides: dict[Role, bytes] = field(init=False)  # a key's beginning

    def __post_init__(self) -> None:
        how = [VERSION, ROW.itemsize, PIL.__version__, _opencv(), self.max_pixels]
        self._sides = {role: json.dumps([*how, *astuple(side)[1:]]).encode() for role, side in self.sides.items()}

    def take(self, views: Sequence[View], roles: Sequence[Role], into: Packed) -> tuple[np.ndarray, Stamps]:
        """Put what is known of files that have not changed since into the rows of `into`.

        Returns:
            Which rows `[N]` these are, and the present stamps of all.
        """
        stamps, known = self._now(views), np.zeros(len(views), bool)
        path = self.path(views)
        copy = path if self.beside is None else self.beside / path.name
        with _opened(path, copy) as found:
            if found is None:
                return known, stamps
            keys, stored = self._keys(views, roles), found.stored
            place = np.minimum(np.searchsorted(stored["high"], keys[:, 0]), len(stored) - 1)
            same = (stored["high"][place] == keys[:, 0]) & (stored["low"][place] == keys[:, 1]) & (stamps.size >= 0)
            same &= (stored["size"][place] == stamps.size) & (stored["time"][place] == stamps.time)
            spread = self._spread(roles)
            for start, block in found.blocks(max_pixels=self.max_pixels):
                rows = np.flatnonzero(same & (place >= start) & (place < start + len(block.rows)))
                at = place[rows] - start
                sampled = self._samples(block.rows[at], spread[rows]) == stored["sampling"][place[rows]]
                into.take(block, at[sampled], rows[sampled])
                known[rows[sampled]] = True
        with contextlib.suppress(OSError):
            os.utime(path)  # the indexes that were used last are kept longest
        return known, stamps

    def keep(self, views: Sequence[View], roles: Sequence[Role], packed: Packed, stamps: Stamps) -> None:
        """Replace the index by one of the rows whose stamps are known.

        Raises:
            OSError: it could not be written.
        """
        chosen = np.flatnonzero((stamps.size >= 0) & (packed.rows["height"] > 0))
        if not len(chosen):
            return
        keys = self._keys(views, roles)[chosen]
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        chosen, stored = chosen[order], np.zeros(len(chosen), STAMP)
        stored["high"], stored["low"] = keys[order, 0], keys[order, 1]
        stored["size"], stored["time"] = stamps.size[chosen], stamps.time[chosen]
        spread, beside = self._spread(roles)[chosen], 0
        for start in range(0, len(chosen), BLOCK):
            rows = packed.rows[chosen[start : start + BLOCK]]
            stored["sampling"][start : start + BLOCK] = self._samples(rows, spread[start : start + BLOCK])
            beside += int(lengths(rows).sum())
        if HEADER.size + stored.nbytes + len(chosen) * ROW.itemsize + beside + SUM > MAX_BYTES:
            return
        path = self.path(views)
        _make_room(self.folder, keep=path)
        with atomic(path) as temporary, temporary.open("wb") as file:
            digest = hashlib.sha256()
            header = HEADER.pack(MAGIC, VERSION, ROW.itemsize, len(chosen), beside)
            for part in itertools.chain((header, stored.tobytes()), _written(packed, chosen)):
                digest.update(part)
                file.write(part)
            file.write(digest.digest())

    def path(self, views: Sequence[View]) -> Path:
        """One for each way to look at a set, which its first and last picture stand for."""
        ends = [_absolute(view.folder) for view in (views[0], views[-1])]
        text = json.dumps([ends, sorted(side.decode() for side in self._sides.values())])
        return self.folder / f"{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:32]}.index"

    def _keys(self, views: Sequence[View], roles: Sequence[Role]) -> np.ndarray:
        """128 bits `[N, 2]` for each picture: a hash of where it is and how it is looked at."""
        begun: dict[tuple[Role, str], hashlib.blake2b] = {}
        digests = bytearray()
        for (folder, name, half), role in zip(views, roles, strict=True):
            base = begun.get((role, folder))
            if base is None:
                base = hashlib.blake2b(self._sides[role], digest_size=16)
                base.update(os.fsencode(f"\0{_absolute(folder)}\0"))
                begun[role, folder] = base
            key = base.copy()
            key.update(os.fsencode(f"{name}\0{half}"))
            digests += key.digest()
        return np.frombuffer(digests, "<u8").reshape(-1, 2)

    def _now(self, views: Sequence[View]) -> Stamps:
        stamps, before = Stamps.unknown(len(views)), None
        state: tuple[int, int] | None = None
        for row, view in enumerate(views):
            if view[:2] != before:
                before, state = view[:2], None
                with contextlib.suppress(OSError, ValueError):  # reported when it is read
                    found = os.stat(view.file)  # noqa: PTH116 - a Path takes several times as long
                    state = found.st_size, found.st_mtime_ns
            stamps.put((row,), state)
        return stamps

    def _spread(self, roles: Sequence[Role]) -> np.ndarray:
        """Whether the values of 8-bit pictures are sampled at random, bool by row."""
        known = {role: side.samples_values for role, side in self.sides.items()}
        return np.fromiter((known[role] for role in roles), bool, len(roles))

    def _samples(self, rows: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """How values of `rows` `[N]` are sampled now: the step of a grid, or how many random ones, negative."""
        size = rows["height"].astype(np.int64) * rows["width"] * rows["sampled_bands"]
        grid = np.maximum(1, np.ceil(np.sqrt(size / (self.sample // SAMPLE_DIVISOR_8_BITS)))).astype(np.int64)
        random = np.where(size > self.sample, -self.sample, 0)
        on_grid = (rows["depth"] == 0) & ~spread
        return np.where(rows["flags"] & LABELS > 0, 0, np.where(on_grid, grid, random))


def keep_beside(path: Path, folder: Path) -> None:
    """Keep an index in the folder of a run as well, which may go elsewhere: a link, or a copy where that cannot be.

    Raises:
        OSError: it could not be written.
    """
    target = folder / path.name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.index"):
        old.unlink(missing_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:  # on another disk
        with atomic(target) as temporary:
            shutil.copyfile(path, temporary)


def settled(state: os.stat_result, *, at: int) -> bool:
    """Whether a file that was read `at` a time in nanoseconds cannot have changed since without another time."""
    return at - state.st_mtime_ns > SETTLED_NS


def index_folder() -> Path | None:
    """Where indexes are kept: as the environment says, or in the place for caches of this system; None: nowhere."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return None if given.lower() in ("off", "0", "none") else Path(given)
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return None
    return base / "translate-gan" / "index"


def _absolute(folder: str) -> str:
    return os.path.abspath(folder)  # noqa: PTH100 - links are not followed: the path is the name


@dataclass
class _Opened:
    """An index that is whole; its rows are read a few at a time."""

    file: BinaryIO
    stored: np.ndarray  # of STAMP
    beside: int  # bytes beside the rows

    def blocks(self, *, max_pixels: int) -> Iterator[tuple[int, Packed]]:
        """Where some rows begin, and these, until there are such as no picture has."""
        rows_at = HEADER.size + self.stored.nbytes
        rest_at, done = rows_at + len(self.stored) * ROW.itemsize, 0
        for start in range(0, len(self.stored), BLOCK):
            count = min(BLOCK, len(self.stored) - start)
            rows = np.frombuffer(self._read(rows_at + start * ROW.itemsize, count * ROW.itemsize), ROW)
            if not len(rows) or not _sound(rows, done, self.beside, max_pixels=max_pixels):
                return
            rows["place"] -= np.uint64(done)
            total = int(lengths(rows).sum())
            rest = self._read(rest_at + done, total)
            if len(rest) < total:
                return
            yield start, Packed.of(rows, rest)
            done += total

    def _read(self, place: int, count: int) -> bytearray:
        """So many bytes, or none."""
        try:
            self.file.seek(place)
            data = bytearray(self.file.read(count))
        except OSError:
            return bytearray()
        return data if len(data) == count else bytearray()


@contextlib.contextmanager
def _opened(*paths: Path) -> Iterator[_Opened | None]:
    """The first that is an index; None if none is there, whole, and one of these."""
    with contextlib.ExitStack() as stack:
        found = None
        for path in paths:
            with contextlib.suppress(OSError):
                found = _checked(stack.enter_context(path.open("rb"))) if path.is_file() else None
            if found is not None:
                break
        yield found


def _checked(file: BinaryIO) -> _Opened | None:
    try:
        size = os.fstat(file.fileno()).st_size
        if not HEADER.size + SUM < size <= MAX_BYTES:
            return None
        magic, version, width, count, beside = HEADER.unpack(file.read(HEADER.size))
        if (magic, version, width) != (MAGIC, VERSION, ROW.itemsize) or not count:
            return None
        if size != HEADER.size + count * (STAMP.itemsize + ROW.itemsize) + beside + SUM:
            return None
        file.seek(0)
        digest, left = hashlib.sha256(), size - SUM
        while left and (part := file.read(min(left, 2**20))):
            digest.update(part)
            left -= len(part)
        if file.read(SUM + 1) != digest.digest():
            return None
        file.seek(HEADER.size)
        return _Opened(file, np.frombuffer(file.read(count * STAMP.itemsize), STAMP), beside)
    except (OSError, ValueError):
        return None


def _sound(rows: np.ndarray, done: int, beside: int, *, max_pixels: int) -> bool:
    """Whether the numbers could be those of pictures, so that nothing is made of a size that a file claims.

    What is beside the rows follows on the first `done` of all `beside` bytes.
    """
    alpha = rows["flags"] & ALPHA > 0
    pixels = rows["height"].astype(float) * rows["width"]
    checks = (
        (rows["depth"] < len(DEPTHS)) & (rows["flags"] < KNOWN_FLAGS),
        (pixels > 0) & (pixels <= max_pixels) & (rows["bands"] > 0) & (rows["bands"] <= MAX_CHANNELS),
        (rows["sampled_bands"] <= rows["bands"] + alpha) & (rows["clear"] >= 0) & (rows["clear"] <= 1),
    )
    if not all(check.all() for check in checks):
        return False
    sizes = lengths(rows)
    ends = done + np.cumsum(sizes)
    return bool((rows["place"] == (ends - sizes).astype(np.uint64)).all() and ends[-1] <= beside)


def _written(packed: Packed, chosen: np.ndarray) -> Iterator[bytes | memoryview]:
    """The rows `chosen`, and then what is beside them, in their order."""
    done, rest = 0, memoryview(packed.rest)
    for start in range(0, len(chosen), BLOCK):
        rows = packed.rows[chosen[start : start + BLOCK]]
        sizes = lengths(rows)
        rows["place"] = done + np.cumsum(sizes) - sizes
        done += int(sizes.sum())
        yield rows.tobytes()
    for start in range(0, len(chosen), BLOCK):
        rows = packed.rows[chosen[start : start + BLOCK]]
        begin = rows["place"].astype(np.int64)
        for first, end in zip(begin.tolist(), (begin + lengths(rows)).tolist(), strict=True):
            yield rest[first:end]


def _make_room(folder: Path, *, keep: Path) -> None:
    """Delete the indexes that were not used for longest, where there is too much of them."""
    found = []
    for path in folder.glob("*.index") if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # another process deletes as well
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    total = 0
    for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total += size
        if (total > MAX_BYTES // 2 or number >= MAX_INDEXES - 1) and path != keep:
            with contextlib.suppress(OSError):
                path.unlink()


def _opencv() -> str | None:
    """The version of what decodes and resizes, if it is there: 8-bit pictures are read without it, too."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2.__version__
