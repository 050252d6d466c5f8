"""Every row of the table in docs/benchmarks.md, measured by one command.

    python -m benchmarks.table [--rows pix2pix-256,reading] [--data FOLDER] [--out FILE.json] [--quick]

"theirs" is the published code's way, written by hand in benchmarks/plain; "plain" is the project's own models without
anything that makes them fast. Whatever is compared takes turns, each candidate in a process of its own; a ratio is the
median over the rounds of neighbouring turns, and its range is over the rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks import command
from benchmarks.kept import keep, kept
from benchmarks.measure import machine, paste
from benchmarks.table import conversion, feeding, report, starting, steps
from benchmarks.table.conversion import FAST, INT8, ONNX
from benchmarks.table.options import Bench, Flags, bench
from benchmarks.table.report import Contest
from benchmarks.table.steps import Case
from translate.tables import Table

CONTESTS: Table[Callable[[Bench], Contest]] = Table(
    "row",
    {
        "pix2pix-256": partial(steps.contest, case=Case("pix2pix", 256, 64, batch=1), rounds=7, target=2.1),
        "pix2pix-256-batch4": partial(steps.contest, case=Case("pix2pix", 256, 64, batch=4), rounds=4, target=2.2),
        "pix2pix-64": partial(steps.contest, case=Case("pix2pix", 64, 32, batch=4), rounds=20, target=2.0),
        "cyclegan-128": partial(steps.contest, case=Case("cyclegan", 128, 64, batch=1), rounds=4, target=2.2),
        "cut-128": partial(steps.contest, case=Case("cut", 128, 64, batch=1), rounds=4, target=2.4),
        "reading": feeding.contest,
        "folder-unet": partial(
            conversion.folder, generator="unet", count=8, rounds=5, targets={FAST: 4, ONNX: 2.2, INT8: 3}
        ),
        "folder-resnet": partial(
            conversion.folder, generator="resnet", count=3, rounds=4, targets={FAST: 2.6, ONNX: 1.2, INT8: 3}
        ),
        "picture-unet": partial(conversion.picture, generator="unet", rounds=15, targets={FAST: 4}),
        "picture-resnet": partial(conversion.picture, generator="resnet", rounds=6, targets={FAST: 2.4}),
    },
)
"""Rows in which ours and theirs take turns."""

BEGINNINGS: Table[Callable[[Bench], list[starting.Begun]]] = Table(
    "row", {"commands": starting.commands, "starts": starting.starts}
)
"""Rows that are measured against a number."""

ROWS: Table[object] = Table("row", {**{n: CONTESTS[n] for n in CONTESTS}, **{n: BEGINNINGS[n] for n in BEGINNINGS}})


def benchmark(flags: Flags) -> None:
    """Print the table of each row as it is done, and write its figures down.

    Raises:
        ValueError: there is no such row, or something cannot be measured here.
    """
    names = [name.strip() for name in flags.rows.split(",")] if flags.rows else list(ROWS)
    for name in names:
        ROWS[name]  # names the choices, and the closest
    results = kept(flags.out) if flags.out else {}
    if flags.threads:
        torch.set_num_threads(flags.threads)
    where = machine(torch.device("cpu"))
    print(f"{where}; {flags.clock} time{'; a rehearsal: the times say nothing' if flags.quick else ''}\n", flush=True)
    with bench(flags) as found:
        for name in names:
            text, lines = _row(name, found)
            print(f"{text}\n", flush=True)
            for note in found.notes:
                print(f"{note}\n", flush=True)
            results[name] = {"machine": where, "clock": flags.clock, "lines": lines, "notes": [*found.notes]}
            found.notes.clear()
            if flags.out:
                keep(results, flags.out, order=ROWS)
    tables = _tables(results)
    print(f"**Summary**\n\n{tables['summary']}")
    if flags.page:
        paste(flags.page, tables)


def _tables(results: dict[str, Any]) -> dict[str, str]:
    """Those of docs/benchmarks.md, by their names there: of all rows that were measured so far."""
    begun = [starting.Begun(**line) for name in BEGINNINGS if name in results for line in results[name]["lines"]]
    return {
        "summary": report.summary({name: results[name] for name in CONTESTS if name in results}),
        "starting": starting.shown(begun),
    }


def _row(name: str, found: Bench) -> tuple[str, list[dict[str, Any]]]:
    """The table of a row, and its figures."""
    if name in CONTESTS:
        lines = report.compete(CONTESTS[name](found), found)
        return report.shown(lines), [line.as_json() for line in lines]
    begun = BEGINNINGS[name](found)
    return starting.shown(begun), [line.as_json() for line in begun]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.table", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
