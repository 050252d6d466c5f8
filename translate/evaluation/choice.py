"""Which measures and figures were asked for by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from translate.evaluation.base import NEEDS, Examples, Measure, Need
from translate.evaluation.measures import MEASURES
from translate.figures import plain
from translate.tables import closest

T = TypeVar("T")

ON_INCEPTION = ("kid_inception", "fid_inception")
"""Figures of the measure `inception`, which has no directions of its own."""


@dataclass(frozen=True)
class Choice:
    """The measures to make, and which of their figures are wanted."""

    measures: Mapping[str, type[Measure]]
    figures: frozenset[str] | None = None  # with or without the name of a network; None: all
    whole: frozenset[str] = frozenset()  # measures of which all figures are wanted

    @property
    def on_features(self) -> bool:
        """Whether any of them needs a pretrained network."""
        return any("features" in measure.needs for measure in self.measures.values())

    def without(self, measure: str, why: str) -> Choice:
        """The same without a measure that says nothing here.

        Raises:
            ValueError: it was asked for.
        """
        if measure in self.measures and self.figures is not None:
            asked = next(name for name in self.figures if name == measure or plain(name) in MEASURES[measure].better)
            raise ValueError(f"--metrics {asked}: {why}: leave it out")
        return replace(self, measures={name: found for name, found in self.measures.items() if name != measure})

    def of(self, measure: str, figures: Mapping[str, T]) -> dict[str, T]:
        """Those figures of a measure that are wanted."""
        if self.figures is None or measure in self.whole:
            return dict(figures)
        return {name: value for name, value in figures.items() if {name, plain(name)} & self.figures}


def choose(names: str | None) -> Choice:
    """What names with commas between stand for: measures, or figures of them. None: all measures.

    Raises:
        ValueError: an unknown name.
    """
    if names is None:
        return Choice(MEASURES)
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    known = {figure: name for name, measure in MEASURES.items() for figure in measure.better}
    known |= dict.fromkeys(ON_INCEPTION, "inception")
    measures: dict[str, type[Measure]] = {}
    for name in wanted:
        measure = name if name in MEASURES else known.get(name) or known.get(plain(name))
        if measure is None:
            choices = list(dict.fromkeys([*MEASURES, *known]))
            raise ValueError(
                f'--metrics: no measure or figure is called "{name}"{closest(name, choices)}: there is '
                f"{', '.join(choices)}"
            )
        measures[measure] = MEASURES[measure]
    if not measures:
        raise ValueError("--metrics names nothing: give measures or figures, or leave it out for all that are quick")
    whole = frozenset(name for name in wanted if name in MEASURES and name not in known)
    return Choice(measures, frozenset(wanted), whole)


def check(choice: Choice, examples: Examples, *, without: Mapping[Need, str]) -> None:
    """
    Args:
        without: why a need is not met, in words, where that is known.

    Raises:
        ValueError: a figure was asked for that these examples do not allow for.
    """
    for name in sorted(choice.figures or ()):
        of_inception = name in ON_INCEPTION
        measure = MEASURES.get("inception" if of_inception else name)
        measure = measure or next(m for m in MEASURES.values() if plain(name) in m.better)
        need = examples.lack(measure.needs_of.get(plain(name), measure.needs))
        if need is not None:
            why = f" ({without[need]})" if need in without else ""
            raise ValueError(f"--metrics {name} needs {NEEDS[need]}{why}: leave it out")
        network = name.removeprefix(f"{plain(name)}_") if plain(name) != name else None
        if (
            network
            and not of_inception
            and "features" in measure.needs
            and examples.features is not None
            and network != examples.features.name
        ):
            raise ValueError(
                f"--metrics {name}: pictures are judged by {examples.features.name}: name another network with "
                f"--features, or leave out _{network}"
            )
