"""Data from files: JSON within limits, values of checked types, and text that a terminal may show. No torch."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

NESTED = 20  # most levels of lists and tables in a JSON text
VALUES = 200_000  # most values of a JSON text: one takes up to 100 bytes in memory
LONGEST = 100_000_000  # most bytes of a JSON text; the tokenizer of a large vocabulary takes 30 million
SHOWN = 100  # characters of a value that an error shows

MAX_CHANNELS = 10_000  # bands of a picture
MAX_SIDE = 65_536  # pixels of a training crop
MAX_STEPS = 10**15  # of a training
MAX_WIDTH = 4096  # channels of a network's first layer; it has up to eight times as many further in

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 and C1: escape sequences, line ends, and what rubs out
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    "\u2028\u2029\u180e\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"  # line ends of Unicode, and what cannot be seen
)


def visible(text: object, *, lines: bool = False) -> str:
    """`text` with control characters, and those that reverse or hide text, as escapes like `\\u001b`.

    Args:
        lines: line ends and tabs are the program's own, and stay.
    """
    keep = "\n\t" if lines else ""
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(text))


def _escaped(sign: str) -> str:
    """As JSON writes it."""
    return json.dumps(sign)[1:-1] if ord(sign) > 0xFFFF else f"\\u{ord(sign):04x}"


def brief(value: object, *, longest: int = SHOWN) -> str:
    """A value as an error shows it: in one line, and cut if it is long."""
    text = visible(repr(value) if not isinstance(value, str) else repr(value[: longest + 1]))
    return text if len(text) <= longest else f"{text[:longest]}..."


def some(names: list[str], *, most: int = 10) -> str:
    """The first of many names."""
    rest = len(names) - most
    return ", ".join(map(visible, names[:most])) + (f" and {rest} more" if rest > 0 else "")


def parsed(text: str | bytes, *, values: int = VALUES) -> Any:
    """The value of a JSON text from outside.

    Args:
        values: most values in it; the text is counted before memory is taken.

    Raises:
        ValueError: no JSON in UTF-8, or beyond the limits; in one line, without the name of the file.
    """
    _count(text, values=values)
    try:
        return json.loads(text)
    except RecursionError:  # not reached: the nesting was counted
        raise ValueError(f"nested more than {NESTED} deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"no text in UTF-8: {error}") from None
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None


def _count(text: str | bytes, *, values: int) -> None:
    """
    Raises:
        ValueError: the JSON text is longer, has more values or is nested deeper than is allowed.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} characters, and at most {LONGEST:,} are read")
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # the remaining quotes begin or end a string
    if raw.count(b'"') > 4 * values:
        raise ValueError(f"more than {values:,} values")
    depth, deepest, counted = 0, 0, 0
    for piece in raw.split(b'"')[::2]:
        counted += sum(map(piece.count, (b",", b"[", b"]", b"{", b"}")))
        if counted > 3 * values:
            raise ValueError(f"more than {values:,} values")
        for sign in re.findall(rb"[\[\]{}]", piece):
            depth += 1 if sign in b"[{" else -1
            deepest = max(deepest, depth)
    if deepest > NESTED:
        raise ValueError(f"nested {deepest} deep, and at most {NESTED} are read")


def check_header(path: Path) -> None:
    """Count the header of a safetensors file before a library reads it.

    Raises:
        ValueError: it is beyond the limits of a JSON text; without the name of the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        _count(file.read(min(size, LONGEST)), values=VALUES)


def checked(kind: type[T], text: str | bytes, *, values: int = VALUES) -> T:
    """The value of a JSON text as `kind`, a pydantic model or a dataclass. Nothing is converted but lists to tuples.

    Raises:
        ValueError: as `parsed`, or a field of another type or out of its range, which the line names.
    """
    _count(text, values=values)
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def reason(error: ValidationError) -> str:
    """The first thing that is wrong, in one line that begins with the field."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    field = visible(".".join(map(str, first["loc"])))[:SHOWN]
    if first["type"] == "json_invalid":
        return f"no JSON: {visible(first['msg'])}"
    if first["type"] == "missing":
        return f"{field} is missing"
    message = visible(message[:1].lower() + message[1:])
    return f"{field} got {brief(first['input'])}: {message}" if field else message


@contextlib.contextmanager
def about(file: object) -> Iterator[None]:
    """Within the block a plain `ValueError` names `file`, where its values come from."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError or str(file) in str(error):
            raise
        raise ValueError(f"{file}: {error}") from error


def read_text(path: Path, *, longest: int = LONGEST) -> str:
    """A whole text file in UTF-8.

    Raises:
        ValueError: it is longer, or no such text; without the name of the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(longest + 1)
    if len(raw) > longest:
        raise ValueError(f"longer than {longest:,} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"no text in UTF-8: {error}") from None
