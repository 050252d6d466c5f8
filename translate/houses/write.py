"""The synthetic set as files, in the layouts that the project reads."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from translate.files import write_text
from translate.houses.front import draw
from translate.houses.house import Colours, House, caption, is_unseen, sample_house
from translate.images import write
from translate.outside import parsed, read_text, visible
from translate.tables import closest

LAYOUTS: dict[str, tuple[str, ...]] = {
    "side-by-side": ("{split}",),
    "folders": ("{split}A", "{split}B"),
    "metadata": ("{split}/labels", "{split}/fronts"),
}
"""Where label map (A) and front (B) of a split go; in one folder they are the halves of one file."""

FIRST = {"train": 0, "val": 10**9, "test": 2 * 10**9}
"""Index of each split's first house: a larger training set leaves the houses of the others as they are."""

RECIPE = "synthetic.json"
"""File in the folder of a set that says how the set was made, so that an earlier call is completed."""

VERSION = 1
"""Of the drawing. Raise it when the pixels of a (seed, index) change, so that older folders are refused."""

UNPAIRED = 5 * 10**8
"""Added to the index of the houses whose fronts are trained on without pairs: they are none of the label maps'."""

Part = Literal["labels", "photo"]
PARTS: tuple[Part, ...] = ("labels", "photo")


class Job(NamedTuple):
    """A house, and the files it goes to with what each shows, from left to right."""

    house: House
    files: Mapping[Path, tuple[Part, ...]]


def write_paired(
    folder: Path,
    *,
    count_train: int,
    count_val: int,
    count_test: int,
    size: int | tuple[int, int],
    seed: int = 0,
    layout: str = "side-by-side",
    colours: Colours = "fixed",
    unseen: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes `0000.png`, `0001.png`, ... of every split in a layout, and the arguments to `synthetic.json`.

    The layout "metadata" adds a `metadata.csv` to each split, with the material as `label` and the caption as
    `text`. What an earlier call with the same arguments wrote, even an interrupted one, is kept and
    completed, since each file is written whole or not at all.

    Args:
        folder: made if it is not there.
        count_train, count_val, count_test: pairs in each split; 0 for none.
        size: side in pixels, or (height, width), of a front.
        seed: which street.
        layout: a name of `LAYOUTS`.
        colours: "fixed" or "free": whether the label map alone tells the colours, see `House`.
        unseen: keep some pairs of roof and door colours from training, and validate and test on houses that have one
            of them (`is_unseen`), each of whose colours alone is known from training. For free colours.
        threads: that draw and compress (default: one a core, up to 8).
        progress: called in this thread with (pairs done, pairs in all).

    Returns:
        How many pairs were drawn; 0 when all were there already.

    Raises:
        ValueError: a count, size, layout or colours that make no sense, a folder that holds anything else, or
            (as ImageError) a disk that is full or not writable.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}{closest(layout, LAYOUTS)}")
    counts = {"train": count_train, "val": count_val, "test": count_test}
    if unseen and colours != "free":
        raise ValueError('unseen goes with colours="free": in fixed colours there is one pair of roof and door colours')
    shape = _prepare_folder(folder, counts, size=size, seed=seed, layout=layout, colours=colours, unseen=unseen)
    jobs: list[Job] = []
    for split, count in counts.items():
        places = [folder / place.format(split=split) for place in LAYOUTS[layout]]
        shown = [PARTS] if len(places) == 1 else [(part,) for part in PARTS]
        kept = (lambda house, wanted=split != "train": is_unseen(house) == wanted) if unseen else None
        houses = _houses(count, first=FIRST[split], seed=seed, colours=colours, kept=kept)
        of_split = _jobs(houses, dict(zip(places, shown, strict=True)))
        if layout == "metadata" and of_split:
            _write_table(of_split, folder / split)
        jobs += of_split
    return _run(jobs, shape, threads=threads, progress=progress)


def write_unpaired(
    folder: Path,
    *,
    count_train: int,
    count_val: int,
    count_test: int = 0,
    size: int | tuple[int, int],
    seed: int = 0,
    colours: Colours = "fixed",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes a set without pairs to train on, whose right answers are known all the same.

    `trainA` has the label maps `a0000.png`, ... of some houses and `trainB` the fronts `b0000.png`, ... of others,
    so that no file could be paired by mistake. `valA` and `valB` (`testA`, `testB`) hold true pairs `0000.png`,
    ...: those of `write_paired` with this seed. For the rest it is as `write_paired`.

    Args:
        folder: made if it is not there.
        count_train: label maps, and as many fronts.
        count_val, count_test: pairs; 0 for none.
        size: side in pixels, or (height, width), of a front.
        seed: which street.
        colours: "fixed" or "free": whether the label map alone tells the colours, see `House`.
        threads: that draw and compress (default: one a core, up to 8).
        progress: called in this thread with (houses done, houses in all).

    Returns:
        How many houses were drawn; 0 when all were there already.

    Raises:
        ValueError: as `write_paired`.
    """
    counts = {"train": count_train, "val": count_val, "test": count_test}
    shape = _prepare_folder(folder, counts, size=size, seed=seed, layout="unpaired", colours=colours)
    jobs: list[Job] = []
    for side, part, first in (("A", PARTS[0], 0), ("B", PARTS[1], UNPAIRED)):
        houses = _houses(count_train, first=FIRST["train"] + first, seed=seed, colours=colours)
        jobs += _jobs(houses, {folder / f"train{side}": (part,)}, prefix=side.lower())
    for split in ("val", "test"):
        houses = _houses(counts[split], first=FIRST[split], seed=seed, colours=colours)
        jobs += _jobs(houses, {folder / f"{split}A": PARTS[:1], folder / f"{split}B": PARTS[1:]})
    return _run(jobs, shape, threads=threads, progress=progress)


def _prepare_folder(
    folder: Path,
    counts: Mapping[str, int],
    *,
    size: int | tuple[int, int],
    seed: int,
    layout: str,
    colours: Colours,
    unseen: bool = False,
) -> tuple[int, int]:
    """Height and width of a front, once the arguments are checked and the folder is claimed.

    Raises:
        ValueError: it does not, or is not.
    """
    height, width = (size, size) if isinstance(size, int) else size
    _check(counts, height=height, width=width)
    sample_house(seed, 0, colours=colours)  # refuses unknown colours before anything is written
    recipe = {
        "set": "synthetic house fronts",
        "version": VERSION,
        "layout": layout,
        "colours": colours,
        "height": height,
        "width": width,
        "seed": seed,
        **counts,
    }
    if unseen:  # a key that sets of earlier versions do not have
        recipe["unseen"] = True
    with _writing(folder):
        _claim(folder, recipe)
    return height, width


def _claim(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Make the folder and its recipe file, or find that it holds an earlier set of the same recipe.

    Raises:
        ValueError: it is a file, or holds anything else.
    """
    marker = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give a folder for the synthetic set")
    if marker.is_file():
        earlier = _read_recipe(marker)
        changes = [
            f"{visible(name)[:100]} {visible(earlier.get(name))[:100]} there, {recipe.get(name)} wanted"
            for name in {**recipe, **earlier}
            if earlier.get(name) != recipe.get(name)
        ]
        if changes:
            raise ValueError(
                f"{folder}: holds another synthetic set ({'; '.join(changes)}); remove it or give another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty and holds no {RECIPE}; give a new or an empty folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(marker, json.dumps(recipe, indent=2) + "\n")


def _read_recipe(marker: Path) -> dict[str, Any]:
    """Raises:
    ValueError: the file is not the JSON table that this module writes.
    """
    try:
        recipe = parsed(read_text(marker))
    except ValueError:
        recipe = None
    if not isinstance(recipe, dict):
        raise ValueError(f"{marker}: not readable as JSON; give a new or an empty folder")
    return recipe


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raises:
    ValueError: in place of the error of the system for a disk that is full or not writable.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _houses(
    count: int, *, first: int, seed: int, colours: Colours, kept: Callable[[House], bool] | None = None
) -> list[House]:
    """The next `count` houses of the street from `first` on, passing by those that are not `kept`."""
    street = (sample_house(seed, index, colours=colours) for index in itertools.count(first))
    return list(itertools.islice(filter(kept, street) if kept else street, count))


def _jobs(houses: Sequence[House], places: Mapping[Path, tuple[Part, ...]], *, prefix: str = "") -> list[Job]:
    """Each house in each of the folders `places`, which say what of it they show."""
    digits = max(4, len(str(len(houses) - 1)))
    return [
        Job(house, {place / f"{prefix}{index:0{digits}}.png": parts for place, parts in places.items()})
        for index, house in enumerate(houses)
    ]


def _run(
    jobs: Sequence[Job],
    shape: tuple[int, int],
    *,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Draws what is not there yet; how many houses that were."""

    def work(job: Job) -> bool:
        if all(file.is_file() for file in job.files):
            return False
        example = draw(job.house, shape)
        for file, parts in job.files.items():
            write(file, np.concatenate([getattr(example, part) for part in parts], axis=1))
        return True

    drawn = 0
    pool = ThreadPoolExecutor(max_workers=threads or min(8, os.cpu_count() or 1))
    try:
        for done, new in enumerate(pool.map(work, jobs), start=1):
            drawn += new
            if progress:
                progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for the rest of the set
    return drawn


def _check(counts: Mapping[str, int], *, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"a front needs at least one pixel a side, got {height}x{width}")
    for split, count in counts.items():
        if not 0 <= count <= UNPAIRED:
            raise ValueError(f"count_{split} must be from 0 to {UNPAIRED}, got {count}")
    if not any(counts.values()):
        raise ValueError("all counts are 0: there is nothing to write")


def _write_table(jobs: Sequence[Job], root: Path) -> None:
    """The `metadata.csv` of the houses in `root`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file_name", "target_file_name", "label", "text"))
    for house, files in jobs:
        names = [file.relative_to(root).as_posix() for file in files]
        rows.writerow((*names, house.material, caption(house)))
    with _writing(root):
        write_text(root / "metadata.csv", text.getvalue())
