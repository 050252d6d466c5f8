"""How cost grows with pixels, batch, files and pictures: the plot of docs/benchmarks.md.

    python -m benchmarks.growth [--out docs/benchmarks] [--only files] [--draw]

CPU seconds of all threads and processes. Both axes are logarithmic, and a dotted line of slope 1 is where cost doubles
with what it is of. Figures go to `growth.json` beside the plot, and `--draw` draws those that are there.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import torch
from matplotlib.ticker import NullFormatter
from pydantic import Field

from benchmarks import command, convert, reading
from benchmarks.game.work import panels, save
from benchmarks.kept import keep, kept
from benchmarks.measure import machine, paste, table
from benchmarks.table.steps import EXACT, Case, ours
from translate.fields import OneOf, Settings

PLOT, FIGURES = "growth.png", "growth.json"
NARROW = 16  # channels of the first layer: a network in which pixels cost more than weights
BATCH_SIDE, PICTURE_SIDE = 128, 64  # pixels


LABELS = {
    "pixels": ("pixels of a picture", "a training step"),
    "batch": ("pairs in a step", "a training step"),
    "files": ("files of the set", "the first start"),
    "pictures": ("pictures of the folder", "a conversion"),
}
"""What each part is a function of, and of what it is the cost."""


class Flags(Settings):
    """How cost grows with pixels, batch, files and pictures: some minutes on one core."""

    out: Path = Field(Path("growth"), description="folder for growth.png and growth.json")
    sides: command.Numbers = Field("64,128,256,512", description="sides of the pictures of a training step")
    batches: command.Numbers = Field("1,2,4,8,16", description="pairs in a training step")
    files: command.Numbers = Field("1000,3000,10000,30000,100000", description="files of the sets that are started on")
    pictures: command.Numbers = Field("16,64,256,512", description="pictures of the folders that are converted")
    rounds: int = Field(5, ge=1, description="runs of each step and conversion, of which the median counts")
    only: Annotated[str | None, OneOf(LABELS)] = Field(None, description="one part; by default all")
    page: Path | None = Field(None, description="page to put the table into, as docs/benchmarks.md has a mark for it")
    draw: bool = Field(False, description="measure nothing: draw the figures that are in the folder")


class Point(NamedTuple):
    """A size and its cost."""

    size: int
    seconds: float  # of CPU


def pixels(flags: Flags) -> Iterator[Point]:
    """A training step by the pixels of its pictures. The network is one of depth 5 for all sizes."""
    for side in command.numbers(flags.sides):
        yield Point(side * side, step_seconds(Case("pix2pix", side, NARROW, batch=1), flags))


def batch(flags: Flags) -> Iterator[Point]:
    """A training step by the pairs in it."""
    for count in command.numbers(flags.batches):
        yield Point(count, step_seconds(Case("pix2pix", BATCH_SIDE, NARROW, batch=count), flags))


def step_seconds(case: Case, flags: Flags) -> float:
    """Of one step of ours in float32."""
    work = ours(case, EXACT, depth=5)
    work()
    return statistics.median(cpu_seconds(work) for _ in range(flags.rounds))


def files(flags: Flags) -> Iterator[Point]:
    """The first start on a set, by its files."""
    for count in command.numbers(flags.files):
        with reading.many(count, reading.Flags()) as folder:
            yield Point(count, reading.alone(folder, "side-by-side")["cpu"])


def pictures(flags: Flags) -> Iterator[Point]:
    """Conversion of a folder, without its start, by its pictures."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        model = folder / "model.safetensors"
        convert.make_model(model, width=NARROW, size=PICTURE_SIDE)
        translator = convert.load(model, device="cpu")
        for count in command.numbers(flags.pictures):
            source = folder / f"in-{count}"
            convert.make_inputs(source, convert.Flags(size=PICTURE_SIDE), images=count)

            def work(source: Path = source) -> None:
                convert.convert_ours(translator, source, folder / "out", format="PNG", threads=1)

            work()
            yield Point(count, statistics.median(cpu_seconds(work) for _ in range(max(1, flags.rounds // 2))))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


PARTS: Mapping[str, Callable[[Flags], Iterator[Point]]] = {
    "pixels": pixels,
    "batch": batch,
    "files": files,
    "pictures": pictures,
}


def slope(points: Sequence[Point]) -> float:
    """Of the straight line through the logarithms that fits best: 1 is linear growth; of a single point, 0."""
    x, y = ([math.log(value) for value in column] for column in zip(*points, strict=True))
    return statistics.linear_regression(x, y).slope if len(set(x)) > 1 else 0.0


def plot(figures: dict[str, Any], path: Path) -> None:
    """A panel for each part."""
    names = [name for name in PARTS if name in figures]
    figure, axes = panels(len(names), width=3.4)
    for axis, name in zip(axes, names, strict=True):
        points = [Point(*point) for point in figures[name]["points"]]
        x, y = zip(*points, strict=True)
        of, what = LABELS[name]
        guide = [points[-1].seconds * size / points[-1].size for size in x]
        axis.loglog(x, guide, ":", color="0.5", label="slope 1")
        axis.loglog(x, y, "o-", label=f"measured, at its end {slope(points[-2:]):.2f}")
        axis.set_title(f"{what}, CPU seconds", fontsize="medium")
        axis.set_xlabel(of)
        for side in (axis.xaxis, axis.yaxis):
            side.set_minor_formatter(NullFormatter())  # the numbers of all ticks lie on one another
        axis.legend(loc="lower right")
    save(figure, path)


def benchmark(flags: Flags) -> None:
    """Measure the parts, print their table and draw the plot.

    Raises:
        ValueError: there are no figures to draw.
    """
    path = flags.out / FIGURES
    figures = kept(path)
    if flags.draw and not figures:
        raise ValueError(f"--draw: {path} has no figures: leave --draw out to measure them")
    names = [] if flags.draw else [flags.only] if flags.only else list(PARTS)
    torch.set_num_threads(1)
    for name in names:
        points = list(PARTS[name](flags))
        figures[name] = {"points": points, "machine": machine(torch.device("cpu"))}
        keep(figures, path, order=PARTS)
    plot(figures, flags.out / PLOT)
    found = table(list(rows(figures)), titles=("cost of", "by", "sizes", "CPU s", "slope", "slope at the end"))
    print(found)
    if flags.page:
        paste(flags.page, {"growth": found})


def rows(figures: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each part: smallest and largest size, their cost, the slope, and that between the largest two."""
    for name, found in figures.items():
        points = [Point(*point) for point in found["points"]]
        first, last = points[0], points[-1]
        of, what = LABELS[name]
        sizes = f"{first.size:,} to {last.size:,}"
        seconds = f"{first.seconds:.3g} to {last.seconds:.3g}"
        yield what, of, sizes, seconds, f"{slope(points):.2f}", f"{slope(points[-2:]):.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point."""
    return command.run(benchmark, Flags, name="benchmarks.growth", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
