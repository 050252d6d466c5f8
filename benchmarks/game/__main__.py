"""The plots and figures of docs/game.md: what the game does where the answer is known.

    python -m benchmarks.game [--only PART] [--out FOLDER] [--seeds 0,1,2] [--pictures OPENMOJI]

Each part trains by the project's own `Game` and `Step`, writes one plot, and prints a table; `results.json` has the
tables of all parts that were made so far. Everything takes under five minutes on two cores that do nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from benchmarks import command
from benchmarks.game.parts import PARTS, made
from benchmarks.game.work import Work, cells
from benchmarks.kept import keep, kept
from benchmarks.measure import machine, table
from translate.fields import OneOf, Settings


class Flags(Settings):
    """The plots and figures of docs/game.md."""

    out: Path = Field(Path("game"), description="folder for the plots and results.json")
    only: Annotated[str | None, OneOf(PARTS)] = Field(None, description="one part; by default all")
    seeds: command.Numbers = Field("0", description="seeds, with commas between; parts but the ring take the first")
    share: float = Field(1.0, gt=0, le=10, description="share of the training steps that the page was made with")
    pictures: Path | None = Field(
        None, description="folder of OpenMoji with train/B and val/B; by default drawn discs (part pictures)"
    )
    processes: int = Field(2, ge=1, le=64, description="parts that run at once, each on one core")

    @property
    def work(self) -> Work:
        """What each part is told."""
        return Work(self.out, seeds=command.numbers(self.seeds), share=self.share, pictures=self.pictures)


def benchmark(flags: Flags) -> None:
    """Make the parts, each written down and printed when it is done."""
    path = flags.out / "results.json"
    results = kept(path)
    names = [flags.only] if flags.only else list(PARTS)
    for name, found in _all_made(flags, names):
        results[name] = found
        keep(results, path, order=PARTS)
        texts, titles = cells(found["rows"])
        print(f"{name}: {found['core seconds']} s of a core\n\n{table(texts, titles=titles)}\n", flush=True)
    print(machine(torch.device("cpu")))


def _all_made(flags: Flags, names: Sequence[str]) -> Any:
    make = partial(made, flags.work)
    if len(names) == 1 or flags.processes == 1:
        for name in names:
            yield name, make(name)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(flags.processes, mp_context=get_context("spawn")) as pool:
        yield from zip(names, pool.map(make, names), strict=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.game", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
