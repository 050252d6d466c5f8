"""The synthetic set as files, in the layouts that the project reads."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from translate.datasets.synthetic.draw import Example, draw
from translate.datasets.synthetic.house import Colours, House, caption, sample_house
from translate.files import write_text
from translate.images import write
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
VERSION = 1
"""Of the drawing. Raise it when the pixels of a (seed, index) change, so that older folders are refused."""

Job = tuple[House, tuple[Path, ...]]
"""A house, and the files it goes to: one for both halves, or label map and front."""


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
        threads: that draw and compress (default: one a core, up to 8).
        progress: called in this thread with (pairs done, pairs in all).

    Returns:
        How many pairs were drawn; 0 when all were there already.

    Raises:
        ValueError: a count, size, layout or colours that make no sense, a folder that holds anything else, or
            (as ImageError) a disk that is full or not writable.
    """
    counts = {"train": count_train, "val": count_val, "test": count_test}
    height, width = (size, size) if isinstance(size, int) else size
    _check(counts, height=height, width=width, layout=layout)
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
    jobs: list[Job] = []
    try:
        _claim(folder, recipe)
        for split, count in counts.items():
            houses = [sample_house(seed, FIRST[split] + index, colours=colours) for index in range(count)]
            of_split = _jobs(houses, folder, split=split, layout=layout)
            if layout == "metadata" and of_split:
                write_text(folder / split / "metadata.csv", _table(of_split, folder / split))
            jobs += of_split
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written: {error.strerror or error}") from error

    def work(job: Job) -> bool:
        house, files = job
        if all(file.is_file() for file in files):
            return False
        for file, pixels in zip(files, _pixels(draw(house, (height, width)), len(files)), strict=True):
            write(file, pixels)
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


def _jobs(houses: Sequence[House], folder: Path, *, split: str, layout: str) -> list[Job]:
    places = [folder / place.format(split=split) for place in LAYOUTS[layout]]
    digits = max(4, len(str(len(houses) - 1)))
    return [(house, tuple(place / f"{index:0{digits}}.png" for place in places)) for index, house in enumerate(houses)]


def _pixels(example: Example, files: int) -> tuple[np.ndarray, ...]:
    pair = (example.labels, example.photo)
    return pair if files == 2 else (np.concatenate(pair, axis=1),)


def _check(counts: Mapping[str, int], *, height: int, width: int, layout: str) -> None:
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}{closest(layout, LAYOUTS)}")
    if height < 1 or width < 1:
        raise ValueError(f"a front needs at least one pixel a side, got {height}x{width}")
    for split, count in counts.items():
        if not 0 <= count <= FIRST["val"]:
            raise ValueError(f"count_{split} must be from 0 to {FIRST['val']}, got {count}")
    if not any(counts.values()):
        raise ValueError("all counts are 0: there is nothing to write")


def _claim(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes the folder ours: new, empty, or an earlier set of the same recipe.

    Raises:
        ValueError: it is a file, or holds anything else.
    """
    marker = folder / RECIPE
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give a folder for the synthetic set")
    if marker.is_file():
        earlier = _read_recipe(marker)
        changes = [
            f"{name} {earlier.get(name)} there, {value} wanted"
            for name, value in recipe.items()
            if earlier.get(name) != value
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
        recipe = json.loads(marker.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        recipe = None
    if not isinstance(recipe, dict):
        raise ValueError(f"{marker}: not readable as JSON; give a new or an empty folder")
    return recipe


def _table(jobs: Sequence[Job], root: Path) -> str:
    """The text of a `metadata.csv`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file_name", "target_file_name", "label", "text"))
    for house, files in jobs:
        names = [file.relative_to(root).as_posix() for file in files]
        rows.writerow((*names, house.material, caption(house)))
    return text.getvalue()
