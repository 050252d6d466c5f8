"""Names of the outputs, all different within a folder. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from translate.images import FORMATS, IMAGE_SUFFIXES, ImageSpec, can_hold, format_for, suffix_for
from translate.inference.listing import split_name

LOSSLESS = ("PNG", "TIFF")  # formats in place of one that cannot hold an output, in order of preference

Named = tuple[str, str, str | None]  # file name of an input, of its output, and a note for the report


def output_name(name: str, *, target: ImageSpec, format: str | None) -> tuple[str, str | None]:
    """The output's file name for an input's, and a note where its type is not the expected one.

    `format` is the requested type, which can hold the target; None for that of the input.
    """
    stem, suffix = split_name(name)
    if suffix.lower() not in IMAGE_SUFFIXES:
        stem, suffix = name, ""
    new, note = _output_suffix(suffix, target, format)
    return stem + new, note


@lru_cache
def _output_suffix(suffix: str, target: ImageSpec, format: str | None) -> tuple[str, str | None]:
    """Suffix of an output whose input has this one, and a note. Cached: a folder has many files and few suffixes."""
    if not suffix:
        chosen = format or lossless(target)
        return suffix_for(chosen), None if format else f"a name without a known suffix: written as {chosen}"
    own = format_for(suffix)
    chosen = format or own
    note = None
    alpha = chosen == "GIF" and not format  # a GIF may have transparency, but only in a palette
    if not _holds(chosen, target, alpha=alpha):
        chosen = lossless(target)
        note = f"{own} cannot hold {_describe(target)}: written as {chosen}"
    return (suffix if chosen == own else suffix_for(chosen)), note


def name_outputs(names: Sequence[str], *, target: ImageSpec, format: str | None) -> Iterator[Named]:
    """The sorted file names of a folder, each with its output, all different, and a note or None.

    If several inputs would get one output name, the input of that name gets it, and the others keep their full names
    (`a.jpg` -> `a.jpg.png`). Only neighbours are in memory at once: outputs collide for inputs with a common stem
    (`a.bmp`, `a.jpg`), or where one's name is the other's stem (`a.jpg`, `a.jpg.bmp`). All of these begin with the
    shortest stem, and names with a common beginning are neighbours in sorted order.
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
    """Pictures from several folders, each with the name of its output.

    Raises:
        ValueError: two outputs would have the same name.
    """
    former: dict[str, Path] = {}
    for path in inputs:
        output, note = output_name(path.name, target=target, format=format)
        if (other := former.setdefault(output, path)) != path:
            raise ValueError(f"{other} and {path} would both become {output}: convert them into two folders")
        yield path.as_posix(), output, note


def numbered(output: str, number: int) -> str:
    """The name of one of several outputs, from 1: `a.png` -> `a-1.png`. Different names stay different."""
    stem, suffix = split_name(output)
    return f"{stem}-{number}{suffix}"


def number_of(output: str) -> int:
    """The number in the name of one of several outputs."""
    return int(split_name(output)[0].rpartition("-")[2])


def _holds(format: str, target: ImageSpec, *, alpha: bool = False) -> bool:
    """Whether a format can hold such outputs; label maps need a lossless one, since noise would make new classes."""
    if target.kind == "labels" and FORMATS[format].lossy:
        return False
    return can_hold(format, channels=target.channels, dtype=target.dtype, alpha=alpha)


def lossless(target: ImageSpec) -> str:
    """The format for outputs whose own format cannot hold them."""
    fits = [f for f in LOSSLESS if _holds(f, target)]
    assert fits, f"no format holds {_describe(target)}"
    return fits[0]


def check_holds(format: str, target: ImageSpec, *, source: str) -> None:
    """Check a requested format; `source` is the flag or file name that requests it, for the message.

    Raises:
        ValueError: it cannot hold the target.
    """
    if not _holds(format, target):
        what = _describe(target)
        raise ValueError(f"{source}: {format} cannot hold the model's {what}: use {lossless(target)}")


def _describe(target: ImageSpec) -> str:
    if target.kind == "labels":
        return "label maps without changing their colours"
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[target.dtype]
    return f"{depth} pictures of {target.channels} channel{'s' * (target.channels > 1)}"
