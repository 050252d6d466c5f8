"""The sources of a training set, to be converted; warns of folders that look like one. Imports no torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from translate.card import Card
from translate.datasets.files import subfolders
from translate.datasets.layouts import find
from translate.datasets.layouts.side_by_side import WIDE
from translate.datasets.layouts.splits import named, split_named
from translate.datasets.pairs import Pair, View
from translate.datasets.prepare import prepare
from translate.images import is_image_name
from translate.inference.listing import Sources
from translate.settings import DataKind, DataSettings

SAMPLED_PICTURES = 5  # whose size is read to tell whether a folder holds pairs side by side


def sources_of(data: Path, split: str, card: Card, *, say: Callable[[str], object] = str) -> Sources:
    """The sources in a set, found as in the training of the model: its layout, direction and kinds of pictures.

    For a model whose sources are derived, these are the targets to derive them from. Where validation pictures are
    held out, every file is read, and `say` is called with the warnings.

    Raises:
        ValueError: there is no such set, or it has no such pictures.
    """
    fields = DataSettings.model_fields
    trained = {name: value for name, value in card.run.items() if name in fields and value is not None}
    for name in ("source", "target", "val_source", "val_target", "test_source", "test_target"):
        trained.pop(name, None)
    settings = DataSettings.make({**trained, "cache": "none", "data": str(data)})
    kind = _kind(card)
    # sources of pairs are looked for without targets, which may be missing
    found = find(settings, kind="unpaired" if kind == "pairs" and settings.derive is None else kind)
    pairs: Sequence[Pair] = getattr(found.listing, split)
    if split == "val" and not pairs and found.listing.train:

        def report(line: str) -> None:
            say(line)

        pairs = prepare(settings, kind=kind, conditions=card.conditions, say=report).val
    role = "target" if kind == "domains" or settings.derive else "source"
    views: list[View] = [view for pair in pairs if (view := getattr(pair, role)) is not None]
    if not views:
        there = [name for name in ("train", "val", "test") if getattr(found.listing, name)]
        raise ValueError(f"--data {data} has no pictures for --split {split}: there is {', '.join(there) or 'none'}")
    halves = {view.half for view in views}
    assert len(halves) == 1, "a layout has whole files or halves"
    paths = sorted({view.path for view in views})
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return Sources(root, tuple(path.relative_to(root) for path in paths), halves.pop())


def _kind(card: Card) -> DataKind:
    """The kind of data that a model is trained on."""
    try:
        from translate.models import model_class
    except ImportError:  # an exported file runs without PyTorch; only StarGAN takes domains
        return "domains" if card.model == "stargan" else "pairs"
    return model_class(card.model).data


def looks_like_pairs(folder: Path, model: str) -> str | None:
    """A warning for a folder that seems to hold sources and targets, which would all be translated; else None."""
    if not folder.is_dir():
        return None
    split = split_named(folder.name)
    data, part = (folder.parent, split) if split else (folder, _split_in(folder))
    command = f"translate convert {shlex.quote(model)} OUT --data {shlex.quote(str(data))} --split {part}"
    sides = _sides(folder)
    if sides:
        one, other = sides
        return (
            f"{folder} holds {one}/ and {other}/, which look like sources and targets of a set: both are translated; "
            f"for the sources alone: {command}"
        )
    size = _double(folder)
    if size:
        return (
            f"the pictures in {folder} look like pairs side by side ({size}), and go through whole; for the one side "
            f"that the model takes: {command}"
        )
    return None


def _split_in(folder: Path) -> str:
    there = {split for below in subfolders(folder) if (split := (named(below.name) or named("train")).split)}  # type: ignore[union-attr]
    return next((split for split in ("val", "test") if split in there), "train")


def _sides(folder: Path) -> tuple[str, str] | None:
    """The names of two folders A and B of one split, or of none."""
    names = {below.name for below in subfolders(folder)}
    for name in sorted(names):
        found = named(name)
        letter = found.side if found else name.upper() if len(name) == 1 else None
        if letter == "A" and (other := name[:-1] + chr(ord(name[-1]) + 1)) in names:
            return name, other
    return None


def _double(folder: Path) -> str | None:
    """The size of the first of some pictures, if all of these are about twice as wide as high."""
    names = (Path(here) / name for here, _, below in os.walk(folder) for name in sorted(below) if is_image_name(name))
    found = (path for path in names if path.is_file())  # opening a pipe would block
    sizes: list[tuple[int, int]] = []
    for path in islice(found, SAMPLED_PICTURES):
        try:
            with Image.open(path) as image:
                sizes.append(image.size)
        except Exception:  # reported when it is read
            continue
    if sizes and all(WIDE <= width / height <= 2.1 and width % 2 == 0 for width, height in sizes):
        return f"{sizes[0][0]}x{sizes[0][1]}"
    return None
