"""Checks the weights in an ONNX file without the onnx package. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from translate.export.metadata import BYTES, VARINT, fields
from translate.export.storage import data_file

GRAPH, INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, EXTERNAL_DATA = 1, 2, 4, 8, 9, 13  # fields of TensorProto
FLOATS: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
BFLOAT16 = 16
CHUNK = 2**19  # bytes that are read at once: they stay in the cache, and whole files would take memory twice


def checked_weights(path: Path) -> str:
    """Checksum of an ONNX file and its second file of weights, all of which have to be finite.

    Reads all bytes twice, a chunk at a time: about 0.7 s for 1 GB.

    Raises:
        ValueError: a weight is NaN, or infinite in a matrix or filter; or this is no ONNX file.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(part.open("rb")) for part in (path, data_file(path)) if part.is_file()]
        try:
            for name, values, several in _weights(files[0], files[1] if len(files) > 1 else None):
                count = bad = 0
                for some in values:
                    count += some.size
                    # an infinite scalar may be a limit
                    bad += int(np.count_nonzero(~np.isfinite(some) if several else np.isnan(some)))
                if bad:
                    raise ValueError(
                        f"{path}: {bad:,} of the {count:,} weights in {name} are not finite (NaN or infinity): the "
                        "training diverged, or the file is damaged; export earlier weights (--step N)"
                    )
        except EOFError:
            raise ValueError(f"{path}: not a complete ONNX file") from None
        digest = hashlib.sha256()
        for file in files:
            for chunk in _chunks(file, start=0, stop=None):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _weights(file: BinaryIO, beside: BinaryIO | None) -> Iterator[tuple[str, Iterator[np.ndarray], bool]]:
    """Name and values of each floating tensor, and whether it is a matrix or more."""
    size = file.seek(0, 2)
    file.seek(0)
    for number, kind, length in fields(file, stop=size):
        if (number, kind) != (GRAPH, BYTES):
            continue
        for inner, sort, size in fields(file, stop=file.tell() + length):
            if (inner, sort) == (INITIALIZER, BYTES):
                yield from _floats(file, size, beside)


def _floats(file: BinaryIO, size: int, beside: BinaryIO | None) -> Iterator[tuple[str, Iterator[np.ndarray], bool]]:
    name, data_type, dims, external = "", 0, 0, dict[bytes, bytes]()
    place: tuple[BinaryIO | None, int, int] = (None, 0, 0)
    for number, kind, length in fields(file, stop=file.tell() + size):
        start = file.tell()
        if number == DATA_TYPE and kind == VARINT:
            data_type = length
        elif number == DIMS:
            dims += 1 if kind == VARINT else sum(byte < 0x80 for byte in file.read(length))
        elif number == NAME and kind == BYTES:
            name = file.read(length).decode(errors="replace")
        elif number in (RAW_DATA, FLOAT_DATA) and kind == BYTES:
            place = (file, start, start + length)
        elif number == EXTERNAL_DATA and kind == BYTES:
            entry = {n: file.read(size) for n, _, size in fields(file, stop=start + length)}
            external[entry.get(1, b"")] = entry.get(2, b"")
    if external:
        begin = int(external.get(b"offset", b"0"))
        place = (beside, begin, begin + int(external.get(b"length", b"0")))
    if data_type == BFLOAT16 or data_type in FLOATS:
        yield name, _values(*place, data_type=data_type), dims > 1


def _values(file: BinaryIO | None, start: int, stop: int, *, data_type: int) -> Iterator[np.ndarray]:
    """The numbers between two places of a file, some at a time; each array until the next."""
    for chunk in _chunks(file, start=start, stop=stop) if file else ():
        if data_type == BFLOAT16:
            bits = np.frombuffer(chunk[: len(chunk) // 2 * 2], "<u2").astype("<u4") << 16
            yield bits.view("<f4")
        else:
            kind = FLOATS[data_type]
            yield np.frombuffer(chunk[: len(chunk) // kind.itemsize * kind.itemsize], kind)


def _chunks(file: BinaryIO, *, start: int, stop: int | None) -> Iterator[memoryview]:
    """The bytes between two places, or to the end; all in the same memory."""
    memory = memoryview(bytearray(CHUNK))
    file.seek(start)
    while (stop is None or start < stop) and (read := file.readinto(memory[: None if stop is None else stop - start])):  # type: ignore[attr-defined]
        yield memory[:read]
        start += read
