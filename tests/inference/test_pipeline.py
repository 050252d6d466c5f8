"""Work in threads is bounded, in order, and complete; batches hold one size and never wait for ever."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from translate.inference import pipeline
from translate.inference.pipeline import Ahead, Behind, by_size
from translate.inference.process import SWITCH_SECONDS, Interrupted, short_turns, stoppable


def nothing(result: object) -> int:
    """The weight of results that are not weighed."""
    return 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true, within ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_turns_are_short_for_the_time_of_the_work_only() -> None:
    before = sys.getswitchinterval()
    inside: list[float] = []

    def fail() -> None:
        inside.append(sys.getswitchinterval())
        raise RuntimeError

    with pytest.raises(RuntimeError), short_turns():
        fail()
    assert inside == [pytest.approx(SWITCH_SECONDS)]
    assert sys.getswitchinterval() == before


def test_ahead_keeps_order_and_bound() -> None:
    lock = threading.Lock()
    started: list[int] = []

    def work(item: int) -> int:
        with lock:
            started.append(item)
        time.sleep(0.001 * (item % 3))
        return item

    taken = 0
    with (
        ThreadPoolExecutor(4) as pool,
        Ahead(pool, work, range(40), threads=4, room=lambda latest: 5, weight=nothing) as ahead,
    ):
        for item in ahead:
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

    with ThreadPoolExecutor(1) as pool, Ahead(pool, abs, source(), threads=1, room=room, weight=nothing) as ahead:
        handed_over = [len(drawn) - item for item in ahead]
    assert handed_over == [1, 2, 2, 2, 5, 5, 4, 3, 2, 2, 2, 1]


def test_ahead_goes_on_while_its_caller_is_busy() -> None:
    """Though it hands over no more than there are threads: the caller does not have to come back for the next."""
    done: list[int] = []
    with (
        ThreadPoolExecutor(2) as pool,
        Ahead(pool, done.append, range(20), threads=2, room=lambda latest: 8, weight=nothing) as ahead,
    ):
        next(iter(ahead))
        wait_for(lambda: len(done) == 8)


def test_ahead_holds_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there is room for: what is held, and one more a thread, whose size nobody knew before."""
    monkeypatch.setattr(pipeline, "HELD_BYTES", 100)
    lock = threading.Lock()
    in_memory = most = 0

    def work(item: int) -> bytes:
        nonlocal in_memory, most
        with lock:
            in_memory += 30
            most = max(most, in_memory)
        return bytes(30)

    with (
        ThreadPoolExecutor(3) as pool,
        Ahead(pool, work, range(60), threads=3, room=lambda latest: 50, weight=len) as ahead,
    ):
        for _ in ahead:
            time.sleep(0.002)
            with lock:
                in_memory -= 30
    assert 100 <= most <= 120 + 3 * 30  # the one that was taken is in memory, too


def test_ahead_lets_a_large_one_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "HELD_BYTES", 0)
    with (
        ThreadPoolExecutor(2) as pool,
        Ahead(pool, abs, range(9), threads=2, room=lambda latest: 4, weight=lambda result: 10) as ahead,
    ):
        assert list(ahead) == list(range(9))


def test_ahead_raises_what_its_items_or_its_work_raise() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with (
        ThreadPoolExecutor(2) as pool,
        Ahead(pool, abs, source(), threads=2, room=lambda latest: 1, weight=nothing) as ahead,
        pytest.raises(ZeroDivisionError),
    ):
        list(ahead)

    def work(item: int) -> int:
        return 1 // (3 - item)

    with (
        ThreadPoolExecutor(2) as pool,
        Ahead(pool, work, range(9), threads=2, room=lambda latest: 4, weight=nothing) as ahead,
        pytest.raises(ZeroDivisionError),
    ):
        list(ahead)


def test_behind_holds_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "HELD_BYTES", 100)
    lock, done = threading.Lock(), 0

    def work() -> None:
        nonlocal done
        time.sleep(0.002)
        with lock:
            done += 1

    with ThreadPoolExecutor(2) as pool:
        behind: Behind[None] = Behind(pool, lambda result: None)
        for handed_over in range(1, 31):
            behind.put(work, room=50, weight=200 if handed_over == 15 else 30)
            assert handed_over - done <= 3
        behind.finish()
    assert done == 30


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
    groups = list(by_size(items, size=lambda item: item, weight=nothing, batch=lambda height, width: 2, look_ahead=10))
    assert groups == [[(1, 1)] * 2, [(2, 2)] * 2, [(1, 1)] * 2, [(3, 3)]]


def test_by_size_does_not_wait_beyond_its_look_ahead() -> None:
    drawn: list[int] = []

    def source() -> Iterator[tuple[int, int]]:
        for n in range(100):
            drawn.append(n)
            yield (n, 1)  # no two of a size

    waiting: list[int] = []
    for done, group in enumerate(
        by_size(source(), size=lambda item: item, weight=nothing, batch=lambda height, width: 4, look_ahead=6), 1
    ):
        assert len(group) == 1
        waiting.append(len(drawn) - done)
    assert len(waiting) == 100
    assert max(waiting) <= 6


def test_by_size_bounds_the_bytes_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "HELD_BYTES", 100)
    huge = (51, 1)
    items = iter([huge, (1, 1), huge, (2, 2)])
    groups = by_size(
        items,
        size=lambda item: item,
        weight=lambda item: item[0] * item[1],
        batch=lambda height, width: 3,
        look_ahead=100,
    )
    assert next(groups) == [huge, huge]
    assert list(items) == [(2, 2)]


@pytest.mark.parametrize("moment", ["handing over", "waiting"])
def test_what_was_done_counts_whenever_the_signal_comes(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """After the work was queued and before anybody knows its future, or while its result is waited for."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if moment == "waiting":
        monkeypatch.setattr(pipeline, "wait", interrupt)
    seen: list[int] = []
    pool = ThreadPoolExecutor(1)
    submit = pool.submit

    def submitted(work: Callable[..., int], *arguments: object) -> Future[int]:
        future = submit(work, *arguments)
        if moment == "handing over":
            raise KeyboardInterrupt
        return future

    monkeypatch.setattr(pool, "submit", submitted)
    behind: Behind[int] = Behind(pool, seen.append)
    with pytest.raises(KeyboardInterrupt):
        behind.put(lambda: 7, room=0)
    pool.shutdown(wait=True)
    behind.settle()
    assert seen == [7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_result_is_counted_comes_once_it_is(number: signal.Signals) -> None:
    seen: list[int] = []

    def count(result: int) -> None:
        if result == 3:
            signal.raise_signal(number)
        seen.append(result)

    with ThreadPoolExecutor(1) as pool, stoppable():
        behind: Behind[int] = Behind(pool, count)
        for result in range(3):
            behind.put(partial(int, result), room=0)
        with pytest.raises(Interrupted) as stopped:
            behind.put(partial(int, 3), room=0)
        pool.shutdown()
        behind.settle()
    assert stopped.value.number == number
    assert seen == [0, 1, 2, 3]
