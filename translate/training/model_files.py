"""The model files of a run: choice of the weights, their cards, and the run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from translate.card import Card
from translate.datasets.pairs import ROLES, of_side
from translate.datasets.prepare import READING, Prepared
from translate.evaluation.base import Figures
from translate.evaluation.measures import described
from translate.fields import Settings
from translate.figures import ROUGH, among, is_better, plain
from translate.inference.torch_backend import with_seeds
from translate.inference.translator import read_card
from translate.models import Model, deployed_state
from translate.training.changes import Changes
from translate.training.choice import MODEL
from translate.training.folder import FORMAT, versions
from translate.training.job import Job, kept_figures
from translate.training.judging import Judging
from translate.training.session import Session
from translate.training.writer import Writer
from translate.weights import load_tensors, save_tensors

NONE: Mapping[str, Figures] = MappingProxyType({})


class ModelFiles:
    """Has `last.safetensors`, `model.safetensors`, the best by other figures and the snapshots written."""

    def __init__(
        self, job: Job, session: Session, data: Prepared, *, judging: Judging, changes: Changes, writer: Writer
    ) -> None:
        """`changes`: of the pictures, since a resumed run was saved."""
        self.job, self.session, self.data, self.judging = job, session, data, judging
        self.writer = writer
        self.begun = job.folder.last.is_file()  # there are model files, or they are being written
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
            self._write(path, model, self.card(name, {}))

    def snapshot(self, figures: Mapping[str, Figures]) -> None:
        """Write the newest weights as a snapshot of this step."""
        name, model = self.newest()
        budget, tensors = self.job.run.snapshot_budget * 1e9, deployed_state(model)
        if sum(tensor.nbytes for tensor in tensors.values()) > budget:
            return  # and none is copied
        card, step = self.card(name, figures.get(name, {})), self.session.done
        save = self.job.folder.save_snapshot
        self.writer.write(lambda weights: save(step, weights, card, budget=budget), tensors)

    def save(self, figures: Mapping[str, Figures], errors: Mapping[str, Figures] = NONE) -> tuple[str, bool]:
        """`last.safetensors`: raw or averaged, whichever is better now; `model.safetensors`: the best so far.

        With `--best last`, or where its figure is missing, both are the newest weights. The best by each figure of
        `--keep-best` are written, too. Returns which of the two it was, and whether `model.safetensors` is new.
        """
        session, folder, best = self.session, self.job.folder, self.judging.best
        candidates, choice = session.candidates(), session.choice
        choice.note(session.done, figures, errors)
        name = better_of(figures, best) or self.newest()[0]
        card = self.card(name, figures[name])
        self._write(folder.last, candidates[name], card)
        replaced = choice.takes(MODEL, best, figures[name], errors.get(name, {}), former=session.best)
        if replaced:
            session.best = figures[name]
            self._write(folder.model, candidates[name], card)
        for figure in kept_figures(self.job.run):
            chosen = better_of(figures, figure)
            if chosen is None:
                continue
            full = among(figures[chosen], figure) or figure
            if choice.takes(full, figure, figures[chosen], errors.get(chosen, {})):
                self._write(folder.best(full), candidates[chosen], self.card(chosen, figures[chosen]))
        return name, replaced

    def _write(self, path: Path, model: Model, card: Card) -> None:
        """Have a model file written."""
        self.begun = True
        self.writer.write(lambda weights: save_tensors(path, weights, card.to_metadata()), deployed_state(model))

    def note_best_steps(self) -> None:
        """Put the steps at which each figure was best, now that they are known, into the files that were kept."""
        choice, folder = self.session.choice, self.job.folder
        for path in (folder.last, folder.model, *(folder.best(file) for file in choice.files if file != MODEL)):
            if path.is_file() and (card := read_card(path)).best_steps != choice.steps():
                changed = card.model_copy(update={"best_steps": choice.steps()})
                save_tensors(path, load_tensors(path), changed.to_metadata())

    def report(self) -> list[str]:
        """A table: each figure at its best, the step, and the file that has the weights or later ones as good."""
        choice, folder = self.session.choice, self.job.folder
        files = {str(kept["figure"]): folder.best(file) for file, kept in choice.files.items()}
        if MODEL in choice.files:
            files[str(choice.files[MODEL]["figure"])] = folder.model
        errors = {name: record["error"] for name, record in choice.records.items() if record["error"]}
        rows = {
            described({name: record["value"]}, errors): name
            for name, record in choice.records.items()
            if plain(name) not in ROUGH or name in files
        }
        width = max(map(len, rows), default=0)
        lines = [
            f"  {text.ljust(width)}  step {choice.steps()[name]}{_kept_in(files.get(name), choice.steps()[name])}"
            for text, name in rows.items()
        ]
        return ["best figures on the validation pictures:", *lines] if lines else []

    def card(self, weights: str, figures: Figures) -> Card:
        """The card of the weights at this step."""
        job, data = self.job, self.data
        card = Card(
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
            best_steps=self.session.choice.steps(),
            figures=figures
            | {f"{name}_{k}": v for name, reached in self.baselines.items() for k, v in reached.items()},
            data=self._data(),
            versions=versions(),
            run=_without_paths(job.data) | _without_paths(job.run),
        )
        return with_seeds(card, self.session.model)

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


def _kept_in(file: Path | None, step: int) -> str:
    """Where the weights of a figure's best step are, or those of a later one within its error; in words."""
    if file is None or not file.is_file():
        return ""
    kept = read_card(file).step
    return f", in {file.name}" if kept == step else f"; {file.name} is of step {kept}, within the error of the best"


def _without_paths(settings: Settings) -> dict[str, Any]:
    """Settings without paths: a model file is passed on, and should not have the names of folders."""
    return {name: value for name, value in settings.as_json().items() if not isinstance(getattr(settings, name), Path)}
