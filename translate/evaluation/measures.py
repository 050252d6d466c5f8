"""The measures of a validation. A new one is a class of `Measure` and a line in `MEASURES`.

Its figures are then in metrics.jsonl, in the line of each validation and in what `translate evaluate` prints. For
`--best` to take one its direction goes to `translate.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from translate.evaluation.alarms import HealthStatistics
from translate.evaluation.base import NEEDS, Examples, Measure
from translate.evaluation.classifier import ClassShare, Obeyed, TargetShare
from translate.evaluation.condition_sensitivity import ConditionSensitivity
from translate.evaluation.few_labels import ClassificationError
from translate.evaluation.label_maps import JudgeFigures, LabelFigures
from translate.evaluation.metrics import LearnedDistance, PairedFigures, PerceptualDistance
from translate.evaluation.sets import InceptionFigures, SetFigures
from translate.figures import in_words, plain
from translate.tables import Table

NO_ERRORS: Mapping[str, float] = MappingProxyType({})

MEASURES: Table[type[Measure]] = Table(
    "measure",
    {
        "paired": PairedFigures,
        "label_maps": LabelFigures,
        "perceptual": PerceptualDistance,
        "lpips": LearnedDistance,
        "sets": SetFigures,
        "inception": InceptionFigures,
        "target_share": TargetShare,
        "class_share": ClassShare,
        "obeyed": Obeyed,
        "judge": JudgeFigures,
        "error": ClassificationError,
        "condition_sensitivity": ConditionSensitivity,
        "health": HealthStatistics,
    },
)


def described(figures: Mapping[str, float], errors: Mapping[str, float] = NO_ERRORS) -> str:
    """Figures of any measures, for a person; with the standard errors that are known."""
    texts = [f"{in_words(name)} {shown(name).format(value)}" for name, value in figures.items()]
    sure = [f" ± {errors[name]:.4f}" if name in errors else "" for name in figures]
    return ", ".join(text + error for text, error in zip(texts, sure, strict=True))


def shown(figure: str) -> str:
    """How the value of a figure of any measure is printed, as for `str.format`."""
    formats = {name: text for measure in MEASURES.values() for name, text in measure.shown.items()}
    return formats.get(plain(figure), "{:.4f}")


def lacking(figure: str, examples: Examples) -> str | None:
    """What a figure needs and these examples have not, in words."""
    name = plain(figure)
    (measure,) = (measure for measure in MEASURES.values() if name in measure.better)
    need = examples.lack(measure.needs_of.get(name, measure.needs))
    return None if need is None else NEEDS[need]
