"""What is told while work goes on, which goes on though nobody hears it. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from tqdm import tqdm

from translate.outside import visible

UP = "\x1b[A"  # one line up
_SURROGATE = re.compile("[\ud800-\udfff]")


class Voice:
    """A text stream whose failures to write are no errors: its reader has gone, its disk is full, or it never was.

    All else is the stream's own, of which it needs no more than `write`. What its encoding cannot say is written as
    escapes; so are control characters, which names and files may hold, but for line ends and what bars move by.
    """

    def __init__(self, stream: TextIO | Voice | None) -> None:
        self._stream = stream  # None where a process was started with its output closed

    def write(self, text: str) -> int:
        """Write `text` if that can be done."""
        if self._stream is not None:
            shown = safe(text)
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
        """Write out what waits if that can be done."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether somebody may be watching."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError, AttributeError):  # it is gone, closed, or knows no terminals
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """As the stream: progress bars make room for what is written to the same one."""
        return self._stream == getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)


def safe(text: str) -> str:
    """`text` as a terminal may get it: lone surrogates, of names that are no UTF-8, may stand for control bytes."""
    if not text.replace(UP, ""):  # a bar's, alone
        return text
    begin = "\r" * text.startswith("\r")  # as a bar begins what it writes, and no line of ours
    return begin + _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text[len(begin) :], lines=True))


def say(text: str, *, aside: bool = False) -> None:
    """Print text beside progress bars: a line, or several whose parts from outside are `visible`.

    To standard output or, `aside`, where errors go.
    """
    stream: Any = Voice(sys.stderr if aside else sys.stdout)
    tqdm.write(text, file=stream)
    stream.flush()


def bar(progress: bool, **options: Any) -> tqdm:
    """A progress bar, shown if `progress` and a terminal is there; `options` are tqdm's."""
    return tqdm(file=Voice(sys.stderr), disable=None if progress else True, **options)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Within the block, and at the end of the process, no print fails for want of a reader or of room.

    For the main program. Where it was started with its output closed, the next file that is opened would take the place
    and get what libraries print: so it is taken here.
    """
    for place in range(3):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    before = sys.stdout, sys.stderr
    voices: Any = [Voice(stream) for stream in before]
    sys.stdout, sys.stderr = voices
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            try:
                if stream is not None:
                    stream.flush()
            except OSError:  # what waits would fail once more when Python ends
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (ValueError, AttributeError):  # closed, or it keeps nothing back
                continue
