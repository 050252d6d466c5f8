"""Batches: pure functions of seed and number, whatever the workers, the cache and where a run starts."""

import itertools
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.batch import RawBatch
from translate.datasets import batches
from translate.datasets.batches import ordered_batches, training_batches, training_order
from translate.datasets.derive import DERIVATIONS, derived_spec
from translate.datasets.examples.paired import PairDataset
from translate.datasets.pairs import Pair, View
from translate.draws import Draw
from translate.images import ImageError, ImageSpec
from translate.settings import DataSettings

SIZE = 16
COUNT = 7
COLOUR = ImageSpec(channels=3)
MakeDataset = Callable[..., PairDataset]
EVERYTHING = {"flip_vertical": True, "rotate": 20, "zoom": 0.1, "photometric": 0.3}


@pytest.fixture
def make(tmp_path: Path) -> MakeDataset:
    """Datasets of seven small pictures; the source is the negative of the target, or derived."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(COUNT):
        pixels = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
        source, target = tmp_path / f"{index}-a.png", tmp_path / f"{index}-b.png"
        Image.fromarray(pixels).save(target)
        Image.fromarray(255 - pixels).save(source)
        pairs.append(Pair(name=str(index), target=View(target), source=View(source)))

    def made(*, train: bool = True, seed: int = 0, pairs: list[Pair] = pairs, **changes: Any) -> PairDataset:
        settings = DataSettings.make({"data": tmp_path, "size": SIZE, **changes})
        source = COLOUR
        if settings.derive is not None:
            source = derived_spec(settings.derive, COLOUR)
            pairs = [Pair(name=pair.name, target=pair.target) for pair in pairs]
        return PairDataset(pairs, settings=settings, source=source, target=COLOUR, train=train, seed=seed)

    return made


def taken(batches: Iterator[RawBatch], count: int) -> list[RawBatch]:
    return list(itertools.islice(batches, count))


def assert_equal(some: list[RawBatch], others: list[RawBatch]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.names == other.names
        assert one.draws.keys() == other.draws.keys()
        assert all(torch.equal(values, other.draws[name]) for name, values in one.draws.items())
        assert torch.equal(one.source, other.source)
        assert torch.equal(one.target, other.target)


@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"fit": "cover"}, {"fit": "none"}])
def test_source_and_target_move_together(make: MakeDataset, changes: dict[str, Any]) -> None:
    dataset = make(**{**changes, "photometric": 0})
    for batch in taken(training_batches(dataset, batch=2, seed=0), 8):
        assert batch.source.shape == batch.target.shape == (2, SIZE, SIZE, 3)
        assert batch.source.dtype == torch.uint8
        negative = 255 - batch.source.int()
        assert (negative - batch.target.int()).abs().max() <= 1  # rounding of a half


def test_photometric_changes_the_source_only(make: MakeDataset) -> None:
    plain, relit = (taken(training_batches(make(photometric=p), batch=2, seed=0), 4) for p in (0, 0.5))
    for one, other in zip(plain, relit, strict=True):
        assert torch.equal(one.target, other.target)
        assert not torch.equal(one.source, other.source)


def test_an_example_is_a_function_of_seed_epoch_and_index(make: MakeDataset) -> None:
    dataset = make(**EVERYTHING)
    first = dataset[3, 2]
    for key in [(0, 0), (5, 6), (3, 1)]:
        dataset[key]  # what came before does not matter
    for again in (dataset[3, 2], make(**EVERYTHING)[3, 2]):
        np.testing.assert_array_equal(first.source, again.source)
        np.testing.assert_array_equal(first.target, again.target)
    for other in (dataset[4, 2], make(seed=1, **EVERYTHING)[3, 2]):
        assert not np.array_equal(first.target, other.target)


def test_each_example_has_random_numbers_of_its_own(make: MakeDataset) -> None:
    """Of (seed, epoch, index, name) alone: neither the batch, nor the workers, nor what else is drawn change them."""
    draws = {"one": Draw("uniform"), "other": Draw("uniform")}
    dataset = make()

    def numbers(batches: Iterator[RawBatch], count: int, name: str = "one") -> list[float]:
        return [float(x) for batch in taken(batches, count) for x in batch.draws[name]]

    found = numbers(training_batches(dataset, batch=2, seed=0, draws=draws), 7)
    assert len(set(found)) == 14  # two epochs
    assert found == numbers(training_batches(dataset, batch=7, seed=0, draws={"one": Draw("uniform")}), 2)
    assert found[2:] == numbers(training_batches(dataset, batch=2, seed=0, draws=draws, start=2), 6)
    other = numbers(training_batches(dataset, batch=2, seed=0, draws=draws), 7, "other")
    assert not set(found) & set(other)
    assert not set(found) & set(numbers(training_batches(dataset, batch=2, seed=1, draws=draws), 7))
    assert not ordered_batches(dataset, batch=2).__next__().draws


@pytest.mark.parametrize("changes", [{}, {**EVERYTHING, "derive": "noise"}])
def test_the_number_of_workers_does_not_matter(make: MakeDataset, changes: dict[str, Any]) -> None:
    dataset = make(**changes)
    alone, helped = (taken(training_batches(dataset, batch=3, seed=4, workers=n), 6) for n in (0, 2))
    assert_equal(alone, helped)
    validation = make(train=False, **changes)
    alone, helped = (list(ordered_batches(validation, batch=3, workers=n)) for n in (0, 2))
    assert_equal(alone, helped)


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
@pytest.mark.parametrize("start", [1, 2, 5])
def test_starting_late_is_skipping(make: MakeDataset, batch: int, start: int) -> None:
    dataset = make(**EVERYTHING)
    whole = taken(training_batches(dataset, batch=batch, seed=0), start + 3)
    assert_equal(whole[start:], taken(training_batches(dataset, batch=batch, seed=0, start=start * batch), 3))


def test_every_batch_is_full_and_every_epoch_whole(make: MakeDataset) -> None:
    batches = taken(training_batches(make(), batch=3, seed=0), 14)  # 42 examples: six epochs
    assert {len(batch) for batch in batches} == {3}
    names = [name for batch in batches for name in batch.names]
    epochs = [tuple(names[start : start + COUNT]) for start in range(0, 42, COUNT)]
    assert all(sorted(epoch) == [str(i) for i in range(COUNT)] for epoch in epochs)
    assert len(set(epochs)) == 6
    larger = taken(training_batches(make(), batch=10, seed=0), 4)
    assert [name for batch in larger for name in batch.names] == names[:40]


@pytest.mark.parametrize("changes", [{}, {**EVERYTHING, "derive": "noise"}])
def test_two_processes_see_together_what_one_would(make: MakeDataset, changes: dict[str, Any]) -> None:
    dataset = make(**changes)
    whole = taken(training_batches(dataset, batch=4, seed=0, start=3), 5)
    halves = [
        taken(training_batches(dataset, batch=2, seed=0, start=3, rank=rank, processes=2), 5) for rank in range(2)
    ]
    for rank, half in enumerate(halves):
        part = slice(2 * rank, 2 * rank + 2)
        assert_equal(half, [b[part] for b in whole])


def test_the_order_depends_on_the_seed_only() -> None:
    def order(seed: int, start: int = 0) -> list[tuple[int, int]]:
        return list(itertools.islice(training_order(5, seed=seed, start=start), 20))

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[7:] == order(1, start=7)[:13]
    assert [epoch for epoch, _ in order(1)] == [position // 5 for position in range(20)]


@pytest.mark.parametrize("fit", ["stretch", "cover", "none"])
def test_validation_is_once_through_in_order_and_always_the_same(make: MakeDataset, fit: str) -> None:
    crop = {"val_crop": True} if fit == "none" else {}
    dataset = make(train=False, fit=fit, **EVERYTHING, **crop)
    batches = list(ordered_batches(dataset, batch=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [name for batch in batches for name in batch.names] == [str(i) for i in range(COUNT)]
    assert batches[0].target.shape == (3, SIZE, SIZE, 3)
    assert_equal(batches, list(ordered_batches(make(train=False, seed=9, fit=fit, **crop), batch=3)))


def test_validation_without_resizing_takes_all_or_the_middle(make: MakeDataset) -> None:
    whole, middle = (make(train=False, fit="none", val_crop=crop) for crop in (False, True))
    stored = np.asarray(Image.open(whole.pairs[0].target.path))
    np.testing.assert_array_equal(whole[0, 0].target, stored)
    np.testing.assert_array_equal(middle[0, 0].target, stored[4:20, 2:18])


@pytest.mark.parametrize("name", DERIVATIONS)
def test_derived_sources_come_from_the_augmented_target(make: MakeDataset, name: str) -> None:
    dataset = make(derive=name)
    example, again = dataset[0, 3], dataset[0, 3]
    np.testing.assert_array_equal(example.source, again.source)
    assert example.source.shape == (SIZE, SIZE, dataset.source.channels)
    if name == "gray":
        luma = example.target.astype(float) @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(example.source[..., 0], luma, atol=1)
    if name == "holes":  # others in every epoch, the same ones in every validation
        validation = make(derive=name, train=False)
        assert not np.array_equal(example.source[..., 3], dataset[1, 3].source[..., 3])
        np.testing.assert_array_equal(validation[0, 3].source, validation[1, 3].source)
        assert not np.array_equal(validation[0, 3].source[..., 3], validation[0, 4].source[..., 3])


def test_relighting_leaves_derived_outlines_and_masks_alone(make: MakeDataset) -> None:
    holes = make(derive="holes", photometric=1)[0, 0]
    assert set(np.unique(holes.source[..., 3])) == {0, 255}
    assert not holes.source[holes.source[..., 3] == 0].any()
    seen = holes.source[..., 3] == 255
    assert not np.array_equal(holes.source[seen][:, :3], holes.target[seen])
    assert set(np.unique(make(derive="edges", photometric=1)[0, 0].source)) <= {0, 255}


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"derive": "blur"}])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_no_pixel(
    make: MakeDataset, tmp_path: Path, kind: str, changes: dict[str, Any], workers: int
) -> None:
    plain = taken(training_batches(make(**changes), batch=3, seed=0), 5)
    cached = make(cache=kind, **changes).with_cache(folder=tmp_path / "cache", fingerprint="f")
    for pair in cached.pairs:
        pair.target.path.unlink()  # the files are not read again
    assert_equal(plain, taken(training_batches(cached, batch=3, seed=0, workers=workers), 5))


@pytest.mark.parametrize("changes", [EVERYTHING, {"derive": "blur"}])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_read_once_is_kept_and_shared_and_changes_no_pixel(
    make: MakeDataset, changes: dict[str, Any], workers: int
) -> None:
    plain = taken(training_batches(make(cache="none", **changes), batch=3, seed=0), 7)
    kept = make(**changes).with_cache()
    assert kept.growing >= COUNT * SIZE * SIZE * 3
    first = taken(training_batches(kept, batch=3, seed=0, workers=workers), 5)  # of these seven, each twice
    for pair in kept.pairs:
        pair.target.path.unlink()
    assert_equal(plain, first + taken(training_batches(kept, batch=3, seed=0, start=15), 2))


def test_a_disk_cache_is_used_again_until_something_changes(make: MakeDataset, tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    def files(fingerprint: str = "f", **changes: Any) -> set[str]:
        make(**{"cache": "disk", **changes}).with_cache(folder=folder, fingerprint=fingerprint)
        return {path.name for path in folder.iterdir()}

    first = files()
    written = next(folder.iterdir()).stat().st_mtime_ns
    assert files(flip=False, rotate=10) == first  # applied to what is cached
    assert next(folder.iterdir()).stat().st_mtime_ns == written
    others: list[dict[str, Any]] = [
        {"load_size": 30},
        {"train": False},
        {"fingerprint": "g"},
        {"derive": "gray"},
    ]
    for count, changes in enumerate(others, 2):
        assert len(files(**changes)) == count


def test_cache_settings_that_cannot_be(make: MakeDataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--cache memory needs --fit stretch"):
        make(cache="memory", fit="cover")
    for dataset in (make(cache="none"), make(fit="cover")):
        assert dataset.with_cache() is dataset


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_vanishes_is_one_line_that_names_it(
    make: MakeDataset, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RETRIES", (0.01,))
    dataset = make()
    lost = dataset.pairs[4].target.path
    lost.unlink()
    with pytest.raises(ImageError, match=r"^\S*4-b.png: ") as caught:
        taken(training_batches(dataset, batch=2, seed=0, workers=workers), 5)
    assert "\n" not in str(caught.value)


def test_sizes_that_do_not_match_name_the_file(make: MakeDataset) -> None:
    dataset = make(fit="none")
    Image.new("RGB", (50, 40)).save(dataset.pairs[0].target.path)
    with pytest.raises(ImageError, match=r"0-b.png: the source is 20x24 pixels and the target 50x40"):
        dataset[0, 0]


def test_no_pairs(make: MakeDataset) -> None:
    with pytest.raises(ValueError, match="no training pictures"):
        training_batches(make(pairs=[]), batch=1, seed=0)
    assert list(ordered_batches(make(pairs=[]), batch=1)) == []


def test_a_wrong_derivation_is_found_at_once(make: MakeDataset) -> None:
    with pytest.raises(ValueError, match="means nothing to --derive gray"):
        make(derive="gray", derive_amount=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_state_of_training_is_left_alone(make: MakeDataset, workers: int) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    taken(training_batches(make(**EVERYTHING), batch=2, seed=0, workers=workers), 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_workers_end_with_the_iterator_and_ignore_ctrl_c(make: MakeDataset) -> None:
    batches = training_batches(make(), batch=2, seed=0, workers=2)
    taken(batches, 5)  # more than a message of one worker, so that both have begun
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
    taken(batches, 4)
    assert all(worker.is_alive() for worker in workers)
    del batches
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_depth_survives_the_way_through_a_worker(make: MakeDataset, dtype: str) -> None:
    """Batches as they are for sixteen-bit and float pictures, made by hand: reading has its own tests."""

    class Deep(PairDataset):
        def load(self, index: int) -> Any:
            picture = (np.random.default_rng(index).random((18, 18, 5)) * 60000).astype(dtype)
            return picture, picture

    spec = ImageSpec(channels=5, dtype=dtype, low=0, high=60000)
    plain = make(**EVERYTHING)
    dataset = Deep(plain.pairs, settings=plain.settings, source=spec, target=spec, train=True, seed=0)
    alone, helped = (taken(training_batches(dataset, batch=2, seed=0, workers=n), 2) for n in (0, 1))
    assert_equal(alone, helped)
    assert alone[0].source.dtype == getattr(torch, dtype)
    assert alone[0].source.shape == (2, SIZE, SIZE, 5)


def test_a_dataset_can_be_sent_to_spawned_workers(make: MakeDataset) -> None:
    dataset = make(**EVERYTHING)
    sent: PairDataset = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(dataset[1, 2].source, sent[1, 2].source)
