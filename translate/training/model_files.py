"""The model files of a run: choice of the weights, their cards, and the run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.card import Card
from translate.datasets.pairs import ROLES, of_side
from translate.datasets.prepare import READING, Prepared
from translate.evaluation.base import Figures
from translate.fields import Settings
from translate.figures import among, is_better
from translate.models import Model
from translate.training.changes import Changes
from translate.training.folder import FORMAT, save_model, versions
from translate.training.job import Job
from translate.training.session import Session


class ModelFiles:
    """Writes `last.safetensors`, `model.safetensors` and the snapshots."""

    def __init__(self, job: Job, session: Session, data: Prepared, *, changes: Changes) -> None:
        """`changes`: of the pictures, since a resumed run was saved."""
        self.job, self.session, self.data = job, session, data
        self.baselines: dict[str, Figures] = {}  # on the validation pairs
        before = (job.resumed or {}).get("data", {}).get("changes", [])
        self._changes = [*before, *([changes.as_json(step=session.done)] if changes else [])]

    def newest(self) -> tuple[str, Model]:
        """The averaged weights, or the raw ones without an average: name and model."""
        return list(self.session.candidates().items())[-1]

    def save_unmeasured(self) -> None:
        """The newest weights as both files, until a validation finds which are best."""
        name, model = self.newest()
        for path in (self.job.folder.last, self.job.folder.model):
            save_model(path, model, self.card(name, {}))

    def snapshot(self, figures: Mapping[str, Figures]) -> None:
        """Write the newest weights as a snapshot of this step."""
        name, model = self.newest()
        budget = self.job.run.snapshot_budget * 1e9
        card = self.card(name, figures.get(name, {}))
        self.job.folder.save_snapshot(self.session.done, model, card, budget=budget)

    def save(self, figures: Mapping[str, Figures]) -> tuple[str, bool]:
        """`last.safetensors`: raw or averaged, whichever is better now; `model.safetensors`: the best so far.

        With `--best last`, or where its figure is missing, both are the newest weights. Returns which of the two it
        was, and whether `model.safetensors` is new.
        """
        session, folder, best = self.session, self.job.folder, self.job.run.best
        candidates = session.candidates()
        name = better_of(figures, best) or self.newest()[0]
        card = self.card(name, figures[name])
        save_model(folder.last, candidates[name], card)
        replaced = improves(figures[name], session.best, best)
        if replaced:
            session.best = figures[name]
            save_model(folder.model, candidates[name], card)
        return name, replaced

    def card(self, weights: str, figures: Figures) -> Card:
        """The card of the weights at this step."""
        job, data = self.job, self.data
        return Card(
            model=job.model,
            settings=_without_paths(job.science),
            source=data.source,
            target=data.target,
            size=job.data.size,
            scale=self.session.model.scale,
            inputs=self.session.model.inputs,
            conditions=data.conditions,
            reversible=self.session.model.reversible,
            derive=job.data.derive,
            derive_amount=job.data.derive_amount,
            weights=weights,
            step=self.session.done,
            figures=figures
            | {f"{name}_{k}": v for name, reached in self.baselines.items() for k, v in reached.items()},
            data=self._data(),
            versions=versions(),
            run=_without_paths(job.data) | _without_paths(job.run),
        )

    def config(self) -> dict[str, Any]:
        """The configuration of the run, for `config.json`."""
        return {
            "format": FORMAT,
            "model": self.job.model,
            "settings": self.job.settings() | {"accept_changed_data": False},  # has to be given at each resume
            "source": self.data.source and self.data.source.model_dump(mode="json"),
            "target": self.data.target.model_dump(mode="json"),
            "conditions": self.data.conditions.model_dump(mode="json"),
            "data": self._data() | ({"changes": self._changes} if self._changes else {}),
            "versions": versions(),
        }

    def _data(self) -> dict[str, Any]:
        data = self.data
        counts = {"train": len(data.train), "val": len(data.val)}
        if data.kind == "unpaired":
            counts = {
                f"{part}_{role}s": len(of_side(pairs, role))
                for part, pairs in (("train", data.train), ("val", data.val))
                for role in ROLES
            }
        after = {"changed_after": [change["step"] for change in self._changes]} if self._changes else {}
        reading = {"reading": READING, "held_out": data.held_out}
        return {"fingerprint": data.fingerprint, **reading, **counts, "left_out": len(data.problems), **after}


def better_of(figures: Mapping[str, Figures], best: str) -> str | None:
    """The weights with the best figure `best`, the first of equal ones; None with `last`, or if none has it."""
    found: str | None = None
    for name, values in figures.items():
        figure = among(values, best)
        if figure is not None and (found is None or is_better(figure, values[figure], figures[found][figure])):
            found = name
    return found


def improves(figures: Figures, former: Figures | None, best: str) -> bool:
    """Whether weights replace the best so far, `former`. They do if that lacks the figure."""
    figure = None if former is None else among(former, best)
    if figure is None or former is None:  # with --best last, too
        return True
    return figure in figures and is_better(figure, figures[figure], former[figure])


def _without_paths(settings: Settings) -> dict[str, Any]:
    """Settings without paths: a model file is passed on, and should not have the names of folders."""
    return {name: value for name, value in settings.as_json().items() if not isinstance(getattr(settings, name), Path)}
