"""Which weights a run keeps: the best values of every figure so far, and what each model file was chosen by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from translate.evaluation.base import Figures
from translate.figures import BETTER, among, is_better, plain

MODEL = "model"  # the file of the best weights by `--best`; others are named for their figure


class Choice:
    """Part of the training state: plain values, saved in the checkpoint."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, float]] = {}
        """Figure -> its best value, the error of that, its step, and validations since then."""
        self.files: dict[str, dict[str, Any]] = {}
        """File -> the figure that chooses its weights, the best value of that and its error."""

    def note(self, step: int, figures: Mapping[str, Figures], errors: Mapping[str, Figures]) -> None:
        """Take in a validation: figures of each weights, and the standard errors that are known."""
        for record in self.records.values():
            record["since"] += 1
        for weights, values in figures.items():
            for name, value in values.items():
                if plain(name) not in BETTER:
                    continue
                former = self.records.get(name)
                if former is None or is_better(name, value, than=former["value"]):
                    error = errors.get(weights, {}).get(name, 0.0)
                    self.records[name] = {"value": value, "error": error, "step": step, "since": 0}

    def takes(self, file: str, best: str, figures: Figures, errors: Figures, *, former: Figures | None = None) -> bool:
        """Whether weights of these figures take the place of those in `file`.

        They do if `best` is better than ever, or where it has an error, if it is within the error of the best value:
        then the later step wins. They also do if there is nothing to go by.

        Args:
            former: the figures of the weights in the file, where they were chosen by another figure.
        """
        kept = self.files.get(file)
        figure = among(figures, best)
        if kept is None or among([str(kept["figure"])], best) is None:
            known = None if former is None else among(former, best)
            if former is None or known is None:
                if figure is None:
                    self.files.pop(file, None)
                else:
                    self.files[file] = _kept(figure, figures, errors)
                return True
            kept = {"figure": known, "value": former[known], "error": 0.0}
        if figure is None:  # it is not measured any more
            return False
        value, kept_value, error = figures[figure], float(kept["value"]), float(kept["error"])
        better = figure != kept["figure"] or is_better(figure, value, than=kept_value)  # else by another network
        self.files[file] = _kept(figure, figures, errors) if better else kept
        return better or 0 < error >= abs(value - kept_value)

    def waited(self, best: str) -> int:
        """Validations since the figure `best` was better than ever."""
        since = [int(record["since"]) for name, record in self.records.items() if among([name], best)]
        return min(since, default=0)

    def steps(self) -> dict[str, int]:
        """Figure -> the step at which it was best."""
        return {name: int(record["step"]) for name, record in self.records.items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"records": self.records, "files": self.files}


def _kept(figure: str, figures: Figures, errors: Figures) -> dict[str, Any]:
    return {"figure": figure, "value": figures[figure], "error": errors.get(figure, 0.0)}
