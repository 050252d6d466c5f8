"""Inputs that were named one by one, as a shell makes them of `*.png`. Imports no torch."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from translate.images import IMAGE_SUFFIXES, ImageSpec
from translate.inference.listing import identity_of
from translate.inference.names import Named, output_name

STREAM = "-"


def inputs(words: Sequence[str]) -> Path | list[Path] | None:
    """What the words before the output mean: one path, several, or None for standard input.

    Raises:
        ValueError: standard input beside others, or a single path that is not there.
    """
    if STREAM in words:
        if len(words) > 1:
            raise ValueError(f"{STREAM} is standard input, which is one picture: give it alone")
        return None
    found = [_expanded(word) for word in words]
    if len(words) == 1 and found[0] is None:
        if not os.path.lexists(words[0]):
            raise ValueError(f"{words[0]}: no such file or folder")
        return Path(words[0])
    return [path for word, paths in zip(words, found, strict=True) for path in paths or [Path(word)]]


def _expanded(word: str) -> list[Path] | None:
    """What a pattern like `photos/*.png` stands for, which some shells leave to the program; None of any other word."""
    if os.path.lexists(word) or not glob.has_magic(word):
        return None
    return sorted(map(Path, glob.glob(word))) or None  # noqa: PTH207 - the pattern may be absolute


def same_folder(inputs: Sequence[Path]) -> bool:
    """Whether all lie in one folder, as written."""
    return len({path.parent for path in inputs}) == 1


def check_several(inputs: Sequence[Path], destination: str | Path) -> None:
    """
    Raises:
        ValueError: there is none, or one of them is missing or has no name of its own; folders from several places; or
            a destination that is no folder or holds an input from another place.
    """
    out = Path(destination)
    if not inputs:
        raise ValueError("no pictures are given: name some, or a folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: this is a file, but several inputs need a folder to go to: name it last")
    if not out.exists() and out.suffix.lower() in IMAGE_SUFFIXES and not str(destination).endswith(("/", os.sep)):
        raise ValueError(f"{out}: named like a picture, but several inputs need a folder to go to: name it last")
    for path in inputs:
        if not os.path.lexists(path):
            raise ValueError(f"{path}: no such file or folder")
        if path.name in ("", ".."):
            raise ValueError(f"{path}: among several inputs a folder goes by its name: write that, or give it alone")
        if same_folder(inputs):
            continue
        if path.is_dir():
            raise ValueError(f"{path}: a folder among inputs from several places: convert it by itself")
        if out.exists() and identity_of(path.parent) == identity_of(out):
            raise ValueError(f"{out} holds one of the inputs, {path}: name another folder")


def flat(inputs: Sequence[Path], *, target: ImageSpec, format: str | None) -> Iterator[Named]:
    """Pictures from several places, each with the name of its output.

    Raises:
        ValueError: two outputs would have one name.
    """
    former: dict[str, Path] = {}
    for path in inputs:
        output, note = output_name(path.name, target=target, format=format)
        if (other := former.setdefault(output, path)) != path:
            raise ValueError(f"{other} and {path} would both become {output}: convert them into two folders")
        yield path.as_posix(), output, note
