"""Time and memory until the pictures of a set are known: at the first start, and at the next, which has an index.

    python -m benchmarks.reading [--files 1000,10000] [--layout side-by-side|folders] [--data FOLDER] [--val 100]

Makes sets of hard links to a few pictures, in a folder that is deleted afterwards: those of FOLDER, or such as it makes
itself. Every start is a process of its own. Linear growth shows in the columns of one file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from benchmarks import command
from benchmarks.measure import peak_bytes, table
from translate.datasets.files import pictures
from translate.datasets.preparation.index import VARIABLE
from translate.datasets.prepare import prepare
from translate.fields import Settings
from translate.settings import DataSettings

MADE = 100  # pictures that are linked to, where no folder is given
TITLES = ("files", "start", "CPU s", "wall s", "CPU ms a file", "MB", "KB a file", "read", "decoded later")


class Flags(Settings):
    """Starts on sets of many files, with and without an index of them."""

    files: command.Numbers = Field("1000,10000", description="how many there are in each set, with commas between")
    layout: Literal["side-by-side", "folders"] = Field("side-by-side", description="how the pictures lie")
    data: Path | None = Field(None, description="folder of the pictures to link to, all of the layout (default: made)")
    side: int = Field(64, ge=4, description="pixels of the side of the pictures that are made")
    val: int = Field(0, ge=0, description="as many pairs for validation: then contents are checked during the training")
    one: Path | None = Field(None, description="measure a start on this folder, and print it as JSON: for itself")


def benchmark(flags: Flags) -> None:
    """Print a table of the starts."""
    if flags.one is not None:
        print(json.dumps(start(flags.one, flags.layout)))
        return
    rows = []
    for count in command.numbers(flags.files):
        with many(count, flags) as folder:
            for name in ("first", "next"):
                found = alone(folder, flags.layout)
                rows.append((count, name, *_shown(found, count)))
    print(table(rows, titles=TITLES))


def _shown(found: dict[str, float], count: int) -> Iterator[str]:
    yield f"{found['cpu']:.2f}"
    yield f"{found['wall']:.2f}"
    yield f"{1000 * found['cpu'] / count:.3f}"
    yield f"{found['bytes'] / 1e6:.0f}"
    yield f"{found['bytes'] / 1e3 / count:.2f}"
    yield f"{found['read']:.0f}"
    yield f"{found['later']:.0f}"


def alone(folder: Path, layout: str) -> dict[str, float]:
    """What `start` finds on `set` in `folder`, in a process of its own, with an index beside the set."""
    words = [sys.executable, "-m", "benchmarks.reading", "--one", str(folder / "set"), "--layout", layout]
    place = {VARIABLE: str(folder / "index"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(words, env={**os.environ, **place}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def start(folder: Path, layout: str) -> dict[str, float]:
    """Find and read the pictures of `folder`: seconds, bytes of memory beyond those before, and pictures read here.

    Seconds are those of the processes that read for this one, too; bytes are not, since they do not grow with the set.
    """
    from translate.datasets.preparation import looking

    read, before = [0], looking.read_hashed

    def counted(path: str, **given: int) -> object:
        read[0] += 1
        return before(path, **given)

    looking.read_hashed = counted  # type: ignore[assignment]
    cv2.setNumThreads(1)
    memory, cpu, wall = peak_bytes(), _cpu_seconds(), time.perf_counter()
    settings = DataSettings.make({"data": folder, "layout": layout})
    data = prepare(settings, behind=True, say=lambda line: None, progress=True)
    seconds = _cpu_seconds() - cpu, time.perf_counter() - wall
    looking.read_hashed = before
    used = {"cpu": seconds[0], "wall": seconds[1], "bytes": peak_bytes() - memory}
    return {**used, "read": read[0], "later": data.unchecked}


def _cpu_seconds() -> float:
    """Of this process and of those that it started and waited for: large sets are read by several."""
    return time.process_time() + sum(os.times()[2:4])


@contextmanager
def many(count: int, flags: Flags) -> Iterator[Path]:
    """A folder with `set`, which holds so many files; deleted afterwards."""
    with tempfile.TemporaryDirectory() as made:
        base, root = Path(made, "base"), Path(made, "set")
        base.mkdir()
        sources = pictures(flags.data) if flags.data else made_pictures(base, flags)
        sides = ["."] if flags.layout == "side-by-side" else ["A", "B"]
        for split, number in (("train", count // len(sides)), ("val", flags.val)):
            for place, side in enumerate(sides):
                (root / split / side).mkdir(parents=True, exist_ok=True)
                for i in range(number):
                    source = sources[(i * len(sides) + place) % len(sources)]
                    _linked(source, root / split / side / f"{i:07d}{source.suffix}")
        yield Path(made)


def _linked(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # on another disk, or more links than it allows
        target.write_bytes(source.read_bytes())
        os.utime(target, (10**9, 10**9))


def made_pictures(folder: Path, flags: Flags) -> list[Path]:
    """Smooth noise, about as large as files of photographs; last changed long ago, as pictures of a set are."""
    rng, made = np.random.default_rng(0), []
    width = flags.side * (2 if flags.layout == "side-by-side" else 1)
    for i in range(MADE):
        small = rng.integers(0, 256, (flags.side // 4, width // 4, 3), dtype=np.uint8)
        made.append(folder / f"{i}.jpg")
        cv2.imwrite(str(made[-1]), cv2.resize(small, (width, flags.side), interpolation=cv2.INTER_CUBIC))
        os.utime(made[-1], (10**9, 10**9))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point."""
    return command.run(benchmark, Flags, name="benchmarks.reading", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
