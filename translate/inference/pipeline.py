"""Work in threads with bounded queues, and batches of pictures of one size. Imports no torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeVar

from translate.inference.process import undisturbed

T = TypeVar("T")
R = TypeVar("R")

HELD_BYTES = 2**28
"""Limit of the bytes in each of three queues: decoded, waiting for others of their size, and to be written. Small
pictures never reach it; the largest that `max_pixels` allows by default exceed it, and one of them is always let in."""


class Ahead(Generic[T, R]):
    """Runs `work` on items in a pool ahead of the caller; yields the results in the order of the items.

    As soon as one item is done the pool's threads begin the next, even while the caller is busy. While results of
    `HELD_BYTES` wait to be taken, none begins; up to `threads` more can be in memory, since the size of a result is not
    known before. A context: no work begins after it is left.
    """

    def __init__(
        self,
        pool: Executor,
        work: Callable[[T], R],
        items: Iterable[T],
        *,
        threads: int,
        room: Callable[[R | None], int],
        weight: Callable[[R], int],
    ) -> None:
        """`room(latest)`: how many items may be in work or wait to be taken after the result `latest` (None at first).

        `weight(result)`: its bytes in memory.
        """
        self._pool, self._work, self._items = pool, work, iter(items)
        self._threads, self._room, self._weight = threads, room, weight
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._under_way: deque[Future[R]] = deque()
        self._running = self._held = 0
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._open = False

    def __iter__(self) -> Iterator[R]:
        latest: R | None = None
        while True:
            with self._lock:
                free = self._room(latest) - len(self._waiting) - len(self._under_way)
            more = list(
                islice(self._items, max(free, 0))
            )  # in the caller's thread, so that its errors are raised there
            with self._lock:
                self._waiting.extend(more)
            self._begin()
            if not self._under_way:
                return
            latest = self._under_way[0].result()
            with self._lock:
                self._under_way.popleft()
                self._held -= self._weight(latest)
            self._begin()
            yield latest

    def _begin(self) -> None:
        with self._lock:
            while self._waiting and self._open and self._running < self._threads:
                if self._held >= HELD_BYTES and self._under_way:
                    return
                self._running += 1
                self._under_way.append(self._pool.submit(self._do, self._waiting.popleft()))

    def _do(self, item: T) -> R:
        held = 0
        try:
            result = self._work(item)
            held = self._weight(result)
        finally:
            with self._lock:
                self._running -= 1
                self._held += held
        self._begin()
        return result


class _Piece(Generic[R]):
    """Submitted work that keeps its own result: a signal may come before its future is assigned, or while it is read.

    `weight`: the bytes that it keeps in memory.
    """

    future: Future[R]

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.results: list[R] = []

    def do(self, work: Callable[[], R]) -> R:
        self.results.append(work())
        return self.results[0]


class Behind(Generic[R]):
    """Finishes work in a pool after the caller. `done(result)` is called in the caller's thread, in order."""

    def __init__(self, pool: Executor, done: Callable[[R], None]) -> None:
        self._pool = pool
        self._done = done
        self._under_way: deque[_Piece[R]] = deque()
        self._held = 0

    def put(self, work: Callable[[], R], *, room: int, weight: int = 0) -> None:
        """Submit work that keeps `weight` bytes in memory. Raises the errors of earlier work.

        Waits until at most `room` pieces of work are open, and hold at most `HELD_BYTES` unless there is only one.
        """
        piece: _Piece[R] = _Piece(weight)
        self._under_way.append(piece)
        self._held += weight
        piece.future = self._pool.submit(piece.do, work)
        while self._under_way and (self._crowded(room) or self._under_way[0].future.done()):
            self._take()

    def finish(self) -> None:
        """Wait for all work."""
        while self._under_way:
            self._take()

    def settle(self) -> None:
        """After an early shutdown of the pool: take the finished results and drop the rest."""
        while self._under_way:
            for result in self._under_way.popleft().results:
                self._done(result)

    def _crowded(self, room: int) -> bool:
        return len(self._under_way) > room or (self._held > HELD_BYTES and len(self._under_way) > 1)

    def _take(self) -> None:
        wait([self._under_way[0].future])  # if a signal comes now, `settle` still finds it
        with undisturbed():  # what is taken away is counted, too
            piece = self._under_way.popleft()
            self._held -= piece.weight
            self._done(piece.future.result())


def by_size(
    items: Iterable[T],
    *,
    size: Callable[[T], tuple[int, int]],
    weight: Callable[[T], int],
    batch: Callable[[int, int], int],
    look_ahead: int,
) -> Iterator[list[T]]:
    """Lists of up to `batch(height, width)` items of one size (height, width).

    At most `look_ahead` items, and `HELD_BYTES` by their `weight` or a single item, wait for more of their size;
    beyond that the longest list is yielded as it is.
    """
    waiting: dict[tuple[int, int], list[T]] = {}
    held = total = 0
    for item in items:
        height, width = size(item)
        waiting.setdefault((height, width), []).append(item)
        held += 1
        total += weight(item)
        full = len(waiting[height, width]) >= batch(height, width)
        while full or held > look_ahead or total > HELD_BYTES:
            chosen = (height, width) if full else max(waiting, key=lambda s: len(waiting[s]))
            ready = waiting.pop(chosen)
            held -= len(ready)
            total -= sum(weight(one) for one in ready)
            full = False
            yield ready
    yield from waiting.values()
