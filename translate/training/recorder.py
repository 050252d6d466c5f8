"""What a run writes down, and when: figures, sample grids, weights and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from translate.batch import Batch
from translate.card import Card
from translate.datasets.pairs import ROLES, of_side
from translate.datasets.prepare import READING, Prepared
from translate.evaluation.listening import Listening
from translate.evaluation.metrics import BETTER
from translate.evaluation.sheet import save_image
from translate.fields import Settings
from translate.files import of_step
from translate.images import ImageError
from translate.inference.pieces import Told
from translate.outside import about
from translate.training.alarms import Watch
from translate.training.answers import Whole, as_answer, as_translator, as_translator_back
from translate.training.board import board_class
from translate.training.changes import Changes, write_contents
from translate.training.feed import Feed
from translate.training.folder import FORMAT, save_model, versions
from translate.training.guard import ToldByAnother, TrainingStopped
from translate.training.job import Job
from translate.training.noise import fixed_page
from translate.training.session import Session
from translate.training.validation import Figures, Validation, summary, validate
from translate.voice import bar

NO_CHANGES = Changes()
LARGEST_CELL = 512  # pixels of a side to which whole pictures are shrunk on the sample page, or --size if larger

FIRST_LOOK = 30.0
"""Seconds of training after which there is a page to look at and a model to try, whenever the first validation is."""


class Recorder:
    """Everything a run leaves on the disk and shows on the screen.

    Every process of a group has one and calls it alike; only that of the first writes, validates and speaks.
    """

    def __init__(
        self,
        job: Job,
        session: Session,
        data: Prepared,
        *,
        changes: Changes = NO_CHANGES,
        say: Callable[[str], None],
    ) -> None:
        """`changes` are those of the pictures since the run that goes on was saved."""
        self.job, self.session, self.data, self.say = job, session, data, say
        self.group, self.changes = session.group, changes
        self.unreadable: ImageError | None = None  # a validation picture that could not be read
        run = job.run
        self.validate_every = run.validate_every or max(500, round(session.steps_per_epoch))
        self.checkpoint_every = run.checkpoint_every or self.validate_every
        self.baselines: dict[str, Figures] = {}  # what simpler answers reach on the validation pairs
        judged = data.val_paired and (data.val or job.resumed is not None)  # runs of before may have no pictures for it
        if run.best in ("psnr", "ssim") and not judged:
            raise ValueError(
                f"--best {run.best} needs figures, which need true pairs to validate on: leave it out, and "
                "model.safetensors has the newest weights"
            )
        self._board_class = board_class(run.tensorboard if self.group.first else False)
        self._cut = False  # whether it was said that validation pictures are cut
        self._board: Any = None
        self._bar: Any = None
        self._saved = self._began = time.perf_counter()  # when the last checkpoint was written, and when it started
        self._saved_step = 0
        self._timed = (session.done, time.perf_counter())  # the step and the time from which the rate is taken

    def __enter__(self) -> Self:
        """Make the run folder, or find the place where a resumed run left off. All that can be wrong comes first."""
        job, session, folder, data = self.job, self.session, self.job.folder, self.data
        state = folder.load_checkpoint(say=self.say) if job.resumed is not None else None
        if state is not None:
            with about(folder.checkpoint(state["step"])):
                session.load_state_dict(state)
            self._saved_step = session.done
            if self.changes.touch("val"):
                session.best = None  # other pictures, so that its figures say nothing about those to come
            if session.done >= session.steps:
                raise ValueError(
                    f"{folder.path} is at step {session.done} of {session.steps}: give more --steps or --epochs"
                )
        elif job.run.init_from is not None:
            self.say(session.start_from(job.run.init_from, step=job.run.step))
        if job.resumed is not None:
            self.say(f"resuming {folder.path} after step {session.done} of {session.steps}")
        self._change = self.changes.as_json(step=session.done)
        starts = self.group.gather((data.fingerprint, session.done))  # once all have read what the first will tidy up
        if len(set(starts)) > 1:
            raise ValueError("the processes see different pictures or checkpoints: all need the same folders")
        if self.group.first:
            if job.resumed is not None:
                folder.forget_after(session.done, say=self.say)
            folder.write_config(self._config())
            if job.resumed is None or self.changes or not folder.pictures.is_file():
                write_contents(folder.pictures, data.contents)
        if self._board_class is not None:
            self._board = self._board_class(str(folder.path), purge_step=session.done + 1 if job.resumed else None)
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as each:  # the second is closed though the first cannot be
            for open_one in (self._board, self._bar):
                if open_one is not None:
                    each.callback(open_one.close)

    def start(self) -> None:
        """Show the progress bar (silent where nobody watches a terminal): the first step comes next."""
        session = self.session
        self._bar = bar(self.group.first, total=session.steps, initial=session.done, desc=self.job.model, unit="step")
        self._saved = self._began = time.perf_counter()  # when the last checkpoint was written
        self._timed = (session.done, time.perf_counter())

    def after_step(self, feed: Feed) -> None:
        """Log, validate and save what is due after the step just made."""
        self._bar.update()
        session = self.session
        step, last = session.done, session.done == session.steps
        late = self.group.first and time.perf_counter() - self._saved > 60 * self.job.run.checkpoint_minutes
        log = step % self.job.run.log_every == 0 or last
        validating = step % self.validate_every == 0 or last
        saving = self.group.any(step % self.checkpoint_every == 0 or late or last)
        if log or validating:
            self._check_finite()
        record = self._losses() if log else {}
        begin = time.perf_counter()
        if self.group.first:
            if validating:
                try:
                    record |= self._validate(feed)
                    self._snapshot(record.get("validation", {}))
                except ImageError as error:  # the loop ends once all processes know
                    self.unreadable = error
            elif not self.job.folder.last.is_file() and time.perf_counter() - self._began > FIRST_LOOK:
                self._first_look(feed)
            if record:
                self.job.folder.journal({"step": step, "epoch": round(session.epoch, 4), **record})
        if saving:
            self.save()
        at, since = self._timed
        self._timed = (at, since + time.perf_counter() - begin)  # validating and saving are no training time

    def save(self) -> None:
        """Write a checkpoint of this moment, if there is none yet and its state is sound."""
        session, folder = self.session, self.job.folder
        if session.done == self._saved_step:
            return
        self._check_finite()
        if not all(parameter.isfinite().all() for parameter in session.model.parameters()):
            raise self._diverged(f"the weights after step {session.done} are not finite numbers")
        state = session.state_dict()
        if self.group.first:
            folder.save_checkpoint(session.done, state, keep=self.job.run.keep)
            if not folder.last.is_file():
                self._save_unjudged()
        self._saved, self._saved_step = time.perf_counter(), session.done

    def _check_finite(self) -> None:
        bad = self.session.meter.bad_step()
        if self.group.any(bad is not None):
            step = f"step {bad}" if bad is not None else "another process"
            raise self._diverged(f"the loss of {step} is not a finite number")

    def _diverged(self, what: str) -> TrainingStopped:
        """A resumed run would take the same step again: only a new one can have another rate or precision."""
        job = self.job
        start = f" with --init-from {job.folder.path}" if job.folder.checkpoint_steps() else ""
        other = "--source-range and --target-range that fit the pictures"
        if job.run.precision != "float32":
            other = f"--precision float32 (it was {job.run.precision})"
        remedies = f"start anew{start} and a lower --lr (it was {job.science.lr:g}), or {other}"
        kind = TrainingStopped if self.group.first else ToldByAnother
        return kind(f"{what}: {remedies}; {job.folder.safe(resumable=False)}")

    def _losses(self) -> dict[str, Any]:
        """Means since the last time over all processes, in the first; and the rate."""
        meter = self.session.meter
        of_each = self.group.gather(meter.means()) or [meter.means()]
        losses = {name: sum(means[name] for means in of_each) / len(of_each) for name in of_each[0]}
        meter.reset()
        (at, since), now = self._timed, time.perf_counter()
        rate = (self.session.done - at) * self.session.per_step / (now - since)  # of all processes
        self._timed = (self.session.done, now)
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in losses.items()}, refresh=False)
        self._scalars("loss", losses)
        each = {"examples_per_second_and_process": round(rate / self.group.size, 2)} if self.group.size > 1 else {}
        return {"losses": losses, "lr": self.session.rate(), "examples_per_second": round(rate, 2), **each}

    def _validate(self, feed: Feed) -> dict[str, Any]:
        """Figures of raw and averaged weights, the sample page, what looks wrong, and the model files."""
        session, data = self.session, self.data
        if not data.val and data.source is not None:
            self._save_models({name: {} for name in session.candidates()})
            return {}
        if not self.baselines and data.val_paired:
            self.baselines = feed.baselines()
        candidates = session.candidates()
        back = candidates if session.model.reversible else {}
        newest = list(candidates)[-1]  # the averaged weights, where there are such
        heard = Listening(data.conditions, heap=data.kind == "domains", errors=data.source is not None)
        listener = heard if data.conditions and data.val else None
        whole = self._whole()
        found = self._judged(
            feed.validation(),
            whole=whole,
            step=session.done,
            back={name: as_translator_back(model, whole) for name, model in back.items()},
            listening={listener: as_answer(candidates[newest], whole)} if listener else {},
        )
        if found.page is not None:
            path = of_step(self.job.folder.samples, session.done, ".png")
            save_image(path, found.page)
            if not data.val_paired:
                self.say(f"step {session.done}: look at {path}; without true pairs there are no figures")
            if self._board:
                self._board.add_image("samples", np.asarray(found.page), session.done, dataformats="HWC")
        for name, values in found.figures.items():
            self._scalars(f"validation/{name}", values)
        saved = self._save_models(found.figures)
        record: dict[str, Any] = {"validation": found.figures} if data.val_paired else {}
        if listener:
            record["listening"] = listener.figures()
            self._scalars("listening", record["listening"])
            self.say(f"step {session.done}: does it listen? {listener.describe()} ({newest} weights)")
        for way, watches in (("", found.watches), ("back", found.watches_back)):
            if watches:
                record |= self._look_out(watches[saved], way=way)
        return record

    def _judged(self, batches: Iterable[Batch], *, whole: Whole | None, **more: Any) -> Validation:
        """What `validate` finds of the raw and averaged weights."""
        data, size = self.data, self.job.data.size
        samples = self.job.run.samples
        found = validate(
            {name: as_translator(model, whole) for name, model in self.session.candidates().items()},
            batches,
            source=data.source,
            target=data.target,
            paired=data.val_paired,
            samples=0 if data.source is None else samples,
            largest=max(*size, LARGEST_CELL) if whole else None,
            **more,
        )
        if data.source is not None:
            return found
        return replace(found, page=fixed_page(self.session.candidates(), data, rows=samples))

    def _whole(self) -> Whole | None:
        return Whole(self._card("raw", {}), self._note) if self.job.data.val_whole and self.data.source else None

    def _note(self, told: Told) -> None:
        """Say once that validation does not see what the network would make of a whole picture."""
        if not told.exact and not self._cut:
            self.say(f"step {self.session.done}: a validation picture that does not fit in memory was {told.text}")
        self._cut = self._cut or not told.exact

    def _first_look(self, feed: Feed) -> None:
        """A page and a model long before the first validation. It is no part of the run: nothing is judged or noted."""
        session = self.session
        try:
            page = self._judged(feed.first(self.job.run.samples), whole=self._whole()).page
        except ImageError as error:
            self.unreadable = error
            return
        self._save_unjudged()
        told = f"step {session.done}: {self.job.folder.path} can be tried: {self.job.folder.convert}"
        if page is not None:
            path = of_step(self.job.folder.samples, session.done, ".png")
            save_image(path, page)
            told += f"; look at {path}"
        self.say(told)

    def _save_unjudged(self) -> None:
        """The newest weights as model, until a validation finds which are best."""
        name, model = list(self.session.candidates().items())[-1]
        for path in (self.job.folder.last, self.job.folder.model):
            save_model(path, model, self._card(name, {}))

    def _snapshot(self, figures: dict[str, Figures]) -> None:
        """The averaged weights of this moment, or the raw ones where there is no average, for looking back."""
        name, model = list(self.session.candidates().items())[-1]
        card = self._card(name, figures.get(name, {}))
        budget = self.job.run.snapshot_budget * 1e9
        self.job.folder.save_snapshot(self.session.done, model, card, budget=budget)

    def _look_out(self, watch: Watch, *, way: str) -> dict[str, Any]:
        """Tell what looks wrong with the outputs of one way; returns it and what was measured, for the journal."""
        alarms = watch.alarms()
        for alarm in alarms:
            self.say(f"step {self.session.done}{', the way back' if way else ''}: {alarm.message}")
        side = f"_{way}" if way else ""
        named = {f"alarms{side}": [alarm.name for alarm in alarms]} if alarms else {}
        return {f"watch{side}": watch.figures(), **named}

    def _save_models(self, figures: dict[str, Figures]) -> str:
        """`last.safetensors`: raw or averaged, whichever is better now; `model.safetensors`: the best so far.

        With `--best last`, or without figures, both are the newest averaged weights. Returns which of the two it was.
        """
        session, folder, run = self.session, self.job.folder, self.job.run
        candidates = session.candidates()

        def merit(values: Figures) -> float:
            return BETTER[run.best] * values[run.best]

        newest = list(candidates)[-1]  # the averaged weights, where there are such
        by_figure = figures["raw"] and run.best != "last"
        name = max(figures, key=lambda n: merit(figures[n])) if by_figure else newest
        card = self._card(name, figures[name])
        save_model(folder.last, candidates[name], card)
        better = (
            session.best is None
            or run.best == "last"
            or not figures[name]
            or merit(figures[name]) > merit(session.best)
        )
        if better:
            session.best = figures[name]
            save_model(folder.model, candidates[name], card)
        if figures[name]:
            kept = ", kept as the newest: --best last" if run.best == "last" else ", best so far" if better else ""
            self.say(f"step {session.done}: {summary(figures[name], f'{name} weights{kept}', self.baselines)}")
        return name

    def _scalars(self, group: str, values: dict[str, float]) -> None:
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, self.session.done)

    def _card(self, weights: str, figures: Figures) -> Card:
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

    def _data(self) -> dict[str, Any]:
        data = self.data
        counts = {"train": len(data.train), "val": len(data.val)}
        if data.kind == "unpaired":
            counts = {
                f"{part}_{role}s": len(of_side(pairs, role))
                for part, pairs in (("train", data.train), ("val", data.val))
                for role in ROLES
            }
        after = {"changed_after": [change["step"] for change in changed]} if (changed := self._changed()) else {}
        reading = {"reading": READING, "held_out": data.held_out}
        return {"fingerprint": data.fingerprint, **reading, **counts, "left_out": len(data.problems), **after}

    def _changed(self) -> list[dict[str, Any]]:
        """What has changed in the pictures on the way, each time that it was accepted."""
        before = (self.job.resumed or {}).get("data", {}).get("changes", [])
        return [*before, *([self._change] if self.changes else [])]

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.job.model,
            "settings": self.job.settings() | {"accept_changed_data": False},  # it is said anew each time
            "source": self.data.source and self.data.source.model_dump(mode="json"),
            "target": self.data.target.model_dump(mode="json"),
            "conditions": self.data.conditions.model_dump(mode="json"),
            "data": self._data() | ({"changes": changed} if (changed := self._changed()) else {}),
            "versions": versions(),
        }


def _without_paths(settings: Settings) -> dict[str, Any]:
    """A model file is passed on: it does not tell how its maker's folders are called."""
    return {name: value for name, value in settings.as_json().items() if not isinstance(getattr(settings, name), Path)}
