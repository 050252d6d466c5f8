"""The measures of a validation. A new one is a class of `Measure` and a line in `MEASURES`.

Its figures are then in metrics.jsonl, in the line of each validation and in what `translate evaluate` prints. For
`--best` to take one its direction goes to `translate.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping

from translate.evaluation.alarms import HealthStatistics
from translate.evaluation.base import NEEDS, Examples, Measure
from translate.evaluation.condition_sensitivity import ConditionSensitivity
from translate.evaluation.metrics import PairedFigures
from translate.tables import Table

MEASURES: Table[type[Measure]] = Table(
    "measure",
    {
        "paired": PairedFigures,
        "condition_sensitivity": ConditionSensitivity,
        "health": HealthStatistics,
    },
)


def described(figures: Mapping[str, float]) -> str:
    """Figures of any measures, for a person."""
    formats = {name: text for measure in MEASURES.values() for name, text in measure.shown.items()}
    default = "{name} {value:.4f}"
    return ", ".join(
        formats.get(name, default).format(value, name=name.replace("_", " "), value=value)
        for name, value in figures.items()
    )


def lacking(figure: str, examples: Examples) -> str | None:
    """What a figure needs and these examples have not, in words."""
    (measure,) = (measure for measure in MEASURES.values() if figure in measure.better)
    need = measure.needs_of.get(figure, measure.needs)
    return None if examples.have(need) else NEEDS[need]
