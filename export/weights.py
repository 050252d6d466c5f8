"""Checks the weights in an ONNX file without the onnx package. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from translate.export.metadata import BYTES, VARINT, fields
from translate.export.storage import data_file

GRAPH, INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, EXTERNAL_DATA = 1, 2, 4, 8, 9, 13  # fields of TensorProto
FLOATS: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
BFLOAT16 = 16


def checked_weights(path: Path) -> str:
    """Checksum of an ONNX file and its second file of weights, all of which have to be finite.

    Reads all bytes twice from memory: about 1.5 s for 1 GB.

    Raises:
        ValueError: a weight is NaN, or infinite in a matrix or filter; or this is no ONNX file.
    """
    parts = [part.read_bytes() for part in (path, data_file(path)) if part.is_file()]
    try:
        for name, values, several in _weights(parts[0], parts[1] if len(parts) > 1 else b""):
            bad = np.isnan(values) if not several else ~np.isfinite(values)  # an infinite scalar may be a limit
            if bad.any():
                raise ValueError(
                    f"{path}: {int(bad.sum()):,} of the {values.size:,} weights in {name} are not finite (NaN or "
                    "infinity): the training diverged, or the file is damaged; export earlier weights (--step N)"
                )
    except EOFError:
        raise ValueError(f"{path}: not a complete ONNX file") from None
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _weights(content: bytes, beside: bytes) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Name and values of each floating tensor, and whether it is a matrix or more."""
    file = BytesIO(content)
    for number, kind, length in fields(file, stop=len(content)):
        if (number, kind) != (GRAPH, BYTES):
            continue
        for inner, sort, size in fields(file, stop=file.tell() + length):
            if (inner, sort) == (INITIALIZER, BYTES):
                yield from _floats(file, size, beside)


def _floats(file: BytesIO, size: int, beside: bytes) -> Iterator[tuple[str, np.ndarray, bool]]:
    whole = file.getbuffer()
    name, data_type, dims, raw, external = "", 0, 0, memoryview(b""), {}
    for number, kind, length in fields(file, stop=file.tell() + size):
        start = file.tell()
        if number == DATA_TYPE and kind == VARINT:
            data_type = length
        elif number == DIMS:
            dims += 1 if kind == VARINT else sum(byte < 0x80 for byte in whole[start : start + length])
        elif number == NAME and kind == BYTES:
            name = bytes(whole[start : start + length]).decode(errors="replace")
        elif number in (RAW_DATA, FLOAT_DATA) and kind == BYTES:
            raw = whole[start : start + length]
        elif number == EXTERNAL_DATA and kind == BYTES:
            entry = {n: file.read(size) for n, _, size in fields(file, stop=start + length)}
            external[entry.get(1, b"")] = entry.get(2, b"")
    if external:
        begin = int(external.get(b"offset", b"0"))
        raw = memoryview(beside)[begin : begin + int(external.get(b"length", b"0"))]
    if data_type == BFLOAT16:
        bits = np.frombuffer(raw, "<u2").astype("<u4") << 16
        yield name, bits.view("<f4"), dims > 1
    elif data_type in FLOATS:
        kind_of = FLOATS[data_type]
        yield name, np.frombuffer(raw[: len(raw) // kind_of.itemsize * kind_of.itemsize], kind_of), dims > 1
