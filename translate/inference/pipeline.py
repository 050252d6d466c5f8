"""Work in threads with bounded room, and pictures gathered into batches of one size. Imports no torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

HELD_PIXELS = 64_000_000
"""Decoded pixels that may wait for others of their size: a few hundred megabytes at most."""


def ahead(
    pool: Executor, work: Callable[[T], R], items: Iterable[T], *, room: Callable[[R | None], int]
) -> Iterator[R]:
    """`work` on `items` in the pool, in order.

    `room(latest)` says how many may be under way or waiting to be taken, once `latest` (None at first) was taken.
    """
    under_way: deque[Future[R]] = deque()
    latest: R | None = None
    for item in items:
        under_way.append(pool.submit(work, item))
        while len(under_way) >= room(latest):
            latest = under_way.popleft().result()
            yield latest
    while under_way:
        yield under_way.popleft().result()


class Behind(Generic[R]):
    """Finishes work in the pool behind the caller. `done` gets every result in the caller's own thread."""

    def __init__(self, pool: Executor, done: Callable[[R], None]) -> None:
        self._pool = pool
        self._done = done
        self._under_way: deque[Future[R]] = deque()

    def put(self, work: Callable[[], R], *, room: int) -> None:
        """Hand over a piece of work, and wait until at most `room` are under way. Raises what earlier ones raised."""
        self._under_way.append(self._pool.submit(work))
        while self._under_way and (len(self._under_way) > room or self._under_way[0].done()):
            self._done(self._under_way.popleft().result())

    def finish(self) -> None:
        """Wait for all of them."""
        while self._under_way:
            self._done(self._under_way.popleft().result())


def by_size(
    items: Iterable[T],
    *,
    size: Callable[[T], tuple[int, int]],
    batch: Callable[[int, int], int],
    look_ahead: int,
) -> Iterator[list[T]]:
    """Lists of up to `batch(height, width)` items of one size (height, width).

    At most `look_ahead` items, and `HELD_PIXELS` pixels, wait for more of their size; beyond that the fullest
    list goes as it is.
    """
    waiting: dict[tuple[int, int], list[T]] = {}
    held = pixels = 0
    for item in items:
        height, width = size(item)
        waiting.setdefault((height, width), []).append(item)
        held += 1
        pixels += height * width
        full = len(waiting[height, width]) >= batch(height, width)
        while full or held > look_ahead or pixels > HELD_PIXELS:
            chosen = (height, width) if full else max(waiting, key=lambda s: len(waiting[s]))
            ready = waiting.pop(chosen)
            held -= len(ready)
            pixels -= len(ready) * chosen[0] * chosen[1]
            full = False
            yield ready
    yield from waiting.values()
