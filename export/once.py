"""Opens a graph for one small picture: sooner than for many, and with its weights in memory once. Imports no torch.

ONNX Runtime copies the weights of a file into messages, from there into tensors, and rearranges these for its kernels,
which pays after some pictures only. Here they are read once, to where they stay, and checked and summed up while they
are in the processor's cache. The graph is opened without them, and uses them where they are, as they are. Sums are
added up in another order so: of two networks, 5 and 13 of 100,000 values of 8 bits came out one level apart.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from translate.export.metadata import BYTES, VARINT, fields, varint
from translate.export.providers import CPU, runtime
from translate.export.session import Opened, runs_on_cpu, session_options
from translate.export.storage import data_file
from translate.export.weights import (
    BFLOAT16,
    CHUNK,
    DATA_TYPE,
    DIMS,
    EXTERNAL_DATA,
    FLOAT_DATA,
    FLOATS,
    GRAPH,
    INITIALIZER,
    NAME,
    RAW_DATA,
)

if TYPE_CHECKING:
    from hashlib import _Hash

BYTES_PER_PIXEL = 300
"""Bytes of a graph's file for each pixel of the picture, from which this is quicker: rearranging takes 2 ms for 1 MB,
and saves 0.2 to 0.6 microseconds a pixel (a U-Net and a ResNet of width 64, on one core of an EPYC)."""

FLOAT32, DATA_LOCATION, EXTERNAL = 1, 14, 1  # TensorProto.FLOAT; a field of TensorProto, and its value
ALIGNMENT = 64  # bytes, a line of the cache
SMALL = 1024  # bytes below which a tensor stays in the graph, where it may be a factor
MAX_WHOLE = 2**16  # bytes of a tensor of whole numbers, which are shapes and places: more are weights of 8 bits


class _Unsuitable(Exception):
    """Only the ordinary way opens this file, or says what is wrong with it."""


@dataclass(frozen=True)
class _Weight:
    """A tensor of float32 and where its bytes are in the file."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


def open_once(path: Path, *, device: str, pixels: int) -> tuple[Opened, str] | None:
    """The graph in `path` for one picture of so many pixels, and its checksum as by `checked_weights`.

    None where the ordinary way is as good, or is needed: another device than the CPU, other weights than float32, a
    second file of weights, small networks, large pictures, and files that are damaged.
    """
    if path.stat().st_size < BYTES_PER_PIXEL * pixels or data_file(path).exists() or not runs_on_cpu(device):
        return None
    options = session_options()
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.disable_prepacking", "1")
    # Of this folder it checks that the file is there; what it may still read of it is what was read here.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path.absolute().parent)
    )
    try:
        with path.open("rb") as file:
            before = path.stat()
            graph, weights = _without_weights(file, size=before.st_size, name=path.name)
            values, checksum = _read(file, weights)
            if (before.st_size, before.st_mtime_ns) != (path.stat().st_size, path.stat().st_mtime_ns):
                return None
        shared = {name: runtime().OrtValue.ortvalue_from_numpy(array) for name, array in values.items()}
        for name, value in shared.items():
            options.add_initializer(name, value)
        return Opened(runtime().InferenceSession(graph, options, providers=[CPU]), "cpu", held=shared), checksum
    except Exception:  # the ordinary way says what it is; ONNX Runtime's errors have no common class below this one
        return None


def _without_weights(file: BinaryIO, *, size: int, name: str) -> tuple[bytes, list[_Weight]]:
    """The graph with references to the file in place of large tensors, and these in the order of the file."""
    weights: list[_Weight] = []
    whole = [
        _message(GRAPH, _graph(file, start, stop, weights, file_name=name))
        if (number, kind) == (GRAPH, BYTES)
        else _copied(file, begin, stop)
        for number, kind, _, begin, start, stop in _parts(file, 0, size)
    ]
    return b"".join(whole), sorted(weights, key=lambda weight: weight.start)


def _graph(file: BinaryIO, start: int, stop: int, weights: list[_Weight], *, file_name: str) -> bytes:
    return b"".join(
        _message(INITIALIZER, _tensor(file, inner, end, weights, file_name=file_name))
        if (number, kind) == (INITIALIZER, BYTES)
        else _copied(file, begin, end)
        for number, kind, _, begin, inner, end in _parts(file, start, stop)
    )


def _tensor(file: BinaryIO, start: int, stop: int, weights: list[_Weight], *, file_name: str) -> bytes:
    kept: list[bytes] = []
    shape: list[int] = []
    name, data_type, raw = "", 0, (0, 0)
    for number, kind, value, begin, inner, end in _parts(file, start, stop):
        if number == EXTERNAL_DATA or (number == FLOAT_DATA and end > inner):
            raise _Unsuitable
        if (number, kind) == (RAW_DATA, BYTES):
            raw = inner, end
            continue
        kept.append(_copied(file, begin, end))
        if number == DIMS:
            shape += [value] if kind == VARINT else _numbers(_copied(file, inner, end))
        elif (number, kind) == (DATA_TYPE, VARINT):
            data_type = value
        elif (number, kind) == (NAME, BYTES):
            name = _copied(file, inner, end).decode()
    size, is_float = raw[1] - raw[0], data_type == FLOAT32
    if not is_float and (data_type in (*FLOATS, BFLOAT16) or size > MAX_WHOLE):
        raise _Unsuitable
    if not is_float or size < SMALL:
        content = _copied(file, *raw)
        if is_float and np.isnan(np.frombuffer(content, "<f4")).any():
            raise _Unsuitable
        return b"".join(kept) + _message(RAW_DATA, content)
    if size != 4 * math.prod(shape):
        raise _Unsuitable
    weights.append(_Weight(name, tuple(shape), *raw))
    entries = {"location": file_name, "offset": str(raw[0]), "length": str(size)}
    beside = [_message(EXTERNAL_DATA, _message(1, k.encode()) + _message(2, v.encode())) for k, v in entries.items()]
    return b"".join((*kept, *beside, _number(8 * DATA_LOCATION + VARINT), _number(EXTERNAL)))


def _read(file: BinaryIO, weights: list[_Weight]) -> tuple[Mapping[str, np.ndarray], str]:
    """The tensors, from one reading of the whole file, and its checksum."""
    places, room = [], 0
    for weight in weights:
        places.append(room)
        room += -(-(weight.stop - weight.start) // ALIGNMENT) * ALIGNMENT
    memory = _memory(max(room, 1))
    digest, between = hashlib.sha256(), memoryview(bytearray(CHUNK))
    found: dict[str, np.ndarray] = {}
    file.seek(0)
    for weight, place in zip(weights, places, strict=True):
        _skip(file, weight.start, between, digest)
        size = weight.stop - weight.start
        own = memory[place : place + size]
        for some in (own[start : start + CHUNK] for start in range(0, size, CHUNK)):
            if file.readinto(some.data) != len(some) or not np.isfinite(some.view("<f4")).all():  # type: ignore[attr-defined]
                raise _Unsuitable
            digest.update(some.data)
        found[weight.name] = own.view(np.float32).reshape(weight.shape)
    _skip(file, None, between, digest)
    return found, f"sha256:{digest.hexdigest()}"


def _memory(size: int) -> np.ndarray:
    """Bytes that begin at a multiple of `ALIGNMENT`.

    NumPy asks for large pages, which on a machine that has been up for long take 0.4 s for 218 MB, or 0.03; small ones,
    all at once, take 0.1.
    """
    if sys.platform == "linux":
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
        return np.frombuffer(mmap.mmap(-1, size, flags=flags), np.uint8)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size]


def _skip(file: BinaryIO, stop: int | None, memory: memoryview, digest: _Hash) -> None:
    """Add the bytes up to a place, or to the end, to the digest."""
    while (room := CHUNK if stop is None else min(CHUNK, stop - file.tell())) and (
        read := file.readinto(memory[:room])  # type: ignore[attr-defined]
    ):
        digest.update(memory[:read])


def _parts(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Of each field of a message: number, kind, length or value, and where it, its content and its end are."""
    file.seek(start)
    begin = start
    for number, kind, value in fields(file, stop=stop):
        inner = file.tell()
        end = inner if kind == VARINT else inner + value
        yield number, kind, value, begin, inner, end
        file.seek(end)
        begin = end


def _copied(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _numbers(content: bytes) -> list[int]:
    file = BytesIO(content)
    found = []
    while file.tell() < len(content):
        found.append(varint(file))
    return found


def _message(number: int, content: bytes) -> bytes:
    return _number(8 * number + BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """As `varint` reads it."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
