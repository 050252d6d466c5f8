"""The text-to-text header of an ONNX file, read without the onnx package and without its weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

MADE_KEY = "translate.export"  # the entry with what was decided when a file was made; none in the first ones

METADATA_PROPS = 14  # the field of ModelProto; in each of its entries field 1 is the key and field 2 the value
MAX_ENTRY_BYTES = 200_000_000
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # kinds of fields in a protocol buffer


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file, which may be empty.

    Raises:
        ValueError: the file is missing, cut off, or no ONNX file.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such model file")
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            for _, entry in _fields(file, {METADATA_PROPS}, size=path.stat().st_size):
                texts = dict(_fields(BytesIO(entry), {1, 2}, size=len(entry)))
                found[texts.get(1, b"").decode()] = texts.get(2, b"").decode()
    except (EOFError, UnicodeDecodeError):
        raise ValueError(f"{path}: not a complete ONNX file") from None
    return found


def _fields(file: BinaryIO, wanted: set[int], *, size: int) -> Iterator[tuple[int, bytes]]:
    """Number and content of the wanted fields of a message that fills the file; others are skipped."""
    for number, kind, length in fields(file, stop=size):
        if kind == BYTES and number in wanted:
            if length > MAX_ENTRY_BYTES:
                raise EOFError
            yield number, file.read(length)


def fields(file: BinaryIO, *, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, kind and length, or value of a number, of the fields of a message that ends at `stop`.

    The file is at the field's content then; the next field is found from any position.

    Raises:
        EOFError: this is no whole message.
    """
    while file.tell() < stop:
        number, kind = divmod(varint(file), 8)
        if kind not in (VARINT, FIXED_64, BYTES, FIXED_32):
            raise EOFError
        if kind == VARINT:
            yield number, kind, varint(file)
            continue
        length = varint(file) if kind == BYTES else {FIXED_64: 8, FIXED_32: 4}[kind]
        place = file.tell()
        if place + length > stop:
            raise EOFError
        yield number, kind, length
        file.seek(place + length)


def varint(file: BinaryIO) -> int:
    """A number of up to 64 bits, seven to a byte, the lowest first; the last byte has no high bit."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise EOFError
