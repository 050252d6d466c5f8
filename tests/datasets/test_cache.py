"""Blocks of decoded pictures: the same pixels back, reused when they are still true, never half written."""

import pickle
import threading
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from translate.datasets.examples import cache as caches
from translate.datasets.examples.cache import (
    Cache,
    GrowingCache,
    Item,
    Slot,
    bytes_needed,
    cache_key,
    disk_cache,
    memory_cache,
)
from translate.images import ImageError

SLOTS = (Slot((5, 7, 3), "uint8"), Slot((4, 4, 1), "uint16"), Slot((3, 2, 5), "float32"))
COUNT = 150  # more than are decoded ahead


class Decoder:
    """Counts how often each example is decoded."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self, index: int) -> Item:
        with self._lock:
            self.calls += 1
        if index == self.broken:
            raise ImageError("some/file.png: gone")
        rng = np.random.default_rng(index)
        return tuple((rng.random(slot.shape) * 255).astype(slot.dtype) for slot in SLOTS)


def assert_whole(cache: Cache | GrowingCache) -> None:
    assert len(cache) == COUNT
    for index in range(COUNT):
        for kept, decoded in zip(cache[index], Decoder()(index), strict=True):
            assert kept.dtype == decoded.dtype
            np.testing.assert_array_equal(kept, decoded)
            assert kept.ctypes.data % kept.itemsize == 0
            assert not kept.flags.writeable


def test_memory_gives_back_what_was_decoded() -> None:
    decoder = Decoder()
    assert_whole(memory_cache(decoder, count=COUNT, slots=SLOTS))
    assert decoder.calls == COUNT


def test_disk_gives_back_what_was_decoded_and_is_used_again(tmp_path: Path) -> None:
    decoder, folder = Decoder(), tmp_path / "run" / "cache"
    assert_whole(disk_cache(decoder, count=COUNT, slots=SLOTS, folder=folder, key="k"))
    assert_whole(disk_cache(decoder, count=COUNT, slots=SLOTS, folder=folder, key="k"))
    assert decoder.calls == COUNT
    assert [path.name for path in folder.iterdir()] == ["k.pairs"]
    disk_cache(decoder, count=COUNT, slots=SLOTS, folder=folder, key="other")
    assert decoder.calls == 2 * COUNT


def test_a_shortened_file_is_written_anew_and_leftovers_go(tmp_path: Path) -> None:
    disk_cache(Decoder(), count=COUNT, slots=SLOTS, folder=tmp_path, key="k")
    path = tmp_path / "k.pairs"
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / ".k-abc.pairs").write_bytes(b"of a run that was killed")
    (tmp_path / "mine.txt").write_text("stays")
    assert_whole(disk_cache(Decoder(), count=COUNT, slots=SLOTS, folder=tmp_path, key="k"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.pairs", "mine.txt"]


def test_nothing_stays_of_a_cache_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"some/file.png: gone"):
        disk_cache(Decoder(broken=100), count=COUNT, slots=SLOTS, folder=tmp_path, key="k")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImageError, match=r"some/file.png: gone"):
        memory_cache(Decoder(broken=100), count=COUNT, slots=SLOTS)


def test_too_little_room_is_an_error_before_anything_is_decoded(tmp_path: Path) -> None:
    decoder, slots = Decoder(), (Slot((1000, 1000, 3), "uint8"),)
    with pytest.raises(ValueError, match=r"--cache disk needs 3.0 GB for 1000 examples.* has 50.0 MB free"):
        disk_cache(decoder, count=1000, slots=slots, folder=tmp_path, key="k", free=lambda folder: 50_000_000)
    with pytest.raises(ValueError, match=r"--cache memory needs 3.0 GB for 1000 examples.* has 2.0 GB"):
        memory_cache(decoder, count=1000, slots=slots, installed=lambda: 2_000_000_000)
    assert decoder.calls == 0
    assert list(tmp_path.iterdir()) == []
    exactly = COUNT * (128 + 64 + 128)  # 105, 32 and 120 bytes, each rounded up to 64
    disk_cache(decoder, count=COUNT, slots=SLOTS, folder=tmp_path, key="k", free=lambda folder: exactly)
    memory_cache(decoder, count=COUNT, slots=SLOTS, installed=lambda: exactly)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match=r"--cache disk: .*file.* could not be written"):
        disk_cache(Decoder(), count=COUNT, slots=SLOTS, folder=tmp_path / "file", key="k")


def test_only_a_file_travels_to_another_process(tmp_path: Path) -> None:
    on_disk = disk_cache(Decoder(), count=COUNT, slots=SLOTS, folder=tmp_path, key="k")
    sent = pickle.dumps(on_disk)
    assert len(sent) < 2000
    assert_whole(pickle.loads(sent))
    with pytest.raises(ValueError, match="use --cache disk or --workers 0"):
        ForkingPickler.dumps(memory_cache(Decoder(), count=COUNT, slots=SLOTS))


def test_keys_tell_everything_apart() -> None:
    base = {"fingerprint": "f", "pairs": ["a", "b"], "side": 286}
    others = [{**base, "side": 287}, {**base, "pairs": ["b", "a"]}, {**base, "fingerprint": "g"}]
    assert cache_key(**base) == cache_key(**dict(reversed(base.items())))
    assert len({cache_key(**parts) for parts in [base, *others]}) == 4


def test_no_examples(tmp_path: Path) -> None:
    assert len(memory_cache(Decoder(), count=0, slots=SLOTS)) == 0
    assert len(disk_cache(Decoder(), count=0, slots=SLOTS, folder=tmp_path, key="k")) == 0


def test_two_caches_have_to_fit_beside_each_other(tmp_path: Path) -> None:
    slots = (Slot((1000, 1000, 3), "uint8"),)
    with pytest.raises(ValueError, match=r"needs 3.0 GB for 1000 examples beside 2.0 GB for the other side.* 4.0 GB"):
        memory_cache(Decoder(), count=1000, slots=slots, beside=2_000_000_000, installed=lambda: 4_000_000_000)
    with pytest.raises(ValueError, match=r"--cache disk needs 3.0 GB for 1000 examples beside 2.0 GB .* 4.0 GB free"):
        disk_cache(
            Decoder(),
            count=1000,
            slots=slots,
            folder=tmp_path,
            key="k",
            beside=2_000_000_000,
            free=lambda folder: 4_000_000_000,
        )
    assert bytes_needed(COUNT, SLOTS) == COUNT * (128 + 64 + 128)  # what is tested to fit above


def test_what_grows_decodes_each_example_once_and_gives_back_the_same() -> None:
    decoder = Decoder()
    cache = GrowingCache(decoder, count=COUNT, slots=SLOTS)
    assert decoder.calls == 0
    assert cache.bytes == COUNT * (128 + 64 + 128)
    for _ in range(2):
        assert_whole(cache)
    assert decoder.calls == COUNT


def test_what_could_not_be_decoded_is_tried_again() -> None:
    decoder = Decoder(broken=3)
    cache = GrowingCache(decoder, count=COUNT, slots=SLOTS)
    for _ in range(2):
        with pytest.raises(ImageError, match="gone"):
            cache[3]
    decoder.broken = None
    assert_whole(cache)


def test_a_process_that_is_not_forked_has_none() -> None:
    assert pickle.loads(pickle.dumps(GrowingCache(Decoder(), count=COUNT, slots=SLOTS))) is None


def test_unasked_a_cache_takes_a_quarter_of_free_memory_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(free: int | None, *, count: int = COUNT, beside: int = 0) -> GrowingCache | None:
        monkeypatch.setattr(caches, "free_memory", lambda: free)
        return caches._growing(Decoder(), count=count, slots=SLOTS, beside=beside)

    needed = bytes_needed(COUNT, SLOTS)
    assert made(4 * needed) is not None
    assert made(4 * needed - 1) is None
    assert made(4 * needed, beside=1) is None  # for the other side
    assert made(None) is None
    assert made(10**9, count=0) is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each process has its own
    assert made(4 * needed) is None
    assert made(8 * needed) is not None


def test_a_cache_that_the_system_does_not_promise_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(caches.mmap, "mmap", refused)
    assert caches._growing(Decoder(), count=COUNT, slots=SLOTS, beside=0) is None
