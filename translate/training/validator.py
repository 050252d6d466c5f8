"""Validation of a run: measures, sample page, alarms, and the model files that follow from the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image

from translate.batch import quantize
from translate.conditions import Request
from translate.datasets.prepare import Prepared
from translate.evaluation.base import Alarm, Examples, Figures
from translate.evaluation.sheet import displayable, save_image, sheet, shrunk
from translate.evaluation.training_alarms import worse_than_source
from translate.figures import LAST
from translate.files import of_step
from translate.inference.backend import together
from translate.inference.pieces import PieceReport
from translate.inference.sample import COLUMNS, draw_code
from translate.models import Model
from translate.training.baselines import baseline_figures
from translate.training.events import Events
from translate.training.job import Job, kept_figures
from translate.training.judging import Judging
from translate.training.loader import Loader
from translate.training.model_files import ModelFiles
from translate.training.outputs import Whole, outputs_of
from translate.training.session import Session
from translate.training.validation import Validation, baselines_summary, examples_of, summary, validate

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
        judging: Judging,
        files: ModelFiles,
        board: Events,
        say: Callable[[str], None],
    ) -> None:
        self.job, self.session, self.data, self.judging = job, session, data, judging
        self.files, self.board, self.say = files, board, say
        self.once = 0.0  # seconds of the newest validation that no later one will take
        self._reported_pieces = False
        self._judged: Examples | None = None

    def validate(self, loader: Loader) -> dict[str, Any]:
        """Measure raw and averaged weights and write page and model files; returns the record for the journal."""
        session, data = self.session, self.data
        self.once = 0.0
        if not data.val and data.source is not None:
            nothing: dict[str, Figures] = {name: {} for name in session.candidates()}
            self.files.save(nothing)
            self.files.snapshot(nothing)
            return {}
        with self._only_once():
            examples = self._examples()
        found = self._measured(loader, examples)
        figures = found.figures(self.judging.best, *kept_figures(self.job.run))
        errors = found.errors()
        self._show_page(found, figures)
        for name, values in figures.items():
            self.board.scalars(f"validation/{name}", values, step=session.done)
        if not self.files.baselines and not examples.domains:
            with self._only_once():
                self._measure_baselines(loader, examples)
        saved, better = self.files.save(figures, errors)
        if figures[saved]:
            newest = ", kept as the newest" + (": --best last" if self.job.run.best == LAST else "")
            kept = newest if self.judging.best == LAST else ", best so far" if better else ""
            self._say(summary(figures[saved], errors.get(saved, {}), f"{saved} weights{kept}"))
        record: dict[str, Any] = {"validation": figures} if any(figures.values()) else {}
        record |= {"errors": errors} if errors else {}
        record |= self._apart(found, saved=saved)
        if source := self.files.baselines.get("source") or self.files.baselines.get("bicubic"):
            self._warn(record, [worse_than_source(figures[saved], source, pictures=len(data.val))])
        self.files.snapshot(figures)
        return record

    def _measure_baselines(self, loader: Loader, examples: Examples) -> None:
        """Measure and print what is reached without any training."""
        job = self.job
        self.files.baselines = baseline_figures(
            self.data, loader.validation, examples, settings=job.data, seed=job.run.seed
        )
        if self.files.baselines:
            self._say(baselines_summary(self.files.baselines))
        for name, values in self.files.baselines.items():
            self.board.scalars(f"baseline/{name}", values, step=self.session.done)

    @contextmanager
    def _only_once(self) -> Iterator[None]:
        """What happens in the block is not needed again, as a rule."""
        begin = time.perf_counter()
        yield
        self.once += time.perf_counter() - begin

    def _examples(self) -> Examples:
        """The validation examples, with the features to judge by: the same ones at each validation."""
        if self._judged is None:
            before = self.judging.reason
            self._judged = self.judging.examples()
            if self.judging.reason != before:
                self._say(
                    f"no figures on features after all, and best is by {self.judging.best}: {self.judging.reason}"
                )
        return self._judged

    def _warn(self, record: dict[str, Any], alarms: Iterable[Alarm | None], *, back: bool = False) -> None:
        """Print alarms, and add their names to the record."""
        key = f"alarms{'_back' if back else ''}"
        for alarm in alarms:
            if alarm is not None:
                self._say(alarm.message, where=", the way back" if back else "")
                record[key] = [*record.get(key, []), alarm.name]

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
            self.files.writer.write(partial(save_image, path), page)
            text += f"; look at {path}"
        self._say(text)

    def _measured(self, loader: Loader, examples: Examples) -> Validation:
        """All measures. Those that need a pass for each condition measure the newest weights alone."""
        whole, newest = self._whole(), self.files.newest()[0]
        found = validate(
            {
                name: outputs_of(
                    model,
                    whole,
                    back=self.session.model.reversible,
                    conditioned=bool(self.data.conditions and self.data.val) and name == newest,
                    classifier=self.session.model,
                )
                for name, model in self.session.candidates().items()
            },
            loader.validation(),
            examples=examples,
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
        self.files.writer.write(partial(save_image, path), found.page)
        if not any(figures.values()):
            self._say(f"look at {path}; there are no figures")
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
        for measures, back in ((of_saved, False), (found.measures_back.get(saved, {}), True)):
            alarms = [alarm for measure in measures.values() for alarm in measure.alarms(step=self.session.done)]
            self._warn(record, alarms, back=back)
        for name, measure in found.measures_back.get(saved, {}).items():
            record[f"{name}_back"] = measure.figures()
            self.board.scalars(f"{name}_back", record[f"{name}_back"], step=self.session.done)
        return record

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
