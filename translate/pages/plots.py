"""Charts drawn with matplotlib: for notebooks and pictures. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from translate.pages.charts import Chart, best_point

COLUMNS = 3


class Plot(Figure):
    """A figure that notebooks display without pyplot."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=100)
        return data.getvalue()


def draw(axes: Any, chart: Chart) -> None:
    """Draw a chart on the axes of a matplotlib figure."""
    for line in chart.lines:
        marker = "." if chart.figure else ""
        axes.plot(*zip(*line.points, strict=True), label=line.name, linewidth=1, marker=marker)
    for name, value in chart.levels:
        axes.axhline(value, linestyle="--", linewidth=1, color="gray", label=name)
    if found := best_point(chart):
        axes.plot(*found[1:], marker="o", markersize=9, fillstyle="none", color="black", linestyle="none", label="best")
    axes.set(title=chart.title, xlabel="step", yscale="log" if chart.logarithmic else "linear")
    axes.legend(fontsize="small")


def plot(charts: Sequence[Chart]) -> Plot:
    """All charts in one figure."""
    rows = max(1, -(-len(charts) // COLUMNS))
    columns = max(1, min(COLUMNS, len(charts)))
    figure = Plot(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    for place, chart in enumerate(charts, 1):
        draw(figure.add_subplot(rows, columns, place), chart)
    return figure
