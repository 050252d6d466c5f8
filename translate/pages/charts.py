"""What the curves of a run are: which lines belong in one chart, and with what. Imports no torch.

`translate.pages.svg` draws them on pages, `translate.pages.plots` with matplotlib.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from translate.figures import Direction, direction, in_words
from translate.pages.journal import Series

LOSSES = "training losses"  # title of their chart
MOST_POINTS = 300  # of a line of losses, rates or speeds: of more, means of neighbours are shown
LOGARITHMIC = 20.0  # losses that are further apart than this factor get a logarithmic axis

ADAPTIVE = "ada_"  # names of what `--ada` goes by, and of the probability, begin so
SCORES = re.compile("_(real|fake)(_|$)")  # names of the discriminator's mean outputs, which are no losses

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    points: Points  # steps and values, in order


@dataclass(frozen=True)
class Chart:
    """Curves over the steps that share an axis."""

    title: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()  # horizontal lines: baselines
    better: Direction | None = None
    check: bool = False  # a figure behind the alarms rather than a result
    figure: str = ""  # of validation: its name in the journal

    @property
    def is_curve(self) -> bool:
        """Whether a line has two points: a single value is for a table."""
        return any(len(line.points) > 1 for line in self.lines)

    @property
    def logarithmic(self) -> bool:
        """Whether the values, all above zero, are so far apart that a linear axis would hide the small ones."""
        values = [value for line in self.lines for _, value in line.points]
        return not (self.better or self.check) and min(values) > 0 and max(values) > LOGARITHMIC * min(values)


def charts_of(series: Series, *, baselines: Mapping[str, Mapping[str, float]] | None = None) -> list[Chart]:
    """The charts of a run: losses, then the figures of its validation, then rate, speed and checks. No single values.

    Args:
        baselines: figure -> name of a baseline -> what it reaches.
    """
    losses: list[Line] = []
    scores: list[Line] = []
    adaptive: list[Line] = []
    found: dict[str, list[Line]] = {}
    checks: list[Chart] = []
    for path, points in series.items():
        group, _, rest = path.partition(".")
        if group == "losses":
            line = Line(rest, thinned(points))
            (adaptive if rest.startswith(ADAPTIVE) else scores if SCORES.search(rest) else losses).append(line)
        elif group == "validation" and "." in rest:
            weights, _, figure = rest.partition(".")
            found.setdefault(figure, []).append(Line(weights, tuple(points)))
        elif rest and group != "errors":
            checks.append(Chart(f"{group.replace('_', ' ')}: {rest}", (Line(rest, tuple(points)),), check=True))
    charts = [Chart(LOSSES, tuple(losses))] if losses else []
    for figure, lines in found.items():
        levels = tuple((baselines or {}).get(figure, {}).items())
        title = f"{in_words(figure)} on unseen pictures" + (", dB" if figure == "psnr" else "")
        charts.append(Chart(title, tuple(lines), levels, better=direction(figure), figure=figure))
    if scores:
        charts.append(Chart("the discriminator's output: real and generated", tuple(scores)))
    if adaptive:
        charts.append(Chart("augmentation: how often (p), and the sign of real pictures' logits", tuple(adaptive)))
    for path, title in (("lr", "learning rate"), ("examples_per_second", "pictures a second")):
        if path in series:
            own = [name for name in series if name.startswith(f"{path}_") and path == "lr"]  # of single players
            lines = [Line(name.removeprefix("lr_"), thinned(series[name])) for name in own]
            charts.append(Chart(title, (Line(title, thinned(series[path])), *lines)))
    return [chart for chart in charts + checks if chart.is_curve]


def over_each_other(runs: Mapping[str, Series]) -> list[Chart]:
    """The charts of several runs by name, a line for each: every loss, and every figure of the averaged weights."""
    paths = dict.fromkeys(path for series in runs.values() for path in series)
    charts = []
    for path in paths:
        group, _, rest = path.partition(".")
        lines = [Line(name, thinned(series[path])) for name, series in runs.items() if path in series]
        if group == "losses" and len(lines) > 1:
            charts.append(Chart(f"loss: {rest}", tuple(lines)))
        elif path in ("lr", "examples_per_second"):
            charts.append(Chart("learning rate" if path == "lr" else "pictures a second", tuple(lines)))
    figures = dict.fromkeys(path.split(".", 2)[2] for path in paths if path.count(".") > 1 and _validated(path))
    own = []
    for figure in figures:
        each = [
            (name, s.get(f"validation.averaged.{figure}") or s.get(f"validation.raw.{figure}"))
            for name, s in runs.items()
        ]
        lines = [Line(name, tuple(points)) for name, points in each if points]
        own.append(
            Chart(f"{in_words(figure)} on unseen pictures", tuple(lines), better=direction(figure), figure=figure)
        )
    return [chart for chart in own + charts if chart.is_curve]


def _validated(path: str) -> bool:
    return path.startswith(("validation.averaged.", "validation.raw."))


def thinned(points: Iterable[tuple[float, float]], *, most: int = MOST_POINTS) -> Points:
    """At most `most` points: means of as many neighbours as it takes, each at the last step of its neighbours."""
    points = list(points)
    together = -(-len(points) // most)
    if together < 2:
        return tuple(points)
    groups = [points[start : start + together] for start in range(0, len(points), together)]
    return tuple((group[-1][0], sum(value for _, value in group) / len(group)) for group in groups)


def best_point(chart: Chart) -> tuple[Line, float, float] | None:
    """The line, step and value that are best by a chart's figure, the first of equal ones; None without a direction."""
    if chart.better is None:
        return None
    sign = 1 if chart.better == "less" else -1
    line, (step, value) = min(
        ((line, point) for line in chart.lines for point in line.points), key=lambda at: sign * at[1][1]
    )
    return line, step, value
