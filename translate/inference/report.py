"""Report of a conversion: numbers, notes and failures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from translate.inference.listing import Failure
from translate.inference.shards import Shard
from translate.outside import visible

MAX_LISTED = 1000  # failures that a report lists; more go to a file
FAILURES_FILE = "translate-failures.txt"


def failures_file(shard: Shard | None) -> str:
    """The name of the file with all failures. Each shard has its own."""
    return FAILURES_FILE if shard is None else f"translate-failures-{shard.stem}.txt"


@dataclass(frozen=True)
class Note:
    """Something about some pictures that a user should know."""

    text: str
    count: int  # pictures it applies to
    first: str  # the name of one of them
    listed: bool = False  # about the list of all inputs: the same for each shard


@dataclass(frozen=True)
class Report:
    """Result of a conversion. Everything that was skipped or failed is counted."""

    destination: Path
    converted: int
    existing: int  # outputs that existed and were kept
    ignored: int  # hidden files and folders, and files that are no pictures
    failed: int
    failures: tuple[Failure, ...]  # by path; the first thousand
    failures_file: Path | None  # lists all failures, if more than a thousand
    remark: str | None  # about the input folder
    notes: tuple[Note, ...]
    seconds: float
    device: str
    shard: Shard | None = None  # the part of the inputs that the numbers are of
    listed: int = 0  # outputs of all shards
    unlisted: int = 0  # of the failures, folders that could not be listed

    @property
    def done(self) -> int:
        """Outputs that were gone through, existing and failed ones too."""
        return self.converted + self.existing + self.failed - self.unlisted

    @property
    def rate(self) -> float:
        """Pictures converted a second, reading and writing included."""
        return self.converted / self.seconds if self.seconds else 0.0

    @property
    def exit_code(self) -> int:
        """0, or 1 where a picture could not be converted."""
        return 1 if self.failed else 0

    def summary(self) -> str:
        """Text for the terminal: pictures converted and skipped, notes, and each failure with its reason."""
        lines = [
            f"converted {pictures(self.converted)} into {visible(self.destination)} in {self.seconds:.1f} s "
            f"({self.rate:.1f} pictures/s on {self.device})"
        ]
        if self.shard:
            lines.append(f"shard {self.shard}: {self.done:,} of {pictures(self.listed)}")
        if self.existing:
            lines.append(f"skipped {pictures(self.existing)} whose outputs exist already (--overwrite replaces them)")
        if self.ignored:
            lines.append(f"skipped {self.ignored} hidden files or files that are no pictures")
        lines += [f"note: {self.remark}"] if self.remark else []
        lines += [f"note: {note.text} ({pictures(note.count)}, first {visible(note.first)})" for note in self.notes]
        if self.failed:
            lines.append(f"failed: {pictures(self.failed)}")
            lines += [f"  {visible(failure.reason)}" for failure in self.failures]
        if self.failures_file:
            lines.append(
                f"  and {self.failed - len(self.failures):,} more: {visible(self.failures_file)} names all of them"
            )
        return "\n".join(lines)


class Failures:
    """Any number of failures in little memory: keeps the first by path, and writes all to a file if there are many.

    A context, which closes the file.
    """

    def __init__(self, folder: Path, *, name: str = FAILURES_FILE, listed: int = MAX_LISTED) -> None:
        self.count = 0
        self.file: Path | None = None
        self._path, self._listed = folder / name, listed
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
        """The first ones by path, whatever order they came in."""
        return tuple(sorted(self._first, key=lambda failure: failure.path)[: self._listed])

    def add(self, failure: Failure) -> None:
        """Count a failure, and keep it or write it to the file.

        Raises:
            ValueError: the file cannot be written.
        """
        self.count += 1
        self._first.append(failure)
        if self.count > self._listed:
            self._write(self._first if self.file is None else [failure])
        if len(self._first) >= 2 * self._listed:  # rarely, since this sorts
            self._first = list(self.first)

    def _write(self, failures: list[Failure]) -> None:
        path = self._path
        try:
            if self._open is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open = path.open("w", encoding="utf-8", errors="surrogateescape")
                self.file = path
            self._open.writelines(f"{visible(failure.reason)}\n" for failure in failures)
        except OSError as error:
            raise ValueError(f"{path}: the failures cannot be written to it: {error.strerror}") from None


def pictures(count: int) -> str:
    """A number of pictures in words."""
    return f"{count:,} picture{'s' * (count != 1)}"
