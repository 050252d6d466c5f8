"""Examples without pairs: who meets whom, each side on its own, and the same wherever and however they are read."""

import itertools
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.batch import RawBatch
from translate.datasets import batches
from translate.datasets.batches import ordered_batches, training_batches
from translate.datasets.examples.unpaired import UnpairedDataset
from translate.datasets.pairs import Pair, View
from translate.images import ImageError, ImageSpec
from translate.settings import DataSettings

SIZE, LOAD = 12, 16
COLOUR = ImageSpec(channels=3)
EVERYTHING = {"flip_vertical": True, "rotate": 20, "zoom": 0.1, "photometric": 0.3}
MakeDataset = Callable[..., UnpairedDataset]


@pytest.fixture
def make(tmp_path: Path) -> MakeDataset:
    """Datasets of pictures that tell their number (red: 10 times that, 5 more on side b), columns and rows."""

    def side(name: str, count: int) -> list[View]:
        rows, columns = np.mgrid[:LOAD, :LOAD]
        views = []
        for index in range(count):
            path = tmp_path / name / f"{index}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(
                np.stack([np.full_like(rows, 10 * index + 5 * (name == "b")), columns, rows], -1).astype(np.uint8)
            ).save(path)
            views.append(View(path))
        return views

    def made(
        sources: int = 5, targets: int = 3, *, train: bool = True, seed: int = 0, **changes: Any
    ) -> UnpairedDataset:
        pairs = [Pair(view.path.name, source=view) for view in side("a", sources)]
        pairs += [Pair(view.path.name, target=view) for view in side("b", targets)]
        settings = DataSettings.make({"data": tmp_path, "size": SIZE, "load_size": LOAD, **changes})
        return UnpairedDataset(pairs, settings=settings, source=COLOUR, target=COLOUR, train=train, seed=seed)

    return made


def number(pixels: Any) -> int:
    return int(pixels[0, 0, 0]) // 10


def met(dataset: UnpairedDataset, epoch: int) -> list[tuple[int, int]]:
    """Numbers of source and target of every example of an epoch."""
    examples = [dataset[epoch, index] for index in range(len(dataset))]
    return [(number(example.source), number(example.target)) for example in examples]


def place(pixels: np.ndarray) -> tuple[int, int, bool]:
    """Column and row of the crop, and whether it is mirrored."""
    return int(pixels[0, :, 1].min()), int(pixels[0, 0, 2]), bool(pixels[0, 0, 1] > pixels[0, -1, 1])


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


@pytest.mark.parametrize(("sources", "targets"), [(5, 3), (3, 7), (4, 4), (6, 1), (1, 1)])
def test_an_epoch_has_each_of_the_larger_side_once_and_the_smaller_evenly(
    make: MakeDataset, sources: int, targets: int
) -> None:
    dataset = make(sources, targets)
    assert len(dataset) == max(sources, targets)
    for epoch in range(4):
        for count, numbers in zip((sources, targets), zip(*met(dataset, epoch), strict=True), strict=True):
            times = Counter(numbers)
            assert set(times) == set(range(count))
            assert max(times.values()) - min(times.values()) <= (len(dataset) % count > 0)


def test_partners_are_drawn_afresh_each_epoch_until_everybody_has_met(make: MakeDataset) -> None:
    dataset = make(5, 3)
    epochs = [frozenset(met(dataset, epoch)) for epoch in range(60)]
    assert len(set(epochs)) > 40
    meetings = Counter(itertools.chain.from_iterable(epochs))
    assert set(meetings) == set(itertools.product(range(5), range(3)))
    # 60 epochs x 5 examples over 15 couples: 20 each, with a deviation of about 3.7
    assert 6 < min(meetings.values()) <= max(meetings.values()) < 36
    assert met(make(5, 3, seed=1), 0) != met(dataset, 0)


def test_crops_and_flips_of_the_sides_have_nothing_to_do_with_each_other(make: MakeDataset) -> None:
    dataset = make(3, 3)
    places = [
        (place(example.source), place(example.target))
        for epoch in range(200)
        for example in (dataset[epoch, index] for index in range(3))
    ]
    flips = Counter((source[2], target[2]) for source, target in places)
    assert len(flips) == 4
    assert 90 < min(flips.values()) <= max(flips.values()) < 220  # 150 each, deviation 11
    for axis in (0, 1):  # five columns and rows to crop at
        crops = np.array([(source[axis], target[axis]) for source, target in places])
        assert {tuple(crop) for crop in crops.tolist()} == set(itertools.product(range(5), range(5)))
        assert abs(np.corrcoef(crops.T)[0, 1]) < 0.2


def test_an_example_is_a_function_of_seed_epoch_and_index(make: MakeDataset) -> None:
    dataset = make(**EVERYTHING)
    first = dataset[3, 2]
    for key in [(0, 0), (5, 4), (3, 1)]:
        dataset[key]  # what came before does not matter
    for again in (dataset[3, 2], make(**EVERYTHING)[3, 2], pickle.loads(pickle.dumps(dataset))[3, 2]):
        np.testing.assert_array_equal(first.source, again.source)
        np.testing.assert_array_equal(first.target, again.target)
        assert first.name == again.name


@pytest.mark.parametrize("changes", [{}, {**EVERYTHING, "fit": "cover"}])
def test_the_number_of_workers_does_not_matter(make: MakeDataset, changes: dict[str, Any]) -> None:
    dataset = make(**changes)
    alone, helped = (taken(training_batches(dataset, batch=3, seed=4, workers=n), 9) for n in (0, 2))
    assert_equal(alone, helped)
    validation = make(train=False, **changes)
    alone, helped = (list(ordered_batches(validation, batch=2, workers=n)) for n in (0, 2))
    assert_equal(alone, helped)


@pytest.mark.parametrize("start", [1, 4, 5, 13])
def test_a_run_goes_on_exactly_where_it_stopped(make: MakeDataset, start: int) -> None:
    whole = taken(training_batches(make(**EVERYTHING), batch=1, seed=0), start + 8)
    assert_equal(whole[start:], taken(training_batches(make(**EVERYTHING), batch=1, seed=0, start=start), 8))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("batch", "processes", "start"), [(1, 2, 0), (2, 2, 3), (4, 2, 0), (1, 3, 7), (2, 3, 1)])
def test_processes_see_together_what_one_would(
    make: MakeDataset, batch: int, processes: int, start: int, workers: int
) -> None:
    """Over the ends of epochs of five, too."""
    dataset = make(**EVERYTHING)
    whole = taken(training_batches(dataset, batch=batch * processes, seed=2, start=start), 4)
    parts = [
        taken(
            training_batches(
                dataset, batch=batch, seed=2, start=start, rank=rank, processes=processes, workers=workers
            ),
            4,
        )
        for rank in range(processes)
    ]
    together = [
        RawBatch(
            {name: torch.cat([part.pictures[name] for part in shares]) for name in ("source", "target")},
            names=tuple(name for part in shares for name in part.names),
        )
        for shares in zip(*parts, strict=True)
    ]
    assert_equal(whole, together)


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_no_pixel(make: MakeDataset, tmp_path: Path, kind: str, workers: int) -> None:
    """The sides have the same names and the same shape here, and must not be taken for each other."""
    plain = taken(training_batches(make(4, 4, **EVERYTHING), batch=3, seed=0), 5)
    dataset = make(4, 4, cache=kind, **EVERYTHING)
    cached = dataset.with_cache(folder=tmp_path / "cache", fingerprint="f")
    for path in (*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()):
        path.unlink()  # the files are not read again
    assert_equal(plain, taken(training_batches(cached, batch=3, seed=0, workers=workers), 5))
    if kind == "disk":
        assert len(list((tmp_path / "cache").iterdir())) == 2


def test_what_was_read_once_is_kept_and_changes_no_pixel(make: MakeDataset, tmp_path: Path) -> None:
    plain = taken(training_batches(make(4, 4, cache="none", **EVERYTHING), batch=3, seed=0), 6)
    kept = make(4, 4, **EVERYTHING).with_cache()
    assert kept.growing > 0
    first = taken(training_batches(kept, batch=3, seed=0), 4)
    for path in (*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()):
        path.unlink()
    assert_equal(plain, first + taken(training_batches(kept, batch=3, seed=0, start=12), 2))


@pytest.mark.parametrize(("sources", "targets"), [(5, 3), (2, 4)])
def test_validation_takes_them_in_order_and_the_smaller_side_again(
    make: MakeDataset, sources: int, targets: int
) -> None:
    dataset = make(sources, targets, train=False, **EVERYTHING)
    expected = [(i % sources, i % targets) for i in range(max(sources, targets))]
    assert met(dataset, 0) == met(dataset, 7) == expected
    batches = list(ordered_batches(dataset, batch=2))
    assert_equal(batches, list(ordered_batches(make(sources, targets, train=False, seed=9), batch=2)))
    assert batches[0].names == ("0.png + 0.png", "1.png + 1.png")


@pytest.mark.parametrize(("crop", "expected"), [(True, (2, 2, False)), (False, (0, 0, False))])
def test_validation_without_resizing_takes_all_or_the_middle(
    make: MakeDataset, crop: bool, expected: tuple[int, int, bool]
) -> None:
    example = make(train=False, fit="none", load_size=None, val_crop=crop)[0, 2]
    assert place(example.source) == place(example.target) == expected


def test_photometric_changes_the_source_only(make: MakeDataset) -> None:
    plain, relit = (taken(training_batches(make(photometric=p), batch=2, seed=0), 4) for p in (0, 0.5))
    for one, other in zip(plain, relit, strict=True):
        assert torch.equal(one.target, other.target)
        assert not torch.equal(one.source, other.source)


def test_label_maps_of_either_side_keep_their_colours(tmp_path: Path) -> None:
    palette = np.array([(0, 0, 0), (200, 10, 0), (9, 250, 30)], np.uint8)
    rng = np.random.default_rng(0)
    maps, photos = tmp_path / "map.png", tmp_path / "photo.png"
    Image.fromarray(palette[rng.integers(0, 3, (20, 30))]).save(maps)
    Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(photos)
    labels = ImageSpec(channels=3, kind="labels", palette=tuple(map(tuple, palette.tolist())))
    for role, other in (("source", "target"), ("target", "source")):
        settings = DataSettings.make({"data": tmp_path, "size": SIZE, f"{role}_kind": "labels", "rotate": 20})
        if role == "target":
            settings = settings.replace(photometric=1)
        views: dict[str, View] = {role: View(maps), other: View(photos)}
        specs: dict[str, Any] = {role: labels, other: COLOUR}
        pairs = [Pair("x", source=views["source"]), Pair("y", target=views["target"])]
        dataset = UnpairedDataset(pairs, settings=settings, train=True, seed=0, **specs)
        for epoch in range(3):
            example = dataset[epoch, 0]
            colours = {tuple(colour) for colour in getattr(example, role).reshape(-1, 3).tolist()}
            assert colours <= set(map(tuple, palette.tolist()))


def test_no_pictures_and_a_picture_that_vanished(make: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "RETRIES", (0.01,))
    with pytest.raises(ValueError, match="no training pictures"):
        training_batches(make(0, 0), batch=1, seed=0)
    assert list(ordered_batches(make(0, 0, train=False), batch=1)) == []
    dataset = make(2, 2)
    (Path(str(dataset.settings.data)) / "b/1.png").unlink()
    with pytest.raises(ImageError, match=r"^\S*b/1.png: "):
        taken(training_batches(dataset, batch=2, seed=0), 1)
