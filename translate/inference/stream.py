"""One picture from standard input, or to standard output. Imports no torch."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from translate.images import FORMATS, IMAGE_SUFFIXES, ImageError, read, suffix_for
from translate.inference.convert import convert
from translate.inference.model import LoadedModel
from translate.inference.options import ConvertSettings
from translate.inference.report import Report

INPUT, OUTPUT = "standard input", "standard output"
MAX_BYTES_PER_PIXEL, MAX_METADATA_BYTES = 16, 2**26  # of a picture file
BLOCK = 2**20


def convert_stream(
    model: LoadedModel,
    source: Path | None,
    destination: Path | None,
    *,
    settings: ConvertSettings,
    stdin: Any = None,
    stdout: Any = None,
) -> Report:
    """`convert` for one picture; a `source` of None is `stdin`, a `destination` of None is `stdout`.

    The output goes to `stdout` whole or not at all, as the type of the input or `settings.format`.

    Args:
        stdin: a text stream over the bytes of a picture.
        stdout: a text stream over bytes.

    Raises:
        ValueError: a stream that is closed or a terminal, a folder, several outputs, or more bytes than a picture of
            `settings.max_pixels` can have.
        OSError: `stdout` cannot be written to; the output is lost.
    """
    _ = model.card.taken  # a model of noise says to use `sample`
    if source is not None and source.is_dir():
        raise ValueError(f"{source}: a folder cannot go to {OUTPUT}: name a folder for the outputs")
    if source is not None and not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    if destination is not None and (destination.is_dir() or destination.suffix.lower() not in IMAGE_SUFFIXES):
        raise ValueError(f"{destination}: a picture from {INPUT} has no name: name the output, like one.png")
    if destination is None and settings.samples is not None:
        raise ValueError(f"--samples makes several outputs, and {OUTPUT} takes one: name a folder for them")
    if settings.shard is not None:
        raise ValueError(f"--shard {settings.shard} is for a folder or several inputs, and this is one: leave it out")
    given = None if source is not None else _bytes_of(stdin, INPUT, "pipe a picture into this command")
    taken = None if destination is not None else _bytes_of(stdout, OUTPUT, "redirect it to a file")
    with tempfile.TemporaryDirectory(prefix="translate-") as folder:
        work = Path(folder)
        file = _received(given, work, max_pixels=settings.max_pixels) if given is not None else source
        assert file is not None
        out = work / "out"
        out.mkdir()
        report = convert(model, file, destination or out, settings=settings)
        if given is not None:
            failures = [replace(one, path=Path(INPUT), reason=_named(one.reason, file)) for one in report.failures]
            report = replace(report, failures=tuple(failures))
        if taken is not None:
            for path in out.iterdir():
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    _send(path, taken)
            report = replace(report, destination=Path(OUTPUT))
    return report


def _bytes_of(stream: Any, name: str, remedy: str) -> BinaryIO:
    found = getattr(stream, "buffer", None)
    if found is None or found.closed:
        raise ValueError(f"{name} is closed: {remedy}, or name a file")
    if stream.isatty():
        raise ValueError(f"{name} is a terminal: {remedy}, or name a file")
    binary: BinaryIO = found
    return binary


def _received(stream: BinaryIO, folder: Path, *, max_pixels: int) -> Path:
    """Save the bytes to a file; its name gets the suffix of the picture's type if that can be read."""
    path = folder / INPUT.replace(" ", "-")
    remaining = MAX_BYTES_PER_PIXEL * max_pixels + MAX_METADATA_BYTES
    with path.open("wb") as file:
        while block := stream.read(BLOCK):
            remaining -= len(block)
            if remaining < 0:
                raise ValueError(f"{INPUT}: more bytes than a picture within --max-pixels {max_pixels} can have")
            file.write(block)
    try:
        found = read(path, max_pixels=max_pixels).format
    except (ImageError, MemoryError):  # reported by the conversion
        return path
    return path.rename(path.with_suffix(suffix_for(found))) if found in FORMATS else path


def _named(reason: str, file: Path) -> str:
    return reason.replace(str(file), INPUT)


def _send(path: Path, stream: BinaryIO) -> None:
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, stream)
        stream.flush()
    except OSError as error:
        raise OSError(f"{OUTPUT}: cannot be written to: {error.strerror}") from None
    except ValueError:
        raise OSError(f"{OUTPUT}: was closed before the picture was written") from None
