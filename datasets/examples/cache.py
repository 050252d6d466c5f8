"""Decoded pictures at load size, kept in one block of memory or in a memory-mapped file.

A block is filled before training starts and only read afterwards, or grows as pictures are read: either way workers
share it without waiting for each other.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import mmap
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch.utils.data import Dataset

from translate.console import bar
from translate.datasets.examples import Example
from translate.files import atomic
from translate.images import ImageSpec
from translate.memory import free_memory, processes_here
from translate.settings import DataSettings
from translate.sizes import Size

FORMAT = 1  # of the files; raise it when the layout changes: older files are then not used
ALIGNMENT = 64  # bytes, so that every picture is aligned for any type
CHUNK = 64  # examples decoded ahead of the writer
MEMORY_SHARE = 0.25  # of free memory, that a cache nobody asked for may take

Item = tuple[np.ndarray, ...]
Load = Callable[[int], Item]
"""Position -> the pictures of one example; called from several threads."""


@dataclass(frozen=True)
class Slot:
    """Shape and type that one picture of every example has."""

    shape: tuple[int, int, int]
    dtype: str

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def room(self) -> int:
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT


class Cache:
    """The pictures of every example, read-only: views into the block, not copies."""

    def __init__(self, block: np.ndarray, *, slots: tuple[Slot, ...], path: Path | None = None) -> None:
        self._block = block  # [count, bytes of one example] uint8
        self._slots = slots
        self._path = path

    def __len__(self) -> int:
        return len(self._block)

    def __getitem__(self, index: int) -> Item:
        return tuple(_views(self._block[index], self._slots))

    def __reduce__(self) -> tuple[Any, ...]:
        """A file is opened again by the other process; memory can only be inherited by a forked one.

        Raises:
            ValueError: the block is in memory.
        """
        if self._path is None:
            raise ValueError(
                "--cache memory cannot be shared with worker processes on this system; use --cache disk or --workers 0"
            )
        return _open, (self._path, len(self), self._slots)


class GrowingCache:
    """The pictures of every example, decoded when they are first asked for; workers that are forked share them.

    Two that decode the same example at once write the same bytes.

    Args:
        load: decodes an example.
    """

    def __init__(self, load: Load, *, count: int, slots: tuple[Slot, ...]) -> None:
        self._load, self._slots = load, slots
        # Shared and anonymous: a page takes memory once it is written to.
        self._block = np.frombuffer(mmap.mmap(-1, bytes_needed(count, slots)), np.uint8).reshape(count, _stride(slots))
        self._there = np.frombuffer(mmap.mmap(-1, count), np.uint8)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._block)

    @property
    def bytes(self) -> int:
        """What it takes once it is full."""
        return self._block.nbytes

    def __getitem__(self, index: int) -> Item:
        """
        Raises:
            ImageError: a file that cannot be read.
        """
        row = self._block[index]
        if not self._there[index]:
            _put(row, self._load(index), self._slots)
            self._in_order()
            self._there[index] = 1
        self._in_order()
        row.flags.writeable = False
        return tuple(_views(row, self._slots))

    def _in_order(self) -> None:
        """Memory is written and read before and after this as it stands here: some processors change the order.

        What comes after a lock was taken does not move before it, nor what comes before it was given back behind that.
        """
        for _ in range(2):
            with self._lock:
                pass

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is not forked has none."""
        return _none, ()


def _none() -> None:
    return None


class CachedDataset(Dataset[Example]):
    """Examples that are read from files, or from a cache of them at load size. A subclass says what `_fill` decodes."""

    settings: DataSettings

    def with_cache(self, *, folder: Path | None = None, fingerprint: str = "", progress: bool = False) -> Self:
        """The dataset as `settings.cache` wants it: itself, or a copy with all pictures decoded, or kept once read.

        Args:
            folder: where a disk cache is kept.
            fingerprint: of the files' contents; a disk cache made for another one is not used.
            progress: show a progress bar.

        Raises:
            ValueError: there is no room for the cache.
            ImageError: a file that cannot be read.
        """
        if self.settings.cache == "none" or (self.settings.cache == "auto" and self.settings.fit != "stretch"):
            return self
        filled = copy.copy(self)
        filled._fill(folder=folder, fingerprint=fingerprint, progress=progress)
        return filled

    def _fill(self, *, folder: Path | None, fingerprint: str, progress: bool) -> None:
        """Decode all pictures, or keep them from now on, and read from there."""
        raise NotImplementedError

    @property
    def growing(self) -> int:
        """Bytes of its caches, if they are filled as pictures are read; once they are full."""
        raise NotImplementedError


def cache_key(**parts: Any) -> str:
    """Name of a cache's file: 32 hexadecimal digits, different when any of `parts` (plain JSON values) is."""
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def bytes_needed(count: int, slots: Sequence[Slot]) -> int:
    """Size of a cache of `count` examples."""
    return count * sum(slot.room for slot in slots)


def fill(
    load: Load,
    *,
    settings: DataSettings,
    names: Sequence[str],
    specs: Sequence[ImageSpec],
    size: Size,
    folder: Path | None,
    fingerprint: str,
    what: str = "pairs",
    beside: int = 0,
    progress: bool = False,
) -> Cache | GrowingCache | None:
    """The cache that `settings.cache` names, of pictures that are all of `size`; None if that is auto and none fits.

    Args:
        names, specs: of the examples in their order, and of the pictures of each; a file of others is not used.
        folder: where a disk cache is kept.
        fingerprint: of the files' contents.
        what: the examples are: pairs, or the pictures of one side, whose names may be those of the other.
        beside: bytes that caches need which are made after this one, so that all is known before the first.

    Raises:
        ValueError: there is no room for it. Whatever `load` raises.
    """
    assert settings.fit == "stretch", "pictures of different sizes in a cache"
    slots = tuple(Slot((*size, spec.channels), spec.dtype) for spec in specs)
    if settings.cache == "auto":
        return _growing(load, count=len(names), slots=slots, beside=beside)
    if settings.cache == "memory":
        return memory_cache(load, count=len(names), slots=slots, beside=beside, progress=progress)
    assert settings.cache == "disk", f"no cache to fill: {settings.cache}"
    assert folder is not None, "a disk cache needs a folder"
    shapes = [spec.model_dump(mode="json") for spec in specs]
    side = size.height if size.height == size.width else list(size)  # files of squares are found by the key they had
    key = cache_key(fingerprint=fingerprint, specs=shapes, side=side, **{what: list(names)})
    return disk_cache(load, count=len(names), slots=slots, folder=folder, key=key, beside=beside, progress=progress)


def _growing(load: Load, *, count: int, slots: tuple[Slot, ...], beside: int) -> GrowingCache | None:
    needed, free = bytes_needed(count, slots), free_memory()
    if not needed or free is None or needed + beside > MEMORY_SHARE * free / processes_here():
        return None
    try:
        return GrowingCache(load, count=count, slots=slots)
    except (OSError, ValueError):  # the system promises less memory than is free
        return None


def growing_bytes(cache: Cache | GrowingCache | None) -> int:
    """What a cache takes that grows; of others 0."""
    return cache.bytes if isinstance(cache, GrowingCache) else 0


def memory_cache(
    load: Load,
    *,
    count: int,
    slots: tuple[Slot, ...],
    beside: int = 0,
    progress: bool = False,
    installed: Callable[[], int | None] | None = None,
) -> Cache:
    """All examples decoded into one block that forked workers share.

    Args:
        beside: bytes that are needed for other caches, too.
        installed: bytes of memory in the machine, None if unknown; for tests.

    Raises:
        ValueError: the machine has less memory than this needs. Whatever `load` raises.
    """
    needed = bytes_needed(count, slots)
    have = (installed or _installed_memory)()
    if have is not None and needed + beside > have:
        raise ValueError(
            f"--cache memory needs {shown(needed)} for {count} examples{_also(beside)}, "
            f"and this machine has {shown(have)}; use --cache disk or none"
        )
    # Shared and anonymous: workers that are forked later see it and never copy a page of it.
    block = np.frombuffer(mmap.mmap(-1, max(needed, 1)), np.uint8)[:needed].reshape(count, _stride(slots))
    for index, item in _examples(load, count=count, progress=progress):
        _put(block[index], item, slots)
    block.flags.writeable = False
    return Cache(block, slots=slots)


def disk_cache(
    load: Load,
    *,
    count: int,
    slots: tuple[Slot, ...],
    folder: Path,
    key: str,
    beside: int = 0,
    progress: bool = False,
    free: Callable[[Path], int] | None = None,
) -> Cache:
    """All examples decoded into `folder`/`key`.pairs and mapped into memory; a later run finds the file.

    It is written under another name and renamed when complete; an interrupted one is written anew. Only one
    process at a time may build in `folder`.

    Args:
        beside: bytes that are needed for other caches, too.
        free: bytes free in a folder; for tests.

    Raises:
        ValueError: it does not fit on the disk, or cannot be written there. Whatever `load` raises.
    """
    path = folder / f"{key}.pairs"
    needed = bytes_needed(count, slots)
    if not (path.is_file() and path.stat().st_size == needed):
        _write(path, load, count=count, slots=slots, beside=beside, progress=progress, free=free or _free_space)
    return _open(path, count, slots)


def _write(
    path: Path,
    load: Load,
    *,
    count: int,
    slots: tuple[Slot, ...],
    beside: int,
    progress: bool,
    free: Callable[[Path], int],
) -> None:
    needed = bytes_needed(count, slots)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for partial in path.parent.glob(f".{path.stem}-*"):  # of a killed run
            partial.unlink()
        have = free(path.parent)
        if needed + beside > have:
            raise ValueError(
                f"--cache disk needs {shown(needed)} for {count} examples{_also(beside)}, and {path.parent} has "
                f"{shown(have)} free; use --cache none, or make room"
            )
        buffer = np.zeros(_stride(slots), np.uint8)
        # Plain writes: on a full disk they raise, where writing to mapped memory kills the process.
        with atomic(path) as temporary, temporary.open("wb") as file:
            for _, item in _examples(load, count=count, progress=progress):
                _put(buffer, item, slots)
                file.write(buffer.data)
    except OSError as error:
        raise ValueError(
            f"--cache disk: {path} could not be written ({error.strerror or error}); use --cache none, or make room"
        ) from error


def _open(path: Path, count: int, slots: tuple[Slot, ...]) -> Cache:
    if not count:  # an empty file cannot be mapped
        return Cache(np.empty((0, _stride(slots)), np.uint8), slots=slots, path=path)
    block = np.memmap(path, np.uint8, "r", shape=(count, _stride(slots)))
    return Cache(block.view(np.ndarray), slots=slots, path=path)


def _examples(load: Load, *, count: int, progress: bool) -> Iterator[tuple[int, Item]]:
    """Position and pictures in order, decoded by threads (decoding releases the interpreter's lock)."""
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        bar(progress, total=count, desc="decoding", unit="example", leave=False) as decoded,
    ):
        for start in range(0, count, CHUNK):  # else results pile up in memory before a slow disk
            chunk = range(start, min(start + CHUNK, count))
            for index, item in zip(chunk, pool.map(load, chunk), strict=True):
                yield index, item
                decoded.update()


def _put(row: np.ndarray, item: Item, slots: tuple[Slot, ...]) -> None:
    for view, picture, slot in zip(_views(row, slots), item, slots, strict=True):
        assert picture.shape == slot.shape, f"{picture.shape} in a cache of {slot.shape}"
        assert picture.dtype == slot.dtype, f"{picture.dtype} in a cache of {slot.dtype}"
        view[...] = picture


def _views(row: np.ndarray, slots: tuple[Slot, ...]) -> Iterator[np.ndarray]:
    start = 0
    for slot in slots:
        yield row[start : start + slot.bytes].view(slot.dtype).reshape(slot.shape)
        start += slot.room


def _stride(slots: tuple[Slot, ...]) -> int:
    return bytes_needed(1, slots)


def _free_space(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _installed_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _also(beside: int) -> str:
    return f" beside {shown(beside)} for the other side" if beside else ""


def shown(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
