"""The pages that compare runs: figures, curves and pictures beside each other, and a blind choice. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from translate.console import aligned
from translate.figures import Direction, in_words
from translate.outside import visible
from translate.pages.changed import different_settings
from translate.pages.charts import over_each_other
from translate.pages.pictures import Shown, alike
from translate.pages.render import number, page
from translate.pages.runs import RunView

PICTURES_BYTES = 2_500_000  # of all pictures on a page
LEAST_BYTES = 4_000  # of one, however many there are
PIXELATED = 128  # pictures up to this many pixels wide are enlarged with their pixels to be seen


@dataclass(frozen=True)
class Difference:
    """A figure less that of the first run."""

    value: float
    low: float | None  # of the interval of 95 %; None for figures that only a set has
    high: float | None

    @property
    def text(self) -> str:
        """The difference with its interval, to the digits that the interval leaves."""
        if self.low is None or self.high is None:
            return f"{self.value:+.3g}"
        half = (self.high - self.low) / 2
        digits = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 4
        return f"{self.value:+.{digits}f} ({self.low:+.{digits}f} to {self.high:+.{digits}f})"

    def verdict(self, better: Direction | None) -> str:
        """`better`, `worse`, or that nothing is shown; nothing without a direction or an interval."""
        if better is None or self.low is None or self.high is None:
            return ""
        if self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if (self.value < 0) == (better == "less") else "worse"


@dataclass(frozen=True)
class FigureRow:
    """One figure of all runs."""

    figure: str
    better: Direction | None
    values: tuple[float, ...]
    errors: tuple[float | None, ...]  # standard errors, of figures that only a set has
    differences: tuple[Difference, ...]  # of the runs after the first


@dataclass(frozen=True)
class Example:
    """A picture and what the runs make of it: RGB `[H, W, 3]` uint8."""

    name: str
    source: np.ndarray
    outputs: tuple[np.ndarray, ...]
    target: np.ndarray | None


@dataclass(frozen=True)
class Comparison:
    """What is known of several runs."""

    runs: tuple[RunView, ...]
    names: tuple[str, ...]
    rows: tuple[FigureRow, ...] = ()
    examples: tuple[Example, ...] = ()
    count: int = 0  # pictures that were measured
    split: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> list[tuple[str, list[str]]]:
        """The settings that differ, the model first."""
        models = [run.model for run in self.runs]
        own = [("model", models)] if len(set(models)) > 1 else []
        return own + different_settings({n: run.settings for n, run in zip(self.names, self.runs, strict=True)})

    def describe(self) -> str:
        """The comparison as lines of text."""
        names = self.names
        rows = [["settings that differ", *names], *([name, *values] for name, values in self.settings)]
        lines = aligned(rows) if len(rows) > 1 else ["no settings differ"]
        if self.rows:
            head = [f"{self.count} pictures ({self.split})", *names, *(f"{name} less {names[0]}" for name in names[1:])]
            table = [[in_words(row.figure), *_values(row), *_differences(row)] for row in self.rows]
            lines += [
                "",
                *aligned([head, *table]),
                "in brackets 95 % intervals over pictures; other seeds may differ by more",
            ]
        return "\n".join([*lines, *map(visible, self.remarks)])

    def page(self) -> str:
        """The page with everything."""
        series = {name: run.series for name, run in zip(self.names, self.runs, strict=True)}
        return page(
            "comparison.html",
            scripts=("charts.js",),
            of=self,
            charts=over_each_other(series),
            table=[
                (row, _values(row), [(one.text, one.verdict(row.better)) for one in row.differences])
                for row in self.rows
            ],
            sheet=[(example.name, pictures) for example, pictures in self._pictures(target=True)],
            targets=any(example.target is not None for example in self.examples),
        )

    def choices_page(self) -> str:
        """The page on which the better output of each picture is chosen, without the names of the two runs."""
        items = [
            {
                "name": visible(example.name),
                "source": source.uri,
                "outputs": [first.uri, second.uri],
                "small": first.width <= PIXELATED,
            }
            for example, (source, first, second) in self._pictures(target=False)
        ]
        data = {"runs": [visible(name) for name in self.names], "items": items}
        return page("choices.html", scripts=("choices.js",), data=data)

    def _pictures(self, *, target: bool) -> list[tuple[Example, list[Shown]]]:
        found = []
        for example in self.examples:
            cells = [example.source, *example.outputs]
            cells += [example.target] if target and example.target is not None else []
            budget = max(LEAST_BYTES, PICTURES_BYTES // (len(self.examples) * len(cells)))
            found.append((example, alike(cells, budget=budget)))
        return found


def _values(row: FigureRow) -> list[str]:
    return [
        number(value) + (f" ± {error:.2g}" if error else "")
        for value, error in zip(row.values, row.errors, strict=True)
    ]


def _differences(row: FigureRow) -> list[str]:
    return [f"{difference.text} {difference.verdict(row.better)}".rstrip() for difference in row.differences]
