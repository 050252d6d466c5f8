"""What a GPU shows in a few minutes, most valuable first.

    python -m benchmarks.gpu --minutes 8.5 --pairs FOLDER --unpaired FOLDER --out FOLDER
    python -m benchmarks.gpu --quick --device cpu       (every part at toy size, to see that it runs)

Each part has a share of the time and a process of its own, so that what fails or hangs ends alone; the time that a part
leaves goes to the next ones. `FOLDER/results.json` and `FOLDER/tables.md` are written anew after each part, and
`FOLDER/PART.json` after each row.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import command
from benchmarks.gpu import checks, deploying, feeding, steps, training
from benchmarks.gpu.options import Flags
from benchmarks.gpu.record import Clock, Record, page
from translate.files import write_text
from translate.tables import closest

GRACE = 10.0  # seconds that a part may take beyond its time before it is ended


class Part(NamedTuple):
    """A part of the benchmark."""

    title: str
    seconds: float  # of 8.5 minutes in all
    run: Callable[[Flags, Record, Clock], None]


PARTS = {
    "steps": Part("Where the time of a step goes", 40, steps.run),
    "graphs": Part("The same steps as CUDA graphs", 30, steps.graphs),
    "feeding": Part("Feeding, and what is written", 25, feeding.run),
    "recipe": Part("The published recipe: pix2pix on pairs", 230, training.published),
    "best": Part("The second training", 85, training.best),
    "deploying": Part("One network, to convert with", 30, deploying.run),
    "checks": Part("Tests that need a GPU", 40, checks.run),
    "compiled": Part("The step, compiled", 30, steps.compiled),
}


def benchmark(flags: Flags) -> None:
    """Run the parts.

    Raises:
        ValueError: no such part.
    """
    names = list(PARTS) if flags.only is None else [name.strip() for name in flags.only.split(",")]
    for name in names:
        if name not in PARTS:
            raise ValueError(f"--only: no part {name}{closest(name, list(PARTS))}: there are {', '.join(PARTS)}")
    flags.out.mkdir(parents=True, exist_ok=True)
    whole = Clock(60 * flags.minutes)
    scale = 60 * flags.minutes / sum(PARTS[name].seconds for name in names)
    found = {}
    for i, name in enumerate(names):
        later = sum(PARTS[other].seconds * scale for other in names[i + 1 :])
        seconds = max(whole.left - later, 1.0)
        print(f"{PARTS[name].title}: {seconds:.0f} s", flush=True)
        (isolated if flags.isolate else run_part)(name, flags, seconds)
        found[name] = Record.read(flags.out, name)
        heading = f"{found[name]['tables'].get('machine', [{}])[0].get('machine', flags.device)}, {date.today()}"
        write_text(flags.out / "results.json", json.dumps(found, indent=1) + "\n")
        write_text(flags.out / "tables.md", page(found, heading=heading if i == 0 else _heading(flags.out)))
    print(f"\n{(flags.out / 'tables.md').read_text(encoding='utf-8')}")


def _heading(folder: Path) -> str:
    return (folder / "tables.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def run_part(name: str, flags: Flags, seconds: float) -> None:
    """Run a part here; what it raises becomes a part of the results."""
    part, begin = PARTS[name], time.monotonic()
    record, error = Record(flags.out, name, title=part.title), None
    try:
        part.run(flags, record, Clock(seconds))
    except Exception as problem:  # whatever it is, the other parts go on
        error = "".join(traceback.format_exception(problem)[-3:]).strip()
        print(traceback.format_exc(), flush=True)
    record.end(seconds=time.monotonic() - begin, error=error)


def isolated(name: str, flags: Flags, seconds: float) -> None:
    """Run a part in a process of its own, which is ended if it takes too long. This one never touches the GPU."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=run_part, args=(name, flags, seconds))
    process.start()
    process.join(seconds + GRACE)
    if process.is_alive():
        process.terminate()
        process.join(3)
        process.kill()
        process.join()
    found = Record.read(flags.out, name)
    if process.exitcode and found.get("seconds") is None:
        found |= {"error": found.get("error") or f"its process ended with {process.exitcode}, after {seconds:.0f} s"}
        found = {"title": PARTS[name].title, "tables": {}, "notes": [], "seconds": seconds} | found
        write_text(flags.out / f"{name}.json", json.dumps(found, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.gpu", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
