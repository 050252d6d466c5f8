"""What it takes to start: CPU time and peak memory of commands, each in a process of its own.

    python -m benchmarks.start [--models photos.onnx,runs/photos] [--size 256] [--rounds 3]

Python keeps what it compiles, as an installer does, whatever PYTHONDONTWRITEBYTECODE says: the first run compiles, and
the quickest counts.
Time is that of all threads in the process and in the system, so that other programs change it little. PyTorch alone is
a row: below it no command can be that needs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from benchmarks import command
from benchmarks.measure import table
from translate.errors import USAGE
from translate.fields import Settings
from translate.houses import draw, sample_house
from translate.images import write

TRANSLATE = ("-m", "translate")
TOLD = (
    ("--version",),
    ("models",),
    ("--help",),
    ("train", "pix2pix", "--help"),
    ("convert", "--help"),
    ("train", "pix2pix", "--epchs", "3"),
)
"""Commands that only tell something; the last what is wrong with it."""

WRONG = ((*TRANSLATE, *TOLD[-1]),)


HELPER = """
import os, sys
silent = [(os.POSIX_SPAWN_OPEN, end, os.devnull, os.O_WRONLY, 0) for end in (1, 2)]
process = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ, file_actions=silent)
_, status, used = os.wait4(process, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Starts a process and measures it. A small one, since no peak is below the size of the process that starts it."""


class Flags(Settings):
    """What it takes to start: CPU time and peak memory of commands, each in a process of its own."""

    models: str | None = Field(None, description="model files, FILE,FILE,..., each of which converts a picture")
    size: int = Field(256, ge=16, description="side of the picture that is drawn and converted, in pixels")
    rounds: int = Field(3, ge=1, description="runs of each command, of which the quickest counts")


class Cost(NamedTuple):
    """What a process took."""

    code: int  # that it ended with
    seconds: float  # CPU, all threads
    peak: float  # MB in memory at once


def cost(words: Sequence[str]) -> Cost:
    """What a process of this Python takes; what it prints is dropped."""
    helper = [sys.executable, "-c", HELPER, *words]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(helper, stdout=subprocess.PIPE, text=True, check=True, env=kept)
    code, seconds, peak = done.stdout.split()
    return Cost(int(code), float(seconds), int(peak) / (2**20 if sys.platform == "darwin" else 2**10))


def benchmark(flags: Flags) -> None:
    """Print the table.

    Raises:
        ValueError: a model cannot be used, or this is Windows.
    """
    if not hasattr(os, "wait4"):
        raise ValueError("this system does not say what a process took")
    commands = {f"translate {' '.join(words)}": (*TRANSLATE, *words) for words in TOLD}
    commands["import torch"] = ("-c", "import torch")
    with tempfile.TemporaryDirectory() as name:
        picture, made = (str(Path(name) / file) for file in ("in.png", "out.png"))
        write(Path(picture), draw(sample_house(0, 0), (flags.size, flags.size)).photo)
        for model in flags.models.split(",") if flags.models else ():
            converts = ("convert", model.strip(), picture, made, "--overwrite")
            commands[f"translate convert {Path(model.strip()).name} IN OUT"] = (*TRANSLATE, *converts)
        rows = []
        for title, words in commands.items():
            costs = [cost(words) for _ in range(flags.rounds)]
            if any(found.code != (USAGE if words in WRONG else 0) for found in costs):
                raise ValueError(f"{title} fails: try it alone")
            rows.append((title, f"{min(c.seconds for c in costs):.2f}", f"{max(c.peak for c in costs):.0f}"))
    print(table(rows, titles=("command", "CPU s", "peak MB")))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.start", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
