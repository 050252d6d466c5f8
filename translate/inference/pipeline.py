"""Work in threads with bounded room, and pictures gathered into batches of one size. Imports no torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

HELD_BYTES = 2**28
"""That may wait in each of three places: before the next, for others of their size, and to be written. Small pictures
never reach it; the largest that `max_pixels` allows by default take more, and one is always let through."""


class Ahead(Generic[T, R]):
    """`work` on items in the pool ahead of the caller, whose results come in the order of the items.

    As soon as one piece of work ends the next begins, in the pool's own threads, so that the caller may be busy for
    long. While results of `HELD_BYTES` wait to be taken none begins: with them up to `threads` more can be in memory,
    since nobody knows how large a result will be. To be used as a context, which ends the handing over of work.
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
        """`room(latest)` says how many items may be under way or wait to be taken, once `latest` (None at first) was.

        `weight` is the bytes that a result takes.
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
            more = list(islice(self._items, max(free, 0)))  # in the caller's thread, who gets what goes wrong here
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
    """Work handed over, which keeps its own result: a signal may come before its future is known, or while it is read.

    `weight` is the bytes that it keeps in memory.
    """

    future: Future[R]

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.results: list[R] = []

    def do(self, work: Callable[[], R]) -> R:
        self.results.append(work())
        return self.results[0]


class Behind(Generic[R]):
    """Finishes work in the pool behind the caller. `done` gets every result in the caller's own thread, in order."""

    def __init__(self, pool: Executor, done: Callable[[R], None]) -> None:
        self._pool = pool
        self._done = done
        self._under_way: deque[_Piece[R]] = deque()
        self._held = 0

    def put(self, work: Callable[[], R], *, room: int, weight: int = 0) -> None:
        """Hand over a piece of work that keeps `weight` bytes in memory. Raises what earlier ones raised.

        Waits until at most `room` are under way, and hold at most `HELD_BYTES` or are a single one.
        """
        piece: _Piece[R] = _Piece(weight)
        self._under_way.append(piece)
        self._held += weight
        piece.future = self._pool.submit(piece.do, work)
        while self._under_way and (self._crowded(room) or self._under_way[0].future.done()):
            self._take()

    def finish(self) -> None:
        """Wait for all of them."""
        while self._under_way:
            self._take()

    def settle(self) -> None:
        """Take what has been done well, once the pool was shut down early, and let go of the rest."""
        while self._under_way:
            for result in self._under_way.popleft().results:
                self._done(result)

    def _crowded(self, room: int) -> bool:
        return len(self._under_way) > room or (self._held > HELD_BYTES and len(self._under_way) > 1)

    def _take(self) -> None:
        wait([self._under_way[0].future])  # a signal meanwhile leaves it where `settle` finds it
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
    beyond that the fullest list goes as it is.
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
