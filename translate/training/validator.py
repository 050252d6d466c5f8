"""Validation of a run: measures, sample page, alarms, and the model files that follow from the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from translate.batch import quantize
from translate.conditions import Request
from translate.datasets.prepare import Prepared
from translate.evaluation.base import NEEDS, Figures
from translate.evaluation.measures import lacking
from translate.evaluation.sheet import displayable, save_image, sheet, shrunk
from translate.figures import LAST
from translate.files import of_step
from translate.inference.backend import together
from translate.inference.pieces import PieceReport
from translate.inference.sample import COLUMNS, draw_code
from translate.models import Model
from translate.settings import RunSettings
from translate.training.baselines import baseline_figures
from translate.training.events import Events
from translate.training.job import Job
from translate.training.loader import Loader
from translate.training.model_files import ModelFiles
from translate.training.outputs import Whole, outputs_of
from translate.training.session import Session
from translate.training.validation import Measures, Validation, examples_of, summary, validate

LARGEST_CELL = 512  # pixels of a side to which whole pictures are shrunk on the sample page, or --size if larger
LARGEST_SAMPLE_CELL = 128  # the same for pictures made of noise


class Validator:
    """Validates a run, in its first process."""

    def __init__(
        self,
        job: Job,
        session: Session,
        data: Prepared,
        *,
        files: ModelFiles,
        board: Events,
        say: Callable[[str], None],
    ) -> None:
        self.job, self.session, self.data = job, session, data
        self.files, self.board, self.say = files, board, say
        self._reported_pieces = False

    def validate(self, loader: Loader) -> dict[str, Any]:
        """Measure raw and averaged weights and write page and model files; returns the record for the journal."""
        session, data = self.session, self.data
        if not data.val and data.source is not None:
            nothing: dict[str, Figures] = {name: {} for name in session.candidates()}
            self.files.save(nothing)
            self.files.snapshot(nothing)
            return {}
        if not self.files.baselines and data.val_paired:
            self.files.baselines = baseline_figures(self.job, data, loader.validation)
            for name, values in self.files.baselines.items():
                self.board.scalars(f"baseline/{name}", values, step=session.done)
        found = self._measured(loader)
        figures = found.figures(also=self.job.run.best)
        self._show_page(found, figures)
        for name, values in figures.items():
            self.board.scalars(f"validation/{name}", values, step=session.done)
        saved, better = self.files.save(figures)
        if figures[saved]:
            last = self.job.run.best == LAST
            kept = ", kept as the newest: --best last" if last else ", best so far" if better else ""
            self._say(summary(figures[saved], f"{saved} weights{kept}", self.files.baselines))
        record: dict[str, Any] = {"validation": figures} if any(figures.values()) else {}
        record |= self._apart(found, saved=saved)
        self.files.snapshot(figures)
        return record

    def first_look(self, loader: Loader) -> None:
        """Write a sample page and a model file before the first validation. Nothing is measured."""
        job, session = self.job, self.session
        whole = self._whole()
        page = (
            self._fixed_page()
            or validate(
                {name: outputs_of(model, whole) for name, model in session.candidates().items()},
                loader.first(job.run.samples),
                examples=examples_of(self.data),
                measures={},
                samples=job.run.samples,
                largest=self._largest,
            ).page
        )
        self.files.save_unmeasured()
        text = f"{job.folder.path} can be tried: {job.folder.convert}"
        if page is not None:
            path = of_step(job.folder.samples, session.done, ".png")
            save_image(path, page)
            text += f"; look at {path}"
        self._say(text)

    def _measured(self, loader: Loader) -> Validation:
        """All measures. Those that need a pass for each condition measure the newest weights alone."""
        whole, newest = self._whole(), self.files.newest()[0]
        found = validate(
            {
                name: outputs_of(
                    model,
                    whole,
                    back=self.session.model.reversible,
                    conditioned=bool(self.data.conditions and self.data.val) and name == newest,
                )
                for name, model in self.session.candidates().items()
            },
            loader.validation(),
            examples=examples_of(self.data),
            samples=self.job.run.samples,
            largest=self._largest,
        )
        return replace(found, page=self._fixed_page() or found.page)

    def _fixed_page(self) -> Image.Image | None:
        """The page of a model of noise; None of other models."""
        if self.data.source is not None:
            return None
        return fixed_page(self.session.candidates(), self.data, rows=self.job.run.samples)

    def _show_page(self, found: Validation, figures: dict[str, Figures]) -> None:
        if found.page is None:
            return
        path = of_step(self.job.folder.samples, self.session.done, ".png")
        save_image(path, found.page)
        if not any(figures.values()):
            self._say(f"look at {path}; without true pairs there are no figures")
        self.board.picture("samples", found.page, step=self.session.done)

    def _apart(self, found: Validation, *, saved: str) -> dict[str, Any]:
        """Figures of the measures that are `apart`, and alarms: of the saved weights, or else of the newest."""
        record: dict[str, Any] = {}
        newest = self.files.newest()[0]
        of_newest, of_saved = found.measures[newest], found.measures[saved]
        for name, measure in {**of_newest, **of_saved}.items():
            if measure.apart:
                record[name] = measure.figures()
                self.board.scalars(name, record[name], step=self.session.done)
                if text := measure.describe():
                    self._say(f"{text} ({saved if name in of_saved else newest} weights)")
        record |= self._alarms(of_saved)
        for name, measure in found.measures_back.get(saved, {}).items():
            record[f"{name}_back"] = measure.figures()
            self.board.scalars(f"{name}_back", record[f"{name}_back"], step=self.session.done)
        return record | self._alarms(found.measures_back.get(saved, {}), back=True)

    def _alarms(self, measures: Measures, *, back: bool = False) -> dict[str, Any]:
        """Print the alarms; returns their names for the journal."""
        found = [alarm for measure in measures.values() for alarm in measure.alarms(step=self.session.done)]
        for alarm in found:
            self._say(alarm.message, where=", the way back" if back else "")
        return {f"alarms{'_back' if back else ''}": [alarm.name for alarm in found]} if found else {}

    @property
    def _largest(self) -> int | None:
        return max(*self.job.data.size, LARGEST_CELL) if self.job.data.val_whole else None

    def _whole(self) -> Whole | None:
        return Whole(self.files.card("raw", {}), self._note) if self.job.data.val_whole and self.data.source else None

    def _note(self, report: PieceReport) -> None:
        """Print once that a picture was translated in pieces, with another result than in one pass."""
        if not report.exact and not self._reported_pieces:
            self._say(f"a validation picture that does not fit in memory was {report.text}")
        self._reported_pieces = self._reported_pieces or not report.exact

    def _say(self, text: str, *, where: str = "") -> None:
        self.say(f"step {self.session.done}{where}: {text}")


@torch.no_grad()
def fixed_page(models: Mapping[str, Model], data: Prepared, *, rows: int) -> Image.Image | None:
    """The sample page of a model of noise: `rows` of eight pictures of each model; None without rows.

    Codes and conditions are the same at every step of a run: the first of seed 0, as `translate sample` draws them.
    With labels or texts each row has one of these, and all rows the same eight codes.
    """
    if not rows:
        return None
    conditions = data.conditions
    labels = conditions.labels or (None,)
    texts = list(dict.fromkeys(pair.text for pair in (*data.val, *data.train) if pair.text)) if conditions.text else []
    conditioned = bool(conditions.labels or texts)
    cells = []
    for row in range(rows):
        numbers = range(1, COLUMNS + 1) if conditioned else range(1 + row * COLUMNS, 1 + (row + 1) * COLUMNS)
        label, text = labels[row % len(labels)], texts[row % len(texts)] if texts else None
        requests = [Request(label=label, text=text, z=draw_code(conditions.z, 0, number)) for number in numbers]
        given = together([conditions.encode(one) for one in requests])
        line = []
        for model in models.values():
            device = next(model.parameters()).device
            run = outputs_of(model, conditioned=True).conditioned
            assert run is not None
            made = run(None, {name: torch.from_numpy(value).to(device) for name, value in given.items()})
            line += [displayable(pixels, data.target) for pixels in quantize(made, data.target).cpu().numpy()]
        cells.append([shrunk(cell, LARGEST_SAMPLE_CELL) for cell in line])
    return sheet(cells, titles=[title for name in models for title in (name, *[""] * (COLUMNS - 1))])


def check_best(job: Job, data: Prepared) -> None:
    """
    Raises:
        ValueError: `--best` names a figure that this run cannot have. The default never raises.
    """
    best = job.run.best
    if best in (LAST, RunSettings.model_fields["best"].default):
        return
    need = lacking(best, examples_of(data))
    if need is None and not data.val and job.resumed is None:  # earlier versions started such runs
        need = NEEDS["pictures"]
    if need is not None:
        raise ValueError(f"--best {best} needs {need}: leave it out, or give --best {LAST} for the newest weights")
