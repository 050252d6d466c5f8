"""`Evaluation`: the figures of some pictures, how sure they are, and what they are to be compared with."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from translate.console import aligned
from translate.evaluation.base import Figures
from translate.evaluation.classifier import Verdict
from translate.evaluation.intervals import Interval, mean_interval
from translate.evaluation.measures import described, shown
from translate.figures import among, direction, in_words, is_better
from translate.outside import visible

FEW = 30  # pictures; with fewer it is said in words how uncertain the figures are
NAMED = 6  # worst and best pictures
HEADING = 13  # letters, after which a column's heading goes on in a line of its own
RANKED_BY = ("perceptual", "l1")  # the first of them that there is

MODEL = "outputs"
"""Heading of the figures themselves, above those of baselines."""


@dataclass(frozen=True)
class Evaluation:
    """Result of `translate.evaluate`: `figures` are means over the pictures, or figures that only a set has."""

    names: tuple[str, ...] = field(repr=False)  # of the pictures, in their order
    figures: Figures
    each: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)  # figure -> its value of each picture
    errors: Figures = field(default_factory=dict)  # standard errors of figures that only a set has
    baselines: Mapping[str, Figures] = field(default_factory=dict)  # by what they are, in words
    differences: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)  # outputs less baseline, paired
    apart: Mapping[str, Figures] = field(default_factory=dict)  # of measures with figures of their own kind
    groups: Mapping[str, Figures] = field(default_factory=dict)  # the figures of each group of pictures
    columns: Mapping[str, Sequence[str]] = field(
        default_factory=dict, repr=False
    )  # label, text or group of each picture
    left_out: Mapping[str, str] = field(default_factory=dict)  # figure -> why it is not there
    task: Verdict | None = None  # how a classifier that saw translated sources does on real targets
    notes: tuple[str, ...] = ()  # further findings, a line each
    targets: int | None = None  # how many, where that is not the number of outputs
    pictures_per_second: float | None = None  # of the model alone

    def __post_init__(self) -> None:
        assert all(len(values) == len(self.names) for values in self.each.values()), "a value of each picture"

    def __str__(self) -> str:
        return self.describe()

    @property
    def count(self) -> int:
        """How many outputs were measured."""
        return len(self.names)

    @property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of the means, over pictures: see `translate.evaluation.intervals`."""
        means = [name for name in self.figures if name in self.each and name not in self.errors]
        found = {name: mean_interval(self.each[name]) for name in means}
        return {name: interval for name, interval in found.items() if interval is not None}

    @property
    def ranked_by(self) -> str | None:
        """The figure that worst and best pictures are found by; None where pictures have none of their own."""
        return next((name for figure in RANKED_BY if (name := among(self.each, figure))), None)

    def ranking(self) -> list[int]:
        """Places of the pictures, the best first; none where pictures have no figures of their own."""
        name = self.ranked_by
        if name is None:
            return []
        values, sign = self.each[name], 1 if is_better(name, 0, 1) else -1
        return sorted(range(self.count), key=lambda place: sign * values[place])

    def describe(self, *, width: int | None = None) -> str:
        """All of it for a person, as lines of text.

        Args:
            width: columns of the tables: what is wider goes on below; None for tables as wide as they come.
        """
        head = f"{self.count} pictures" if self.count != 1 else "1 picture"
        if self.targets is not None:
            head = f"{self.count} outputs beside {self.targets} targets"
        lines = [head, *self._table(width), *self._verdicts(), *self._by_group(width), *self.notes]
        for why in dict.fromkeys(self.left_out.values()):
            names = [in_words(name) for name, reason in self.left_out.items() if reason == why]
            lines.append(f"left out: {', '.join(names)}: {why}")
        lines += self._how_sure()
        if self.pictures_per_second is not None:
            lines.append(f"the model alone: {self.pictures_per_second:.3g} pictures a second")
        return "\n".join(visible(line) for line in [*lines, *self._extremes()] if line)

    def as_json(self) -> dict[str, Any]:
        """All of it but the single pictures, as plain JSON values."""
        ranking, intervals = self.ranking(), self.intervals
        return {
            "count": self.count,
            **({} if self.targets is None else {"targets": self.targets}),
            "figures": {name: {"value": value, **self._sure(name, intervals)} for name, value in self.figures.items()},
            "baselines": {name: dict(figures) for name, figures in self.baselines.items()},
            "differences": {
                name: {figure: interval._asdict() for figure, interval in found.items()}
                for name, found in self.differences.items()
            },
            "groups": {name: dict(figures) for name, figures in self.groups.items()},
            **{name: dict(figures) for name, figures in self.apart.items()},
            **({} if self.task is None else {"task": _accuracies(self.task)}),
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "ranked_by": self.ranked_by,
            "best": [self.names[place] for place in ranking[:NAMED]],
            "worst": [self.names[place] for place in ranking[::-1][:NAMED]],
            "pictures_per_second": self.pictures_per_second,
        }

    def as_csv(self) -> str:
        """A line for each picture: its name, its figures, and its label, text or group."""
        assert self.each, "pictures have figures of their own"
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["name", *self.each, *self.columns])
        for place, name in enumerate(self.names):
            numbers = (repr(values[place]) for values in self.each.values())
            table.writerow([name, *numbers, *(cells[place] for cells in self.columns.values())])
        return text.getvalue()

    def _sure(self, name: str, intervals: Mapping[str, Interval]) -> dict[str, float]:
        found: dict[str, float] = {}
        if name in intervals:
            found = intervals[name]._asdict()
        if self.count > 1 and name in self.each:
            found["spread"] = statistics.stdev(self.each[name])
        return found | ({"error": self.errors[name]} if name in self.errors else {})

    def _table(self, width: int | None) -> list[str]:
        if not self.figures:
            return []
        intervals = self.intervals
        errors = {name: error for name, error in self.errors.items() if error}  # 0: no picture alone changes anything
        rows = [["", *(["95 % interval", "spread"] if intervals else []), *self.baselines]]
        for name, value in self.figures.items():
            row = [described({name: value}, errors)]
            if intervals:
                found = self._sure(name, intervals)
                ends = f"{number(name, found['low'])} to {number(name, found['high'])}" if "low" in found else ""
                row += [ends, number(name, found["spread"]) if "spread" in found else ""]
            beside = (among(figures, name) for figures in self.baselines.values())
            row += [
                "" if other is None else number(name, figures[other])
                for other, figures in zip(beside, self.baselines.values(), strict=True)
            ]
            rows.append(row)
        return aligned(rows, heading=HEADING, width=width)

    def _verdicts(self) -> list[str]:
        """For each baseline a line: where the outputs are better, by paired differences."""
        lines = []
        for words, found in self.differences.items():
            parts: dict[str, list[str]] = {"better in": [], "worse in": [], "not clearly different in": []}
            for name, (low, high) in found.items():
                if direction(name) is None:
                    continue
                clear = low > 0 or high < 0
                verdict = (
                    ("better in" if is_better(name, low, 0) else "worse in") if clear else "not clearly different in"
                )
                parts[verdict].append(in_words(name))
            compared = "; ".join(f"{verdict} {', '.join(names)}" for verdict, names in parts.items() if names)
            lines.append(f"beside {words}: {compared}" if compared else "")
        return lines

    def _by_group(self, width: int | None) -> list[str]:
        if not self.groups:
            return []
        shown = [name for name in self.figures if all(name in figures for figures in self.groups.values())]
        rows = [["group", "pictures", *map(in_words, shown)]]
        for group, figures in self.groups.items():
            count = f"{figures['count']:.0f}" if "count" in figures else ""
            rows.append([visible(group), count, *(number(name, figures[name]) for name in shown)])
        return ["", *aligned(rows, heading=HEADING, width=width)]

    def _how_sure(self) -> list[str]:
        lines = []
        intervals = self.intervals
        fewest = min(self.count, self.count if self.targets is None else self.targets)
        if fewest < FEW:
            wide = [(100 * (b - a) / 2 / abs(self.figures[k]), k) for k, (a, b) in intervals.items() if self.figures[k]]
            name = self.ranked_by
            share = next((share for share, k in wide if k == name), None)
            text = f"{fewest} picture{'s are' if fewest > 1 else ' is'} few"
            if share is not None:
                text += f": other pictures may give figures {share:.0f} % better or worse ({in_words(str(name))})"
            lines.append(f"{text}. Trust no small difference")
        if intervals:
            lines.append("intervals are for other pictures of this kind, not for trainings with other seeds")
        if self.errors:
            lines.append("± is one standard error")
        return lines

    def _extremes(self) -> list[str]:
        name = self.ranked_by
        if name is None or self.count < 2:
            return []
        ranking, shown = self.ranking(), min(NAMED, self.count // 2)
        lines = []
        for word, places in (("best", ranking[:shown]), ("worst", ranking[::-1][:shown])):
            listed = ", ".join(f"{self.names[place]} ({number(name, self.each[name][place])})" for place in places)
            lines.append(f"{word} by {in_words(name)}: {listed}")
        return lines


def _accuracies(verdict: Verdict) -> dict[str, dict[str, float]]:
    found = {name: getattr(verdict, name) for name in ("translated", "sources", "targets", "chance")}
    return {name: {"value": one.value, **one.interval()._asdict(), "count": one.count} for name, one in found.items()}


def number(figure: str, value: float) -> str:
    """A value of a figure with as many decimals as the figure is shown with, without its unit."""
    return shown(figure).format(value).partition(" ")[0]
