"""What a conversion did, in numbers and in sentences. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from translate.inference.listing import Failure
from translate.outside import visible

TOLD = 1000  # failures that a report names itself; more stand in a file
FAILURES_FILE = "translate-failures.txt"


@dataclass(frozen=True)
class Note:
    """Something that was done otherwise than a reader might expect."""

    text: str
    count: int  # pictures it is true of
    first: str  # the name of one of them


@dataclass(frozen=True)
class Report:
    """What a conversion did. Nothing that was left out is left unsaid."""

    destination: Path
    converted: int
    existing: int  # outputs that were there already
    strays: int  # hidden files and folders, and files that are no pictures
    failed: int
    failures: tuple[Failure, ...]  # by path; of more than a thousand the first
    failures_file: Path | None  # all of them, a line each, where they are more than a thousand
    remark: str | None  # on the input as a whole
    notes: tuple[Note, ...]
    seconds: float
    device: str

    @property
    def rate(self) -> float:
        """Pictures converted a second, reading and writing included."""
        return self.converted / self.seconds if self.seconds else 0.0

    @property
    def exit_code(self) -> int:
        """0, or 1 where a picture could not be converted."""
        return 1 if self.failed else 0

    def summary(self) -> str:
        """Lines for a person: what was done, what was not, and every file that failed, with its reason."""
        lines = [
            f"converted {_pictures(self.converted)} into {visible(self.destination)} in {self.seconds:.1f} s "
            f"({self.rate:.1f} pictures/s on {self.device})"
        ]
        if self.existing:
            lines.append(f"skipped {_pictures(self.existing)} whose outputs exist already (--overwrite replaces them)")
        if self.strays:
            lines.append(f"skipped {self.strays} hidden files or files that are no pictures")
        lines += [f"note: {self.remark}"] if self.remark else []
        lines += [f"note: {note.text} ({_pictures(note.count)}, first {visible(note.first)})" for note in self.notes]
        if self.failed:
            lines.append(f"failed: {_pictures(self.failed)}")
            lines += [f"  {visible(failure.reason)}" for failure in self.failures]
        if self.failures_file:
            lines.append(
                f"  and {self.failed - len(self.failures):,} more: {visible(self.failures_file)} names all of them"
            )
        return "\n".join(lines)


class Failures:
    """Any number of failures in little memory: the first by path, and all of them in a file if they are many.

    To be used as a context, which closes the file.
    """

    def __init__(self, folder: Path, *, told: int = TOLD) -> None:
        self.count = 0
        self.file: Path | None = None
        self._folder, self._told = folder, told
        self._first: list[Failure] = []
        self._open: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open.close()

    @property
    def first(self) -> tuple[Failure, ...]:
        """The first ones by path, whatever the order they came in."""
        return tuple(sorted(self._first, key=lambda failure: failure.path)[: self._told])

    def add(self, failure: Failure) -> None:
        """Count another one.

        Raises:
            ValueError: it is one too many to be kept, and the file cannot be written.
        """
        self.count += 1
        self._first.append(failure)
        if self.count > self._told:
            self._write(self._first if self.file is None else [failure])
        if len(self._first) >= 2 * self._told:  # seldom, since it sorts
            self._first = list(self.first)

    def _write(self, failures: list[Failure]) -> None:
        path = self._folder / FAILURES_FILE
        try:
            if self._open is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open = path.open("w", encoding="utf-8", errors="surrogateescape")
                self.file = path
            self._open.writelines(f"{visible(failure.reason)}\n" for failure in failures)
        except OSError as error:
            raise ValueError(f"{path}: the failures cannot be written to it: {error.strerror}") from None


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"
