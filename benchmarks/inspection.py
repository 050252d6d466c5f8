"""What `translate inspect` finds of pairs that are wrong on purpose, and what it reports of those that are not.

    python -m benchmarks.inspection --data FOLDER [--pixels 12] [--rounds 5]

FOLDER has pairs in any layout, all of which count as right. In each round other pairs are spoiled: one of fifty
exchanges its target with another, one of fifty has the target of a third pair, which is nobody's partner, and of one of
fifty the target is moved by `--pixels` of the file, the border repeated, in one of eight directions. Found is what was
named as what it is; of shifts also their way, to a third of the pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field

from benchmarks import command
from benchmarks.measure import table
from translate.datasets.pairs import Pair
from translate.datasets.prepare import prepare
from translate.datasets.regions import read_pair
from translate.fields import Settings
from translate.images.sheet import displayable
from translate.inspection.looks import SIDE, resized
from translate.inspection.together import MIN_PAIRS, compare
from translate.settings import DataSettings

PART = 50  # one of so many pairs is spoiled in each way


class Flags(Settings):
    """Pairs spoiled on purpose, and how many of them are found."""

    data: Path | None = Field(None, description="folder of pairs, in any layout (needed)")
    pixels: int = Field(12, ge=1, description="by which targets are moved, of the files' own pixels")
    rounds: int = Field(5, ge=1, description="times that other pairs are spoiled")
    most: int = Field(400, ge=MIN_PAIRS, description="pairs that are taken, spread over the set")


def benchmark(flags: Flags) -> None:
    """Print a table of what was found."""
    if flags.data is None:
        raise ValueError("no pictures given: use --data FOLDER")
    data = prepare(DataSettings(data=flags.data), say=lambda line: None)
    every = [*data.train, *data.val, *data.test]
    every = [every[i] for i in np.linspace(0, len(every) - 1, min(len(every), flags.most)).astype(int)]
    spec = data.source
    assert spec is not None

    def pictures(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        source, target = read_pair(pair, source=spec, target=data.target, max_pixels=10**8)
        assert source is not None
        return displayable(source, spec), displayable(target, data.target)

    whole = []
    for pair in every:
        source, target = pictures(pair)
        whole.append((resized(source, SIDE), resized(target, SIDE)))
    quiet = compare(whole)
    rows = [["nothing", "", "", str(len(quiet.exchanged) + len(quiet.strangers) + len(quiet.shifts))]]
    hits: dict[str, list[bool]] = {"exchanged": [], "strangers": [], "shifted": []}
    false = 0
    rng = np.random.default_rng(0)
    count = max(1, len(every) // PART)
    for _ in range(flags.rounds):
        order = rng.permutation(len(every)).tolist()
        both, alone, moved = order[: 2 * count], order[2 * count : 3 * count], order[3 * count : 4 * count]
        targets = [target for _, target in whole]
        for one, other in zip(both[::2], both[1::2], strict=True):
            targets[one], targets[other] = targets[other], targets[one]
        for index, other in zip(alone, order[4 * count : 5 * count], strict=True):
            targets[index] = whole[other][1]
        ways: dict[int, tuple[float, float]] = {}
        for index in moved:
            target = pictures(every[index])[1]
            angle = rng.integers(8) * np.pi / 4
            right, down = round(flags.pixels * np.cos(angle)), round(flags.pixels * np.sin(angle))
            shape = target.shape[1], target.shape[0]
            matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
            targets[index] = resized(cv2.warpAffine(target, matrix, shape, borderMode=cv2.BORDER_REPLICATE), SIDE)
            ways[index] = right / shape[0], down / shape[1]
        found = compare([(source, target) for (source, _), target in zip(whole, targets, strict=True)])
        named = {frozenset(pair) for pair in found.exchanged}
        hits["exchanged"] += [frozenset(pair) in named for pair in zip(both[::2], both[1::2], strict=True)]
        hits["strangers"] += [index in found.strangers for index in alone]
        apart = flags.pixels / 3 / shape[0]
        right_ways = {
            shift.index
            for shift in found.shifts
            if shift.index in ways
            and max(abs(shift.right - ways[shift.index][0]), abs(shift.down - ways[shift.index][1])) <= apart
        }
        hits["shifted"] += [index in right_ways for index in moved]
        wrong = {*both, *alone, *moved, *order[4 * count : 5 * count]}
        told = {*(i for pair in found.exchanged for i in pair), *found.strangers, *(s.index for s in found.shifts)}
        false += len(told - wrong)
    for name, seen in hits.items():
        rows.append([name, str(len(seen)), f"{np.mean(seen):.0%}", ""])
    rows.append(["right ones beside them", "", "", str(false)])
    print(f"{len(every)} pairs, {flags.rounds} rounds, targets moved by {flags.pixels} pixels")
    print(table(rows, titles=["spoiled", "cases", "found", "false alarms"]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return command.run(benchmark, Flags, name="benchmarks.inspection", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
