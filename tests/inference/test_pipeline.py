"""Work in threads is bounded, in order, and complete; batches hold one size and never wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from translate.inference.pipeline import HELD_PIXELS, Behind, ahead, by_size


def test_ahead_keeps_order_and_bound() -> None:
    lock = threading.Lock()
    started: list[int] = []

    def work(item: int) -> int:
        with lock:
            started.append(item)
        time.sleep(0.001 * (item % 3))
        return item

    taken = 0
    with ThreadPoolExecutor(4) as pool:
        for item in ahead(pool, work, range(40), room=lambda latest: 5):
            assert item == taken
            taken += 1
            assert len(started) < taken + 5
    assert taken == 40


def test_ahead_changes_its_room_with_what_it_has_got() -> None:
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for n in range(12):
            drawn.append(n)
            yield n

    def room(latest: int | None) -> int:
        return 1 if latest is None else 5 if latest in (3, 4) else 2

    with ThreadPoolExecutor(1) as pool:
        handed_over = [len(drawn) - item for item in ahead(pool, abs, source(), room=room)]
    assert handed_over == [1, 2, 2, 2, 5, 5, 4, 3, 2, 2, 2, 1]


def test_behind_gives_every_result_and_every_error() -> None:
    results: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        behind = Behind(pool, results.append)
        for item in range(20):
            behind.put(partial(int, item), room=2)
        behind.finish()
        assert results == list(range(20))
        behind.put(lambda: 1 // 0, room=2)
        with pytest.raises(ZeroDivisionError):
            behind.finish()


def test_by_size_fills_batches_and_loses_nothing() -> None:
    items = [(1, 1), (2, 2), (1, 1), (3, 3), (1, 1), (2, 2), (1, 1)]
    groups = list(by_size(items, size=lambda item: item, batch=lambda height, width: 2, look_ahead=10))
    assert groups == [[(1, 1)] * 2, [(2, 2)] * 2, [(1, 1)] * 2, [(3, 3)]]


def test_by_size_does_not_wait_beyond_its_look_ahead() -> None:
    drawn: list[int] = []

    def source() -> Iterator[tuple[int, int]]:
        for n in range(100):
            drawn.append(n)
            yield (n, 1)  # no two of a size

    waiting: list[int] = []
    for done, group in enumerate(
        by_size(source(), size=lambda item: item, batch=lambda height, width: 4, look_ahead=6), 1
    ):
        assert len(group) == 1
        waiting.append(len(drawn) - done)
    assert len(waiting) == 100
    assert max(waiting) <= 6


def test_by_size_bounds_the_pixels_that_wait() -> None:
    huge = (HELD_PIXELS // 2 + 1, 1)
    items = iter([huge, (1, 1), huge, (2, 2)])
    groups = by_size(items, size=lambda item: item, batch=lambda height, width: 3, look_ahead=100)
    assert next(groups) == [huge, huge]
    assert list(items) == [(2, 2)]
