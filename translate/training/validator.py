"""What a run does at a validation: measures, the sample page, alarms, and the model files that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL.Image import Image

from translate.datasets.prepare import Prepared
from translate.evaluation.base import NEEDS, Figures
from translate.evaluation.measures import lacking
from translate.evaluation.sheet import save_image
from translate.figures import LAST
from translate.files import of_step
from translate.inference.pieces import PieceReport
from translate.settings import RunSettings
from translate.training.answers import Whole, answers_of
from translate.training.baselines import baseline_figures
from translate.training.board import Board
from translate.training.job import Job
from translate.training.loader import Loader
from translate.training.model_files import ModelFiles
from translate.training.noise import fixed_page
from translate.training.session import Session
from translate.training.validation import Measures, Validation, examples_of, summary, validate

LARGEST_CELL = 512  # pixels of a side to which whole pictures are shrunk on the sample page, or --size if larger


class Validator:
    """Validates a run, in its first process."""

    def __init__(
        self,
        job: Job,
        session: Session,
        data: Prepared,
        *,
        files: ModelFiles,
        board: Board,
        say: Callable[[str], None],
    ) -> None:
        self.job, self.session, self.data = job, session, data
        self.files, self.board, self.say = files, board, say
        self._told_of_pieces = False

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
        found = self._measured(loader)
        figures = found.figures(also=self.job.run.best)
        self._show_page(found, figures)
        for name, values in figures.items():
            self.board.scalars(f"validation/{name}", values, step=session.done)
        saved, better = self.files.save(figures)
        if figures[saved]:
            last = self.job.run.best == LAST
            kept = ", kept as the newest: --best last" if last else ", best so far" if better else ""
            self._tell(summary(figures[saved], f"{saved} weights{kept}", self.files.baselines))
        record: dict[str, Any] = {"validation": figures} if any(figures.values()) else {}
        record |= self._apart(found, saved=saved)
        self.files.snapshot(figures)
        return record

    def first_look(self, loader: Loader) -> None:
        """A page and a model long before the first validation. It is no part of the run: nothing is measured."""
        job, session = self.job, self.session
        whole = self._whole()
        page = (
            self._fixed_page()
            or validate(
                {name: answers_of(model, whole) for name, model in session.candidates().items()},
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
        self._tell(text)

    def _measured(self, loader: Loader) -> Validation:
        """All measures; those that cost a pass for each condition of the newest weights alone."""
        whole, newest = self._whole(), self.files.newest()[0]
        found = validate(
            {
                name: answers_of(
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

    def _fixed_page(self) -> Image | None:
        """Of pictures made of noise: those of the same codes all along a run."""
        if self.data.source is not None:
            return None
        return fixed_page(self.session.candidates(), self.data, rows=self.job.run.samples)

    def _show_page(self, found: Validation, figures: dict[str, Figures]) -> None:
        if found.page is None:
            return
        path = of_step(self.job.folder.samples, self.session.done, ".png")
        save_image(path, found.page)
        if not any(figures.values()):
            self._tell(f"look at {path}; without true pairs there are no figures")
        self.board.picture("samples", found.page, step=self.session.done)

    def _apart(self, found: Validation, *, saved: str) -> dict[str, Any]:
        """The measures with a key of their own: of the weights that were saved, or else of the newest."""
        record: dict[str, Any] = {}
        newest = self.files.newest()[0]
        of_newest, of_saved = found.measures[newest], found.measures[saved]
        for name, measure in {**of_newest, **of_saved}.items():
            if measure.apart:
                record[name] = measure.figures()
                self.board.scalars(name, record[name], step=self.session.done)
                if text := measure.describe():
                    self._tell(f"{text} ({saved if name in of_saved else newest} weights)")
        record |= self._alarms(of_saved)
        for name, measure in found.measures_back.get(saved, {}).items():
            record[f"{name}_back"] = measure.figures()
        return record | self._alarms(found.measures_back.get(saved, {}), back=True)

    def _alarms(self, measures: Measures, *, back: bool = False) -> dict[str, Any]:
        """Say what looks wrong; returns the names for the journal."""
        found = [alarm for measure in measures.values() for alarm in measure.alarms(step=self.session.done)]
        for alarm in found:
            self._tell(alarm.message, where=", the way back" if back else "")
        return {f"alarms{'_back' if back else ''}": [alarm.name for alarm in found]} if found else {}

    @property
    def _largest(self) -> int | None:
        return max(*self.job.data.size, LARGEST_CELL) if self.job.data.val_whole else None

    def _whole(self) -> Whole | None:
        return Whole(self.files.card("raw", {}), self._note) if self.job.data.val_whole and self.data.source else None

    def _note(self, told: PieceReport) -> None:
        """Say once that validation does not see what the network would make of a whole picture."""
        if not told.exact and not self._told_of_pieces:
            self._tell(f"a validation picture that does not fit in memory was {told.text}")
        self._told_of_pieces = self._told_of_pieces or not told.exact

    def _tell(self, text: str, *, where: str = "") -> None:
        self.say(f"step {self.session.done}{where}: {text}")


def check_best(job: Job, data: Prepared) -> None:
    """
    Raises:
        ValueError: `--best` names a figure that this run cannot have. The default may, and the newest weights are kept.
    """
    best = job.run.best
    if best in (LAST, RunSettings.model_fields["best"].default):
        return
    need = lacking(best, examples_of(data))
    if need is None and not data.val and job.resumed is None:  # runs of before may have no pictures for it
        need = NEEDS["nothing"]
    if need is not None:
        raise ValueError(f"--best {best} needs {need}: leave it out, or give --best {LAST} for the newest weights")
