"""From candidates that took turns to lines of a table: times, ratios with their range, floors and shares."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from benchmarks.infer import SIDE, products
from benchmarks.measure import table
from benchmarks.table.options import Bench, Kind
from benchmarks.turns import Candidate, Clock, Measured, Ratio, Turn, take_turns

TITLES = ("way", "ms", "theirs / this", "over the rounds", "target", "floor ms", "share of floor", "MB", "dB")
SUMMED = ("ours, plain float32", "ours, float32", "ours, bfloat16", "ours")  # in the summary without a target


@dataclass(frozen=True)
class Contest:
    """Candidates for one piece of work, of which the first is theirs."""

    work: str
    candidates: Sequence[Candidate]
    rounds: int
    each: int = 1  # things that a candidate does in a turn: times are of one
    kinds: Mapping[str, Kind] = field(default_factory=dict)  # numbers that a candidate computes in; else float32
    targets: Mapping[str, float] = field(default_factory=dict)  # ratios that ours should reach
    flops: float | None = None  # floating-point work of one thing; None: it is no arithmetic
    warmup: int = 1
    threads: int | None = None  # of each candidate; None: as the flags say
    other: Sequence[str] = ()  # ways whose pictures are meant to be other ones than theirs


@dataclass(frozen=True)
class Line:
    """What was found out about one candidate."""

    work: str
    way: str
    ms: float  # of one thing, median over the rounds
    ratio: float  # theirs over this, median over the rounds
    low: float
    high: float
    target: float | None
    gflop: float | None
    peak: float | None  # GFLOP/s of products of matrices of these numbers, beside the work
    floor_ms: float | None  # of the work at that peak
    share: float | None  # of the floor in the time
    megabytes: float | None  # that the process grew by, at most; None where it is no process of its own
    decibels: float | None  # PSNR of the pixels to theirs; None where there are none to compare
    rounds: Sequence[Turn]

    def cells(self) -> list[str]:
        """As the table shows it."""
        return [
            *(self.way, f"{self.ms:.4g}", f"{self.ratio:.2f}"),
            f"{self.low:.2f} to {self.high:.2f}",
            "" if self.target is None else f"{self.target:g}",
            "" if self.floor_ms is None else f"{self.floor_ms:.4g}",
            "" if self.share is None else f"{100 * self.share:.0f} %",
            "" if self.megabytes is None else f"{self.megabytes:.0f}",
            "" if self.decibels is None else "equal" if math.isinf(self.decibels) else f"{self.decibels:.1f}",
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it; JSON has no infinity."""
        made = asdict(self) | {"rounds": [turn._asdict() for turn in self.rounds]}
        return made | ({"decibels": "equal"} if self.decibels == math.inf else {})


def compete(contest: Contest, bench: Bench) -> list[Line]:
    """Let the candidates take turns, and products of matrices beside them where the work is arithmetic."""
    flags = bench.flags
    beside = products(torch.device("cpu")) if contest.flops else {}
    measured, turns = take_turns(
        contest.candidates,
        rounds=bench.rounds(contest.rounds),
        warmup=0 if flags.quick else contest.warmup,
        threads=contest.threads or flags.threads,
        isolate=flags.apart,
        beside=beside,
    )
    peaks = _peaks(turns, clock=flags.clock)
    theirs = next(iter(measured.values()))
    return [_line(contest, name, found, theirs, peaks, bench) for name, found in measured.items()]


def _line(
    contest: Contest, name: str, found: Measured, theirs: Measured, peaks: Mapping[str, float], bench: Bench
) -> Line:
    clock = bench.flags.clock
    seconds = statistics.median(found.seconds(clock)) / contest.each
    peak = peaks.get(contest.kinds.get(name, "float32"))
    floor = contest.flops / peak if contest.flops and peak else None
    return Line(
        contest.work,
        name,
        1000 * seconds,
        *Ratio.of(theirs.seconds(clock), found.seconds(clock)),
        contest.targets.get(name),
        contest.flops / 1e9 if contest.flops else None,
        peak / 1e9 if floor and peak else None,
        1000 * floor if floor else None,
        floor / seconds if floor else None,
        found.grown / 1e6 if bench.flags.apart else None,
        psnr(found.made, theirs.made) if found is not theirs and name not in contest.other else None,
        found.turns,
    )


def _peaks(turns: Mapping[str, Sequence[Turn]], *, clock: Clock) -> dict[str, float]:
    """Operations a second of the best product of matrices of each kind of numbers."""
    peaks: dict[str, float] = {}
    for name, each in turns.items():
        kind = name.split()[0]
        peaks[kind] = max(peaks.get(kind, 0.0), 2 * SIDE**3 / min(getattr(turn, clock) for turn in each))
    return peaks


def psnr(made: Any, expected: Any) -> float | None:
    """In dB of 255 levels; infinite where they are equal, None where these are no pictures."""
    if made is None or expected is None:
        return None
    power = (torch.as_tensor(made).double() - torch.as_tensor(expected)).square().mean()
    return float(10 * torch.log10(255**2 / power))


def shown(lines: Sequence[Line]) -> str:
    """A heading and the table of some lines of one work, without columns that are empty in all of them."""
    cells = [line.cells() for line in lines]
    used = [place for place in range(len(TITLES)) if any(row[place] for row in cells)]
    found = table([[row[place] for place in used] for row in cells], titles=[TITLES[place] for place in used])
    gflop = lines[0].gflop
    arithmetic = "" if gflop is None else f" ({gflop:.4g} GFLOP)"
    return f"**{lines[0].work}**{arithmetic}\n\n{found}"


def summary(results: Mapping[str, Mapping[str, Any]]) -> str:
    """What matters of all rows, from their figures as JSON: ours as exact as theirs, and each way that has a target."""
    rows = []
    for found in results.values():
        lines = found["lines"]
        theirs, title = lines[0], lines[0]["work"]
        for line in lines[1:]:
            if line.get("target") is None and line["way"] not in SUMMED:
                continue
            range_ = f"{line['ratio']:.2f} ({line['low']:.2f} to {line['high']:.2f})"
            target = "" if line["target"] is None else f"{line['target']:g}"
            floor = "" if line["floor_ms"] is None else f"{line['floor_ms']:.4g}"
            share = "" if line["share"] is None else f"{100 * line['share']:.0f} %"
            times = (f"{theirs['ms']:.4g}", f"{line['ms']:.4g}")
            rows.append((title, line["way"].removeprefix("ours, "), *times, range_, target, floor, share))
            title = ""
    titles = ["work", "ours", "theirs ms", "ours ms", "theirs / ours", "target", "floor ms", "share of floor"]
    return table(rows, titles=titles)
