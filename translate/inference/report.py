"""What a conversion did, in numbers and in sentences. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from translate.inference.plan import Failure


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
    failures: tuple[Failure, ...]
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
        return 1 if self.failures else 0

    def summary(self) -> str:
        """Lines for a person: what was done, what was not, and every file that failed, with its reason."""
        lines = [
            f"converted {_pictures(self.converted)} into {self.destination} in {self.seconds:.1f} s "
            f"({self.rate:.1f} pictures/s on {self.device})"
        ]
        if self.existing:
            lines.append(f"skipped {_pictures(self.existing)} whose outputs exist already (--overwrite replaces them)")
        if self.strays:
            lines.append(f"skipped {self.strays} hidden files or files that are no pictures")
        lines += [f"note: {note.text} ({_pictures(note.count)}, first {note.first})" for note in self.notes]
        if self.failures:
            lines.append(f"failed: {_pictures(len(self.failures))}")
            lines += [f"  {failure.reason}" for failure in self.failures]
        return "\n".join(lines)


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"
