"""When a run logs, validates and saves; and the errors of a run that diverges."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import torch

from translate.datasets.prepare import Prepared
from translate.evaluation.base import Figures
from translate.images import ImageError
from translate.outside import about
from translate.pages.report import try_report
from translate.training.care import Care, Due
from translate.training.changes import Changes, write_contents
from translate.training.choice import Choice
from translate.training.events import Events, Opening
from translate.training.guard import StoppedElsewhere, TrainingStopped
from translate.training.health import TrainingHealth
from translate.training.job import Job
from translate.training.judging import Judging
from translate.training.loader import Loader
from translate.training.loggers import open_loggers
from translate.training.model_files import ModelFiles
from translate.training.progress import Progress
from translate.training.session import Session
from translate.training.validator import Validator
from translate.training.writer import Writer

NO_CHANGES = Changes()

MIN_INTERVAL = 500
"""Steps between validations, at least, where the person gave none: else an epoch."""

FIRST_LOOK = 30.0
"""Seconds of training until the first sample page and model file, if the first validation is later."""


class Recorder:
    """Writes the run folder, and prints.

    Every process of a group has one and calls it alike; only the first process writes, validates and prints.
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
        """`changes`: of the pictures, since a resumed run was saved."""
        self.job, self.session, self.data, self.say = job, session, data, say
        self.group, self.changes = session.group, changes
        self.unreadable: ImageError | None = None  # a validation picture that could not be read
        self.care = Care(job.run, usual=max(MIN_INTERVAL, round(session.steps_per_epoch)))
        self.writer = Writer()
        self.judging = Judging(job, data)
        self.judging.check()
        self.out_of_patience = False  # --patience ends the run
        self._health = TrainingHealth(objective=getattr(job.science, "objective", None))
        self._shown: dict[str, str] = {}  # on the bar, after its numbers
        self._board = Events()  # nowhere yet
        self._progress: Progress | None = None
        self._told_postponed = False
        self._saved_step = 0
        self._timed = (session.done, time.perf_counter())  # the step and the time from which the rate is taken

    def __enter__(self) -> Self:
        """Make the run folder, or restore the state of a resumed run. All checks come before anything is written."""
        job, session, folder, data = self.job, self.session, self.job.folder, self.data
        state = folder.load_checkpoint(say=self.say) if job.resumed is not None else None
        if state is not None:
            with about(folder.checkpoint(state["step"])):
                session.load_state_dict(state)
            self._saved_step = session.done
            if self.changes.touch("val"):
                session.best, session.choice = None, Choice()  # measured on other pictures: not comparable
            if session.done >= session.steps:
                raise ValueError(
                    f"{folder.path} is at step {session.done} of {session.steps}: give more --steps or --epochs"
                )
            if self._waited_enough():
                raise ValueError(
                    f"{folder.path} was ended after step {session.done} by --patience {job.run.patience}: give a "
                    "larger --patience, or none, to go on"
                )
        elif job.run.init_from is not None:
            self.say(session.start_from(job.run.init_from, step=job.run.init_step))
        if job.resumed is not None:
            self.say(f"resuming {folder.path} after step {session.done} of {session.steps}")
        if self.group.first:
            opening = Opening(folder.path, resumed=session.done if job.resumed else None)
            self._board = open_loggers(job.run, opening, say=self.say)
        self.judging.say(self.say)
        self.files = ModelFiles(job, session, data, judging=self.judging, changes=self.changes, writer=self.writer)
        self._validator = Validator(
            job, session, data, judging=self.judging, files=self.files, board=self._board, say=self.say
        )
        starts = self.group.gather(
            (data.fingerprint, session.done)
        )  # all have read the folder before the first changes it
        if len(set(starts)) > 1:
            raise ValueError("the processes see different pictures or checkpoints: all need the same folders")
        if self.group.first:
            if job.resumed is not None:
                folder.forget_after(session.done, say=self.say)
                self._health.restore(folder)
            folder.write_config(self.files.config())
            if job.resumed is None or self.changes or not folder.pictures.is_file():
                write_contents(folder.pictures, data.contents)
        self._board.settings({"model": job.model, **job.settings()})
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        with ExitStack() as each:  # the second is closed though the first cannot be
            if self.group.first:
                each.callback(try_report, self.job.folder.path, say=self.say)
            for open_one in (self._board, self._progress):
                if open_one is not None:
                    each.callback(open_one.close)
            each.callback(self._end_writing, quietly=error is not None)

    def _end_writing(self, *, quietly: bool) -> None:
        """Have all files written. `quietly`: an error of that is printed, not raised."""
        error = self.writer.end()
        if error is not None and not quietly:
            raise error
        if error is not None:
            self.say(str(error))

    @property
    def baselines(self) -> Mapping[str, Figures]:
        """Figures of the baselines on the validation pairs."""
        return self.files.baselines

    def start(self) -> None:
        """Show the progress. Called right before the first step."""
        session, first = self.session, self.group.first
        self.care.start()
        self._progress = Progress(
            session, self.care, first=first, as_json=self.job.run.log_json, title=self.job.model, say=self.say
        )
        self._timed = (session.done, time.perf_counter())

    def after_step(self, loader: Loader) -> None:
        """Log, validate and save, as far as they are due."""
        session, care = self.session, self.care
        step, last = session.done, session.done == session.steps
        self.writer.check()
        due = Due(self.group.told(care.due(step, last=last) if self.group.first else 0))
        log = step % self.job.run.log_every == 0 or last
        validating, alarming = bool(due & Due.VALIDATION), care.at_interval(step) or last
        if log or validating or alarming:
            self._check_finite()
        record = self._losses(loader) if log else {}
        self.writer.direct = last  # no training goes on beside it
        looking = not self.files.begun and care.elapsed > FIRST_LOOK
        if self.group.first:
            if validating or alarming or looking:
                with care.timed(Due.VALIDATION):
                    record |= self._looked_at(loader, validating=validating, looking=looking)
            self._tell_postponed()
            self.out_of_patience = validating and not last and self._waited_enough()
            if record:
                self.job.folder.journal({"step": step, "epoch": round(session.epoch, 4), **record})
        if due & Due.CHECKPOINT:
            self.save()
        self.writer.start()
        own = self._validator.once if validating else 0.0
        stood_still = care.settle(once=own, beside=self._seconds_beside())
        at, since = self._timed
        self._timed = (at, since + stood_still)  # validating and saving are no training time
        assert self._progress is not None
        self._progress.step(last=last)

    def _looked_at(self, loader: Loader, *, validating: bool, looking: bool) -> dict[str, Any]:
        """Validate, or take a first look; and see whether the training itself is healthy, as its journal shows it."""
        record: dict[str, Any] = {}
        try:
            if validating:
                record = self._validator.validate(loader)
            elif looking:
                with self.writer.at_once():  # it says that they are there
                    self._validator.first_look(loader)
            if validating or self.care.at_interval(self.session.done):  # also where the validation is postponed
                self._warn(record, loader, validated=validating)
        except ImageError as error:  # the loop ends once all processes know
            self.unreadable = error
        return record

    def _tell_postponed(self) -> None:
        """Print once that care waits for the time that it may take."""
        if self.care.postponed and not self._told_postponed:
            self._told_postponed = True
            self.say(
                f"step {self.session.done}: validations and checkpoints take {self.job.run.care_share:.1%} of the time "
                "at most (--care-share), and wait where their steps would take more; --validate-every and "
                "--checkpoint-every give them fixed steps"
            )

    def _seconds_beside(self) -> float:
        """What writing earlier files took from the training: on a CPU its share of the cores, elsewhere nothing."""
        seconds = self.writer.processor_seconds()
        return seconds / torch.get_num_threads() if self.session.device.type == "cpu" else 0.0

    def finish(self) -> None:
        """After the last step: print which step was best by which figure, and put that into the model files."""
        if not self.group.first:
            return
        self.writer.wait()
        session, best = self.session, self.judging.best
        for line in self.files.report():
            self.say(line)
        self.files.note_best_steps()
        if self.out_of_patience:
            self.say(
                f"ended after step {session.done} of {session.steps}: {self.job.run.patience} validation"
                f"{'s' * (self.job.run.patience != 1)} without a "
                f"better {self.judging.described(best)}; to go on: {self.job.folder.resume} --patience none"
            )

    def _waited_enough(self) -> bool:
        patience = self.job.run.patience
        return patience is not None and self.session.choice.waited(self.judging.best) >= patience

    def _warn(self, record: dict[str, Any], loader: Loader, *, validated: bool) -> None:
        """Print the alarms of the training itself, add their names to the record, and show all on the bar.

        Those of a validation stay there until the next one.
        """
        for alarm in self._health.alarms(workers=loader.workers):
            self.say(f"step {self.session.done}: {alarm.message}")
            record["alarms"] = [*record.get("alarms", []), alarm.name]
        names = [*record.get("alarms", []), *(f"{name} (back)" for name in record.get("alarms_back", []))]
        if names or validated:
            self._shown = {"ALARM": ", ".join(names)} if names else {}

    def save(self, *, final: bool = False) -> None:
        """Have a checkpoint written, unless this step has one.

        Args:
            final: the run ends with it: it is complete on the disk when this returns, and so is all else.

        Raises:
            TrainingStopped: losses or weights are not finite.
            OSError: it, or an earlier file, could not be written.
        """
        session, folder = self.session, self.job.folder
        if final:
            self.writer.direct = True
            self.writer.wait()
        if session.done == self._saved_step:
            return
        self._check_finite()
        with self.care.timed(Due.CHECKPOINT):
            finite = torch.stack([parameter.isfinite().all() for parameter in session.model.parameters()])
            if not finite.all():
                raise self._diverged(f"the weights after step {session.done} are not finite numbers")
            state = session.state_dict()
            if self.group.first:
                if not self.files.begun:
                    self.files.save_unmeasured()
                save = folder.save_checkpoint
                self.writer.write(partial(save, session.done, keep=self.job.run.keep), state)
        self.care.saved()
        self._saved_step = session.done

    def _check_finite(self) -> None:
        bad = self.session.meter.bad_step()
        if self.group.any(bad is not None):
            step = f"step {bad}" if bad is not None else "another process"
            raise self._diverged(f"the loss of {step} is not a finite number")

    def _diverged(self, what: str) -> TrainingStopped:
        """The error. It advises a new run: a resumed one would repeat the step, with the same rate and precision."""
        self._end_writing(quietly=True)
        job = self.job
        start = f" with --init-from {job.folder.path}" if job.folder.checkpoint_steps() else ""
        other = "--source-range and --target-range that fit the pictures"
        if job.run.precision != "float32":
            other = f"--precision float32 (it was {job.run.precision})"
        remedies = f"start anew{start} and a lower --lr (it was {job.science.lr:g}), or {other}"
        kind = TrainingStopped if self.group.first else StoppedElsewhere
        return kind(f"{what}: {remedies}; {job.folder.safe(resumable=False)}")

    def _losses(self, loader: Loader) -> dict[str, Any]:
        """For the journal, in the first process: mean losses of all processes since the last record, and the speed."""
        meter = self.session.meter
        of_each = self.group.gather(meter.means()) or [meter.means()]
        losses = {name: sum(means[name] for means in of_each) / len(of_each) for name in of_each[0]}
        meter.reset()
        norms = {player: float(norm) for player, norm in self.session.step.gradients.items()}
        self.session.step.gradients.clear()
        (at, since), now = self._timed, time.perf_counter()
        rate = (self.session.done - at) * self.session.per_step / (now - since)  # of all processes
        self._timed = (self.session.done, now)
        self._health.time(waited=loader.waited, seconds=now - since)
        loader.waited = 0.0
        assert self._progress is not None
        self._progress.losses(losses, alarms=self._shown)
        self._board.scalars("loss", losses, step=self.session.done)
        pace = {"lr": self.session.rate(), **self.session.own_rates(), "examples_per_second": round(rate, 2)}
        self._board.scalars("training", pace, step=self.session.done)
        each = {"examples_per_second_and_process": round(rate / self.group.size, 2)} if self.group.size > 1 else {}
        gradients = {player: norm for player, norm in norms.items() if math.isfinite(norm)}
        record = {"losses": losses} | ({"gradients": gradients} if gradients else {})
        self._health.add({"step": self.session.done, **record})
        return record | pace | each | {"care_share": round(self.care.share, 4)}
