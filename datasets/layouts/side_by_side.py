"""One file a pair, as pix2pix has them: A is the left half and B the right."""

from __future__ import annotations

from pathlib import Path

from translate.datasets.files import pictures, tree
from translate.datasets.layouts.found import Found, data_root, in_direction, kept_aside, listing
from translate.datasets.layouts.splits import read_otherwise, roots
from translate.datasets.pairs import Half, Pair, View
from translate.images import ImageError, read
from translate.settings import DataSettings

LOOKED_FOR = "files that hold A on the left and B on the right, in train/ (val/ test/) or directly in the folder"

WIDE = 1.9  # least width over height of two pictures side by side, unless --layout says that all are
HALVES: tuple[Half, Half] = ("left", "right")
SAMPLED = 5  # pictures opened to guess the layout


def missing(settings: DataSettings) -> str | None:
    """Why this layout does not fit, or None."""
    root = data_root(settings)
    try:
        folders = roots(root)
    except ValueError as error:
        return str(error)
    if "train" not in folders:
        return f"{' and '.join(folder.name + '/' for folder in folders.values())} but no train/"
    files = pictures(folders["train"])
    if not files:
        return "no pictures" if folders["train"] == root else f"no pictures in {folders['train'].name}/"
    if settings.layout != "auto":
        return None
    if settings.derive:
        return "with --derive whole pictures are taken for targets unless --layout side-by-side is given"
    narrow = _narrow(files, max_pixels=settings.max_pixels)
    if narrow:
        return f"{narrow}, not two pictures side by side; if it is such a pair, give --layout side-by-side"
    return None


def find(settings: DataSettings) -> Found:
    """Every picture as a pair of halves; the files themselves are not opened here."""
    root = data_root(settings)
    folders = roots(root)
    found = listing({split: _pairs(folder, settings) for split, folder in folders.items()})
    return Found(found, roots=(root,), notes=kept_aside(found), reread=read_otherwise(folders))


def _pairs(folder: Path, settings: DataSettings) -> tuple[Pair, ...]:
    pairs = []
    for name, whole in tree(folder).views():
        left, right = (View.of(whole.folder, whole.name, half) for half in HALVES)
        source, target = in_direction(left, right, settings=settings)
        pairs.append(Pair(name=name, source=None if settings.derive else source, target=target))
    return tuple(pairs)


def _narrow(files: list[Path], *, max_pixels: int) -> str | None:
    """Of a few pictures spread over `files`, one that is too narrow to be two, if most of them are."""
    shapes = []
    for path in files[:: -(-len(files) // SAMPLED)]:
        try:
            height, width = read(path, max_pixels=max_pixels).pixels.shape[:2]
        except ImageError:  # reported by name when everything is read; no evidence either way
            continue
        shapes.append((width / height, f"{path.name} is {width}x{height}"))
    narrow = [text for ratio, text in shapes if ratio < WIDE]
    return narrow[0] if 2 * len(narrow) > len(shapes) else None
