"""Output to the terminal that never fails: lines and progress bars. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from translate.outside import visible

UP = "\x1b[A"  # moves the cursor one line up
_SURROGATE = re.compile("[\ud800-\udfff]")

NARROWEST, WIDEST = 40, 120  # columns that text is wrapped at
KEEP = "\N{NO-BREAK SPACE}"
"""A space in a text for `wrapped` at which no line ends, unless the words are longer than a line."""

_WORD = re.compile(" *[^ ]+")
_PART = re.compile(f"[^,|{KEEP}]*[,|{KEEP}]?")


class SafeStream:
    """A text stream that ignores failures to write: a closed pipe, a full disk, a stream that was never open.

    Everything else is passed on to `stream`, which needs only `write`. Characters that its encoding lacks are written
    as escapes; so are control characters, except line ends and the cursor movements of progress bars.
    """

    def __init__(self, stream: TextIO | SafeStream | None) -> None:
        self._stream = stream  # None where a process was started with its output closed

    def write(self, text: str) -> int:
        """Write `text` if possible."""
        if self._stream is not None:
            shown = terminal_safe(text)
            try:
                with contextlib.suppress(OSError):
                    self._stream.write(shown)
            except UnicodeEncodeError as error:
                encoding = getattr(self._stream, "encoding", None) or error.encoding
                with contextlib.suppress(OSError):
                    self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
            except ValueError:  # it has been closed
                self._stream = None
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError, AttributeError):  # closed, or without such a method
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Equal to its stream: tqdm clears its bars for what is written to the same stream."""
        return self._stream == getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)


def terminal_safe(text: str) -> str:
    """`text` with control characters and lone surrogates (bytes of names that are no UTF-8) as escapes."""
    if not text.replace(UP, ""):  # only a progress bar's movements
        return text
    begin = "\r" * text.startswith("\r")  # a progress bar begins with it, and no line of ours does
    return begin + _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text[len(begin) :], lines=True))


def say(text: str, *, aside: bool = False) -> None:
    """Print one or several lines without breaking progress bars; parts from files have to be `visible`.

    Args:
        aside: to standard error instead of standard output.
    """
    stream: Any = SafeStream(sys.stderr if aside else sys.stdout)
    tqdm.write(text, file=stream)
    stream.flush()


def bar(progress: bool, **options: Any) -> tqdm:
    """A progress bar, shown if `progress` and standard error is a terminal; `options` are tqdm's."""
    return tqdm(file=SafeStream(sys.stderr), disable=None if progress else True, **options)


@contextlib.contextmanager
def keep_printing() -> Iterator[None]:
    """Within the block, and at the end of the process, no print fails because of a closed pipe or a full disk.

    For the main program. If it was started with a closed output, the next file that is opened would get that number and
    everything that libraries print; so the null device takes the number here.
    """
    for place in range(3):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is `place`
    before = sys.stdout, sys.stderr
    streams: Any = [SafeStream(stream) for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            try:
                if stream is not None:
                    stream.flush()
            except OSError:  # Python would try once more at its end, and fail
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (ValueError, AttributeError):  # closed, or without a buffer
                continue


def terminal_width() -> int:
    """Columns of the terminal (or $COLUMNS), within `NARROWEST` and `WIDEST`; 80 where the output is no terminal."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def duration(seconds: float) -> str:
    """A time to be read by a person."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def aligned(rows: Sequence[Sequence[str]], *, heading: int | None = None, width: int | None = None) -> list[str]:
    """The rows of a table as lines: the first column to the left, the others to the right.

    Args:
        rows: the first is that of the headings. Control characters are shown as escapes.
        heading: letters after which a heading goes on in a line of its own; None: never.
        width: of the lines. Columns without room follow in a table below, with the first column again.
    """
    head, *body = ([visible(cell) for cell in row] for row in rows)
    headings = [textwrap.wrap(text, heading or max(len(text), 1)) or [""] for text in head]
    tall = max(map(len, headings))
    whole = [*zip(*([*[""] * (tall - len(lines)), *lines] for lines in headings), strict=True), *body]
    first, *widths = [max(len(row[column]) for row in whole) for column in range(len(head))]
    tables, used = [list[int]()], first
    for column, needed in enumerate(widths, start=1):
        if width is not None and tables[-1] and used + 2 + needed > width:
            tables.append([])
            used = first
        tables[-1].append(column)
        used += 2 + needed
    return [
        "  ".join([row[0].ljust(first), *(row[column].rjust(widths[column - 1]) for column in columns)]).rstrip()
        for columns in tables
        for row in whole
        if any(row[column] for column in columns) or row in body  # no empty lines of headings
    ]


def wrapped(text: str, *, width: int, first: str = "", rest: str = "") -> str:
    """`text` in lines of at most `width` columns; what is longer and has no space, comma or bar is left whole.

    Args:
        first, rest: begin the first line and all others.
    """
    lines, bare = [first], True  # bare: the last line has nothing yet but its beginning
    for word in _WORD.findall(text):
        fits = len(word.lstrip()) <= width - len(rest)
        for part in [word] if fits else filter(None, _PART.findall(word)):
            part = part.lstrip() if bare else part
            if len(lines[-1]) + len(part.rstrip(KEEP)) > width and (lines[-1].strip() or not bare):
                lines.append(rest)
                part = part.lstrip()
            lines[-1] += part
            bare = False
    return "\n".join(line.replace(KEEP, " ").rstrip() for line in lines)
