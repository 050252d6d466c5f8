"""What the outputs of a folder are called, no two of them alike. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from translate.images import FORMATS, IMAGE_SUFFIXES, ImageSpec, can_hold, format_for, suffix_for
from translate.inference.listing import split_name

LOSSLESS = ("PNG", "TIFF")  # where outputs go that their own format cannot hold, in order of preference

Named = tuple[str, str, str | None]  # an input's file name, its output's, and what the report has to say about it


def output_name(name: str, *, target: ImageSpec, format: str | None) -> tuple[str, str | None]:
    """The output's file name for an input's, and a note where it is not of the type one would expect.

    `format` is the type that was asked for (and can hold the target), None for that of the input.
    """
    stem, suffix = split_name(name)
    if suffix.lower() not in IMAGE_SUFFIXES:
        stem, suffix = name, ""
    new, note = _output_suffix(suffix, target, format)
    return stem + new, note


@lru_cache
def _output_suffix(suffix: str, target: ImageSpec, format: str | None) -> tuple[str, str | None]:
    """Of an output whose input has this suffix, with a note; a folder has few suffixes and may have many files."""
    if not suffix:
        chosen = format or lossless(target)
        return suffix_for(chosen), None if format else f"a name without a known suffix: written as {chosen}"
    own = format_for(suffix)
    chosen = format or own
    note = None
    alpha = chosen == "GIF" and not format  # which it may have now, and can only have in a palette
    if not _holds(chosen, target, alpha=alpha):
        chosen = lossless(target)
        note = f"{own} cannot hold {_describe(target)}: written as {chosen}"
    return (suffix if chosen == own else suffix_for(chosen)), note


def name_outputs(names: Sequence[str], *, target: ImageSpec, format: str | None) -> Iterator[Named]:
    """The sorted file names of a folder, each with its output, no two of these the same, and a note or None.

    Of inputs that would become one output, the one whose name that is keeps it, and the others keep their full names
    (`a.jpg` -> `a.jpg.png`). Only neighbours are in memory at once: inputs come into each other's way by a common stem
    (`a.bmp`, `a.jpg`), or as one's whole name is the other's stem (`a.jpg`, `a.jpg.bmp`). Of all these the first has
    the shortest stem, the others begin with it, and names that begin alike stand together.
    """
    group: list[str] = []
    beginning = ""
    for name in names:
        if group and not name.startswith(beginning):
            yield from _name_group(group, target=target, format=format)
            group = []
        if not group:
            beginning = split_name(name)[0] + "."
        group.append(name)
    yield from _name_group(group, target=target, format=format)


def _name_group(names: Sequence[str], *, target: ImageSpec, format: str | None) -> Iterator[Named]:
    plain = [output_name(name, target=target, format=format) for name in names]
    counts = Counter(wanted for wanted, _ in plain)
    taken = {wanted for name, (wanted, _) in zip(names, plain, strict=True) if wanted == name or counts[wanted] == 1}
    for name, (output, note) in zip(names, plain, strict=True):
        if output != name and counts[output] > 1:
            suffix = split_name(output)[1]
            output = name + suffix
            while output in taken:
                output += suffix
            taken.add(output)
            note = note or "named like another input but for the suffix: kept the full name"
        yield name, output, note


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


def numbered(output: str, number: int) -> str:
    """The name of one of several outputs, from 1: `a.png` -> `a-1.png`. Of names that differ no two become alike."""
    stem, suffix = split_name(output)
    return f"{stem}-{number}{suffix}"


def number_of(output: str) -> int:
    """Which of several outputs has this name."""
    return int(split_name(output)[0].rpartition("-")[2])


def _holds(format: str, target: ImageSpec, *, alpha: bool = False) -> bool:
    """Whether a format holds such outputs; of label maps every single value, since noise would make new classes."""
    if target.kind == "labels" and FORMATS[format].lossy:
        return False
    return can_hold(format, channels=target.channels, dtype=target.dtype, alpha=alpha)


def lossless(target: ImageSpec) -> str:
    """The format for outputs that their own cannot hold."""
    fits = [f for f in LOSSLESS if _holds(f, target)]
    assert fits, f"no format holds {_describe(target)}"
    return fits[0]


def check_holds(format: str, target: ImageSpec, *, asked: str) -> None:
    """Refuse a format that was asked for, by `asked`, and cannot hold the target.

    Raises:
        ValueError: so it is.
    """
    if not _holds(format, target):
        what = _describe(target)
        raise ValueError(f"{asked}: {format} cannot hold the model's {what}: use {lossless(target)}")


def _describe(target: ImageSpec) -> str:
    if target.kind == "labels":
        return "label maps without changing their colours"
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[target.dtype]
    return f"{depth} pictures of {target.channels} channel{'s' * (target.channels > 1)}"
