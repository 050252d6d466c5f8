"""What it takes to begin: commands from the shell, and sets of many files until the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import reading
from benchmarks.measure import table
from benchmarks.start import TRANSLATE, cost
from benchmarks.table.conversion import EXACT, ONNX, made
from benchmarks.table.options import Bench

Amount = tuple[float, float]
"""CPU seconds, and MB (of commands) or KB a file (of starts)."""

STARTS: Mapping[str, Amount] = {"first": (10, 1)}  # what 50,000 files should take


@dataclass(frozen=True)
class Begun:
    """A command, or a start on a set, beside what it should take."""

    work: str
    seconds: float  # CPU
    memory: float
    unit: str
    target: Amount | None = None
    wall: float | None = None

    def cells(self) -> list[str]:
        """As the table shows it."""
        wanted = ("", "") if self.target is None else (f"{self.target[0]:g}", f"{self.target[1]:g} {self.unit}")
        wall = "" if self.wall is None else f"{self.wall:.2f}"
        memory = f"{self.memory:.0f}" if self.unit == "MB" else f"{self.memory:.2f}"
        return [self.work, f"{self.seconds:.2f}", wanted[0], wall, f"{memory} {self.unit}", wanted[1]]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {key: value for key, value in vars(self).items() if value is not None}


def shown(lines: list[Begun]) -> str:
    """The table of some lines."""
    return table(
        [line.cells() for line in lines], titles=["work", "CPU s", "target s", "wall s", "memory", "target memory"]
    )


def commands(bench: Bench) -> list[Begun]:
    """Of each the quickest of three runs and the largest peak.

    Raises:
        ValueError: a command fails.
    """
    network = made(bench, "unet")
    photo = min(bench.photos(size=network.size, count=1).iterdir())
    out = bench.folder / "made.png"
    asked: dict[str, tuple[tuple[str, ...], Amount | None]] = {
        "translate models": (("models",), (0.3, 50)),
        "translate train pix2pix --help": (("train", "pix2pix", "--help"), (0.3, 50)),
    }
    for way, target in ((ONNX, (0.8, 200)), (EXACT, (2.5, 800))):
        if file := network.files.get(way):
            title = f"translate convert MODEL{file.suffix} IN OUT (U-Net-{network.size})"
            asked[title] = (("convert", str(file), str(photo), str(out), "--overwrite"), target)
    lines = []
    for title, (words, wanted) in asked.items():
        costs = [cost((*TRANSLATE, *words)) for _ in range(bench.rounds(3))]
        if any(found.code for found in costs):
            raise ValueError(f"{title} fails: try translate {' '.join(words)}")
        peak = max(found.peak for found in costs)
        lines.append(Begun(title, min(found.seconds for found in costs), peak, "MB", wanted))
    return lines


def starts(bench: Bench) -> list[Begun]:
    """The first start on a set, which reads every file, and the next, which has an index; up to the first step."""
    count = bench.sized(bench.flags.files, min(bench.flags.files, 600))
    lines = []
    with reading.many(count, reading.Flags()) as folder:
        for name in ("first", "next"):
            found = reading.alone(folder, "side-by-side")
            wanted = STARTS.get(name) if count == 50_000 else None
            title = f"{count:,} files until its pictures are known, {name} start"
            kilobytes = found["bytes"] / 1e3 / count
            lines.append(Begun(title, found["cpu"], kilobytes, "KB a file", wanted, found["wall"]))
    return lines
