"""Training from a checked job to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from translate.datasets.prepare import prepare
from translate.devices import pick_device
from translate.training.feed import Feed
from translate.training.guard import StopRequest, TrainingStopped, is_out_of_memory
from translate.training.job import Job, new_job, resumed_job
from translate.training.recorder import Recorder
from translate.training.session import Session, prepare_machine

if TYPE_CHECKING:
    from translate.inference.translator import Translator


@dataclass(frozen=True)
class Run:
    """What a call of `train` leaves behind."""

    path: Path
    step: int
    steps: int
    figures: Mapping[str, float]  # of the best weights on the validation pairs
    blind: Mapping[str, float]  # of the mean training target on the same pairs
    interrupted: int | None = None  # the signal that stopped it early

    @property
    def finished(self) -> bool:
        """Whether every step was made."""
        return self.step >= self.steps

    def load(self, **options: Any) -> Translator:
        """The trained model, ready to be called."""
        from translate.inference.translator import load

        return load(self.path, **options)


def train(model: str = "pix2pix", *, resume: str | Path | None = None, **settings: Any) -> Run:
    """Train a model and return its run.

    `settings` are the names that `translate train MODEL --help` lists: `train("pix2pix", data="facades", steps=1000)`.
    With `resume=RUN` the other settings come from the run.

    Raises:
        ValueError: a setting, a path or the pictures are wrong.
        TrainingStopped: the loss was not finite, or memory or disk ran out.
    """
    job = new_job(model, settings) if resume is None else resumed_job(Path(resume), settings)
    return fit(job)


def fit(job: Job, *, say: Callable[[str], None] = tqdm.write) -> Run:
    """Carry out a job. Ctrl-C and SIGTERM end it between two steps, with its state saved.

    Raises:
        ValueError, TrainingStopped: as `train`.
    """
    device = pick_device(job.run.device)
    prepare_machine(threads=job.run.threads, deterministic=job.run.deterministic, device=device)
    data = prepare(job.data, say=say, progress=True)
    session = Session(job, source=data.source, target=data.target, pairs=len(data.train), device=device)
    recorder = Recorder(job, session, data, say=say)
    try:
        recorder.open()
        with StopRequest().listening() as stop, recorder.progress() as bar:
            feed = Feed(job, data, device=device, start=session.done * job.run.accumulate)
            if job.run.compile:
                session.compile()
            while session.done < session.steps and not stop.signal:
                session.advance(feed.take(job.run.accumulate))
                bar.update()
                recorder.after_step(feed)
            if stop.signal:
                recorder.save()
    except (OSError, RuntimeError, MemoryError) as error:
        raise _explained(error, session, job) from error
    interrupted = stop.signal if session.done < session.steps else None
    if interrupted:
        again = f"translate train --resume {job.folder.path}"
        say(f"stopped after step {session.done} of {session.steps}; go on with: {again}")
    return Run(job.folder.path, session.done, session.steps, session.best or {}, recorder.blind or {}, interrupted)


def _explained(error: Exception, session: Session, job: Job) -> Exception:
    """The same error as one line that says what is safe and what to try; errors of our own code stay as they are."""
    if isinstance(error, OSError):
        return TrainingStopped(f"{error}; {job.folder.safe()}")
    if is_out_of_memory(error):
        return TrainingStopped(
            f"out of memory on {session.device} in step {session.done + 1}: use a smaller --batch (with --accumulate "
            f"to keep their product), --size or --width, or --precision bfloat16; {job.folder.safe()}"
        )
    return error
