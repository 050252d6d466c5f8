"""The report of a run, and the table of many runs: `translate report`. Imports no torch at module level."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field

from translate.fields import Settings
from translate.figures import BASELINES, ROUGH, SETS, direction, in_words, is_better, plain
from translate.outside import visible
from translate.pages.changed import changed_settings
from translate.pages.charts import LOSSES, Chart, best_point, charts_of
from translate.pages.pictures import UNREADABLE, embedded, sample_pages
from translate.pages.render import page, page_file, write_page
from translate.pages.runs import REPORT, RunView, read_run, runs_below
from translate.pages.svg import sparkline

SHOWN_FIGURES = 4  # on the tiles at the top and in the table of runs
PROMINENT = ("perceptual", "kid", "l1", "psnr")  # which of them first
BESIDE_SAMPLES = 2  # curves that stand beside the samples, where there is room
EXTREMES = "evaluation.png"  # in a run folder: what `translate evaluate RUN --sheet` wrote there
EXTREMES_BYTES = 600_000
ALARMS = {
    "collapse": "the outputs hardly differ from one to another",
    "inverted": "bright and dark have changed places",
    "colours": "colours have drifted away from the targets'",
    "saturated": "most values are black or white",
    "checkerboard": "a grid of a few pixels is in the outputs",
    "discriminator won": "the discriminator is always right, and the generator learns nothing from it",
    "gradient gone": "a network no longer learns",
    "gradient exploding": "a network changes far more than before",
    "slow loader": "reading pictures takes longer than the steps",
    "worse than source": "the sources themselves are nearer to the targets",
}
"""What an alarm means; others are shown by their name."""

CEILINGS = ("real",)
"""Baselines that no model is expected to reach; of figures of sets the nearest targets too, which are real pictures."""


class ReportSettings(Settings):
    """What is reported, and where to."""

    all: Path | None = Field(None, description="in place of RUN: a folder, of whose runs a table is made")
    out: Path | None = Field(
        None, description=f"page to write (default: {REPORT} in the run folder, or in the folder of --all)"
    )


@dataclass(frozen=True)
class Best:
    """The best value of one figure over a run."""

    figure: str
    better: str
    value: float
    step: int
    weights: str
    error: float | None
    last: float


def write_report(path: Path, out: Path | None = None, *, say: Callable[[str], object] = lambda text: None) -> Path:
    """Write the report of a run; returns its path, by default `report.html` in the run folder.

    `say` gets what of the run could not be read, as the page says, too.

    Raises:
        ValueError: this is no run folder, or `out` cannot be a page.
        OSError: the page cannot be written.
    """
    run = read_run(path)
    out = path / REPORT if out is None else page_file(out, given="--out")
    write_page(out, report_text(run))
    for problem in run.problems:
        say(visible(problem if str(run.path) in problem else f"{run.path}: {problem}"))
    return out


def try_report(path: Path, *, say: Callable[[str], object]) -> None:
    """Write the report of a run that ends. What goes wrong with it is said, and is no failure of the training."""
    try:
        write_report(path)
    except Exception as error:  # the run is worth more than its report
        say(f"the report could not be written: {type(error).__name__}: {visible(error)}")


def report_text(run: RunView) -> str:
    """The page of one run."""
    baselines, figures = run.baselines, run.figures
    samples, extremes = sample_pages(run.path / "samples"), None
    unreadable = list(samples.unreadable)
    if (sheet := run.path / EXTREMES).is_file():
        try:
            extremes = embedded(sheet, budget=EXTREMES_BYTES)
        except UNREADABLE as error:
            unreadable.append(f"{EXTREMES}: {error}")
    charts = charts_of(run.series, baselines=named_baselines(baselines))
    curves = sorted((chart for chart in charts if not chart.check), key=_place)
    beside = BESIDE_SAMPLES if samples.shown else 0
    return page(
        "report.html",
        scripts=("charts.js", "report.js"),
        run=run,
        tiles=_tiles(figures, baselines),
        figures=[
            (name, in_words(name), direction(name), value, baselines.get(name, {})) for name, value in figures.items()
        ],
        baselines=list(dict.fromkeys(name for reached in baselines.values() for name in reached)),
        best=best_steps(run, charts),
        beside=curves[:beside],
        charts=curves[beside:],
        checks=[chart for chart in charts if chart.check],
        samples=samples,
        extremes=extremes,
        unreadable=unreadable,
        alarms=alarms(run),
        counts=_counts(run.config["data"]),
        pictures=_pictures(run),
        changed=changed_settings(run.model, run.settings),
        is_worse=is_worse,
        named=named,
    )


def best_steps(run: RunView, charts: list[Chart]) -> list[Best]:
    """Of each figure with a better direction, the step and the weights that were best by it."""
    found = []
    for chart in charts:
        best = best_point(chart)
        if best is None or not chart.figure:
            continue
        line, step, value = best
        errors = dict(run.series.get(f"errors.{line.name}.{chart.figure}", []))
        last = line.points[-1][1]
        found.append(Best(chart.figure, str(chart.better), value, int(step), line.name, errors.get(int(step)), last))
    return found


def alarms(run: RunView) -> list[tuple[str, str, list[int]]]:
    """Each alarm of the journal, in the order of their first: name, meaning, and the steps at which it was raised."""
    steps: dict[str, list[int]] = {}
    for record in run.journal.records:
        for key, where in (("alarms", ""), ("alarms_back", ", the way back")):
            names = record.get(key)
            for name in names if isinstance(names, list) else ():
                steps.setdefault(f"{name}{where}", []).append(record["step"])
    return [(name, ALARMS.get(name.partition(",")[0], ""), at) for name, at in steps.items()]


def is_worse(figure: str, value: float, reached: Mapping[str, float], baseline: str) -> bool:
    """Whether a figure is worse than what a baseline reached; False where no direction is better, or none can be."""
    known = direction(figure) is not None and not _is_ceiling(baseline, figure)
    return known and is_better(figure, reached[baseline], value)


def _is_ceiling(baseline: str, figure: str) -> bool:
    return baseline in CEILINGS or (baseline == "nearest" and plain(figure) in SETS)


def named_baselines(baselines: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The baselines of each figure under the words for them."""
    return {figure: {named(name): value for name, value in reached.items()} for figure, reached in baselines.items()}


def named(baseline: str) -> str:
    """The words for a baseline."""
    return BASELINES.get(baseline, baseline.replace("_", " ")).removeprefix("the ")


def overview(
    folder: Path, out: Path | None = None, *, say: Callable[[str], object] = lambda text: None
) -> tuple[Path, int]:
    """Write a table of the runs in a folder; returns its path and the number of runs.

    `say` gets which folders could not be read, as the page says, too.

    Raises:
        ValueError: there is no run, or `out` cannot be a page.
        OSError: the page cannot be written.
    """
    if not folder.is_dir():
        raise ValueError(f"--all {folder}: no such folder")
    out = folder / REPORT if out is None else page_file(out, given="--out")
    rows, unread = [], []
    for path in runs_below(folder):
        try:
            run = read_run(path)
        except ValueError as error:
            unread.append(str(error))
            continue
        name = str(path.relative_to(folder)) if path != folder else run.name
        link = quote(os.path.relpath(path / REPORT, out.parent)) if (path / REPORT).is_file() else None
        figures = {name: value for name, value in run.figures.items() if plain(name) in PROMINENT} or run.figures
        shown = [(in_words(figure), value) for figure, value in _prominent(figures)]
        curve = next((chart for chart in charts_of(run.series) if chart.figure), None)
        rows.append({"run": run, "name": name, "link": link, "figures": dict(shown), "spark": _spark(curve)})
    if not rows:
        raise ValueError(f"--all {folder}: there is no run in it" + (f" ({unread[0]})" if unread else ""))
    columns = list(dict.fromkeys(figure for row in rows for figure in row["figures"]))
    text = page("runs.html", scripts=("runs.js",), folder=folder, rows=rows, columns=columns, unread=unread)
    write_page(out, text)
    for problem in unread:
        say(visible(f"left out: {problem}"))
    return out, len(rows)


def _spark(chart: Chart | None) -> Any:
    from markupsafe import Markup

    return Markup(sparkline(chart.lines[-1].points)) if chart else ""  # numbers alone


def _tiles(figures: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The first figures, each with the best that a baseline reaches."""
    tiles = []
    for name, value in _prominent(figures):
        tile: dict[str, Any] = {"name": in_words(name), "value": value, "unit": " dB" if name == "psnr" else ""}
        tile |= {"baseline": "", "worse": False}
        reached = baselines.get(name, {})
        beatable = [baseline for baseline in reached if not _is_ceiling(baseline, name)]
        if beatable and (better := direction(name)):
            best = (min if better == "less" else max)(beatable, key=lambda baseline: reached[baseline])
            worse = is_worse(name, value, reached, best)
            tile |= {"baseline": named(best), "reached": reached[best], "worse": worse}
        tiles.append(tile)
    return tiles


def _place(chart: Chart) -> int:
    """Where a chart stands: losses, the prominent figures, the other figures, all else."""
    if chart.title == LOSSES:
        return -1
    places = {name: place for place, name in enumerate(PROMINENT)}
    return places.get(plain(chart.figure), len(PROMINENT) + (not chart.figure))


def _prominent(figures: Mapping[str, float]) -> list[tuple[str, float]]:
    """The few figures that are shown where there is room for a few."""
    places = {name: place for place, name in enumerate(PROMINENT)}
    major = [item for item in figures.items() if plain(item[0]) not in ROUGH]
    return sorted(major, key=lambda item: places.get(plain(item[0]), len(places)))[:SHOWN_FIGURES]


def _counts(data: Any) -> list[tuple[str, int]]:
    """The numbers of pictures that a run stores."""
    words = {"left_out": "files left out"}
    if not isinstance(data, dict):
        return []
    return [
        (words.get(name, name.replace("_", " ")), value)
        for name, value in data.items()
        if isinstance(value, int) and not isinstance(value, bool) and name not in ("reading", "changed_after")
    ]


def _pictures(run: RunView) -> list[tuple[str, str]]:
    """What the pictures are, in words."""
    if run.card is None:
        return []
    card = run.card
    found = [("source", card.source.describe() if card.source else "none: made of noise")]
    found.append(
        ("target", card.target.describe() + (f", {card.scale} times the source's size" if card.scale > 1 else ""))
    )
    if card.conditions:
        found.append(("conditions", card.conditions.describe()))
    return [*found, ("size of the crops", card.size.describe())]
