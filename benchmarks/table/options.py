"""The flags, and what the rows share: one machine, one set of pictures, one set of model files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field, field_validator

from benchmarks.turns import Clock
from translate.datasets.files import pictures
from translate.fields import Settings
from translate.houses import draw, sample_house

LOAD = 286 / 256  # sides of a picture before its crop, by those of the crop
DRAWN = 24  # pictures, where none are given


class Flags(Settings):
    """Every row of the table in docs/benchmarks.md: about ten minutes on two cores that do nothing else."""

    rows: str | None = Field(None, description="names of rows, with commas between (default: all)")
    quick: bool = Field(False, description="toy sizes, one round, nothing exported: a rehearsal of seconds")
    data: Path | None = Field(
        None, description="folder of side-by-side pairs to read and convert, such as facades (default: drawn fronts)"
    )
    files: int = Field(50_000, ge=1, description="files of the set of the row starts")
    rounds: float = Field(1.0, gt=0, description="times the usual number of rounds")
    threads: int | None = Field(None, ge=1, description="CPU threads of every candidate (default: torch's own choice)")
    clock: Clock = Field("wall", description="wall, or cpu: time of all threads, for a machine with other work")
    isolate: bool | None = Field(
        None, description="each candidate in a process of its own (default: yes, but for --quick)"
    )
    out: Path | None = Field(None, description="JSON file for all figures; rows that it has already are kept")
    page: Path | None = Field(None, description="page to put the tables into, as docs/benchmarks.md has marks for them")

    @field_validator("data")
    @classmethod
    def _there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("no such folder")
        return value

    @property
    def apart(self) -> bool:
        """Whether each candidate has a process of its own."""
        return not self.quick if self.isolate is None else self.isolate


@dataclass(frozen=True)
class Bench:
    """What the rows are measured with."""

    flags: Flags
    folder: Path  # for files, deleted at the end
    networks: dict[str, Any] = field(default_factory=dict)  # whose files several rows use
    notes: list[str] = field(default_factory=list)  # what was left out, and why

    def sized(self, full: int, quick: int) -> int:
        """A number at full size, or in a rehearsal."""
        return quick if self.flags.quick else full

    def rounds(self, usual: int) -> int:
        """Measured rounds of a row."""
        return 1 if self.flags.quick else max(1, round(usual * self.flags.rounds))

    def pairs(self, *, size: int) -> Path:
        """A folder with side-by-side files in `train` and `val`: the user's, or drawn fronts of this size as JPEG."""
        if self.flags.data is not None:
            return self.flags.data
        folder = self.folder / f"pairs-{size}"
        if not folder.exists():
            for part, numbers in (("train", range(self.sized(DRAWN, 3))), ("val", range(1000, 1001))):
                (folder / part).mkdir(parents=True)
                for number in numbers:
                    front = draw(sample_house(0, number), size)
                    both = Image.fromarray(np.concatenate([front.photo, front.labels], 1))
                    both.save(folder / part / f"{number}.jpg", quality=95)
        return folder

    def train_files(self, *, size: int) -> list[Path]:
        """Those of `pairs` to train on."""
        return sorted(pictures(self.pairs(size=size) / "train"))

    def photos(self, *, size: int, count: int) -> Path:
        """A folder with this many JPEG files: the left halves of `pairs`, at this size, again and again if too few."""
        folder = self.folder / f"photos-{size}-{count}"
        if not folder.exists():
            folder.mkdir()
            for number, file in enumerate(islice(cycle(self.train_files(size=size)), count)):
                with Image.open(file) as both:
                    half = both.convert("RGB").crop((0, 0, both.width // 2, both.height))
                half.resize((size, size)).save(folder / f"{number:03}.jpg", quality=95)
        return folder


@contextmanager
def bench(flags: Flags) -> Iterator[Bench]:
    """A place to measure, whose files are deleted afterwards."""
    with TemporaryDirectory() as folder:
        yield Bench(flags, Path(folder))


Kind = Literal["float32", "bfloat16", "int8"]
"""Of numbers: what a way computes in, and what the machine's peak is measured in."""
