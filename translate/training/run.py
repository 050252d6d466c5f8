"""Training from a checked job to a finished run folder."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate import console
from translate.allow import is_class
from translate.conditions import Conditions, tokenizer
from translate.datasets.background import BackgroundCheck
from translate.datasets.examples.cache import shown
from translate.datasets.preparation.index import keep_beside
from translate.datasets.prepare import Prepared, prepare
from translate.devices import is_out_of_memory
from translate.images import ImageError
from translate.locks import locked
from translate.pages.charts import charts_of
from translate.pages.journal import History, read_journal
from translate.training.changes import Changes, settled
from translate.training.condition_setup import earlier_conditions, load_encoder, read_encoder
from translate.training.graph import check_graph, step_as_asked
from translate.training.group import Group, joined
from translate.training.guard import StoppedElsewhere, StopRequest, TrainingStopped
from translate.training.job import Job, check_unused, new_job, resumed_job
from translate.training.loader import Loader
from translate.training.recorder import Recorder
from translate.training.session import Session, arithmetic

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from translate.inference.translator import Translator


@dataclass(frozen=True)
class Run:
    """Result of `train`."""

    path: Path
    step: int
    steps: int
    figures: Mapping[str, float]  # of the best weights on the validation pairs
    blind: Mapping[str, float]  # of the mean training target on the same pairs
    interrupted: int | None = None  # the signal that stopped it early
    model: str = ""  # its name, or the class that its caller allowed
    no_longer_improving: bool = False  # `--patience` ended it

    @property
    def finished(self) -> bool:
        """Whether every step was made, or it no longer improved and `--patience` ended it."""
        return self.step >= self.steps or self.no_longer_improving

    def load(self, **options: Any) -> Translator:
        """The trained model, ready to be called."""
        from translate.inference.translator import load

        return load(self.path, **({"allow": self.model} if is_class(self.model) else {}) | options)

    @property
    def history(self) -> History:
        """The journal as it is now: a table of losses and figures, which notebooks show."""
        return History(read_journal(self.path / "metrics.jsonl").records)

    def curves(self) -> Figure:
        """The curves of the report, as a matplotlib figure, which notebooks show."""
        from translate.pages.plots import plot
        from translate.pages.report import named_baselines
        from translate.pages.runs import read_run

        view = read_run(self.path)
        return plot(
            [chart for chart in charts_of(view.series, baselines=named_baselines(view.baselines)) if not chart.check]
        )


def train(
    model: str | None = None, *, resume: str | Path | None = None, allow: str | None = None, **settings: Any
) -> Run:
    """Train a model and return its run.

    `settings` are the names that `translate train MODEL --help-all` lists, as in `train("pix2pix", data="facades")`.
    With `resume=RUN` the model and the other settings come from the run. If that is a class of your own, allow it by
    `allow="module:Class"`; as `model` it needs no more.

    Raises:
        NotAllowed: a run of a class that is not `allow`.
        ValueError: a setting, a path or the pictures are wrong.
        TrainingStopped: the loss was not finite, or memory or disk ran out.
    """
    if model is not None and resume is None:
        return fit(new_job(model, settings, allow=model))
    if model is None and resume is not None:
        return fit(resumed_job(Path(resume), settings, allow=allow))
    raise ValueError('give a model, as in train("pix2pix", data=...), or resume=RUN, which has one: one of the two')


def fit(job: Job, *, say: Callable[[str], None] = console.say) -> Run:
    """Carry out a job: read the pictures, make the steps, write the run folder.

    Ctrl-C and SIGTERM end it between two steps, with its state saved. Started by torchrun or accelerate launch, the
    processes train together; each calls this.

    Raises:
        ValueError, TrainingStopped: as `train`.
    """
    with ExitStack() as stack:
        group = stack.enter_context(joined())
        say = say if group.first else _nothing
        stack.enter_context(_locked(job, group, say=say))
        with job.named():
            device = group.device(job.run.device)
            check_graph(job, device=device, group=group)
            data = _prepared(job, group, say=say)
            _refuse_unused(job, data)
        data, changes = (data, Changes()) if job.resumed is None else settled(job, job.resumed, data, say=say)

        stack.enter_context(_failures_explained(job, device))
        stack.enter_context(arithmetic(threads=job.run.threads, deterministic=job.run.deterministic, device=device))
        session = Session(
            job,
            source=data.source,
            target=data.target,
            conditions=data.conditions,
            examples=data.examples,
            device=device,
            group=group,
        )
        encoder = job.cls.data_needs(job.science).encoder
        if encoder is not None and job.resumed is None:
            load_encoder(session.candidates().values(), encoder)
        recorder = stack.enter_context(Recorder(job, session, data, changes=changes, say=say))
        if group.first and data.index is not None:
            with suppress(OSError):  # it saves time, and nothing depends on it
                keep_beside(data.index, job.folder.cache)
        stop = stack.enter_context(StopRequest(echoes=group.size > 1).handling_signals())
        draws = session.model.draws()
        loader = Loader(job, data, device=device, start=session.seen, group=group, draws=draws)
        stack.enter_context(closing(loader))
        if loader.growing:
            kept = f"decoded pictures are kept in memory once they were read, at most {shown(loader.growing)}"
            say(f"{kept} (--cache none keeps none)")
        if session.references and not session.done:
            session.refer(loader.reference(session.references))
        session.stepping = step_as_asked(job.run.step, session.step, device=device, say=say)
        needs, folder = job.cls.data_needs(job.science), job.folder.cache
        check = BackgroundCheck(data, job.data, data_needs=needs, beside=folder, say=say)
        stack.enter_context(closing(check))

        recorder.start()
        unreadable: ImageError | None = None
        while session.done < session.steps:
            try:
                batches = loader.take(session.batches_a_step)
            except ImageError as error:
                unreadable = error
            unreadable = unreadable or recorder.unreadable
            if group.any(stop.signal is not None or unreadable is not None or recorder.out_of_patience):
                break
            session.advance(batches)  # one optimisation step: `translate.training.loop.Step`
            recorder.after_step(loader)
            check.begin()  # the workers of the loader are forked by now

        if group.any((unreadable or recorder.unreadable) is not None):
            recorder.save(final=True)
            raise _without_pictures(unreadable or recorder.unreadable, job, session, group)
        settled_early = group.any(recorder.out_of_patience)
        # the signal may have reached another process only
        interrupted = (stop.signal or signal.SIGTERM) if session.done < session.steps and not settled_early else None
        if settled_early:
            recorder.save(final=True)
        if not interrupted:
            recorder.finish()
        else:
            recorder.save(final=True)
            again = job.folder.resume
            say(f"stopped after step {session.done} of {session.steps}; go on with: {again}")
    blind = recorder.baselines.get("mean_target", {})
    return Run(
        job.folder.path,
        session.done,
        session.steps,
        session.best or {},
        blind,
        interrupted,
        job.model,
        no_longer_improving=settled_early,
    )


@contextmanager
def _locked(job: Job, group: Group, *, say: Callable[[str], object]) -> Iterator[None]:
    """Within the block, no other process trains in the run folder.

    Raises:
        ValueError: another one does, or has made a run of it since the job was made.
    """
    with ExitStack() as stack:
        trouble: Exception | None = None
        if group.first:
            try:
                stack.enter_context(locked(job.folder.lock, what=f"the run folder {job.folder.path}", say=say))
                if job.resumed is None:
                    check_unused(job.folder)
            except (ValueError, OSError) as error:
                trouble = error
        if group.any(trouble is not None):
            raise trouble or StoppedElsewhere("the first process cannot have the run folder")
        yield


@contextmanager
def _failures_explained(job: Job, device: torch.device) -> Iterator[None]:
    """Within the block, a full disk, a lost worker and too little memory are reported with what to try.

    Raises:
        TrainingStopped: one of these.
    """
    try:
        yield
    except OSError as error:
        raise TrainingStopped(f"{error}; {job.folder.safe()}") from error
    except (RuntimeError, MemoryError) as error:
        if lost := _lost_worker(error):
            raise TrainingStopped(f"{lost}: use fewer --workers, or --workers 0; {job.folder.safe()}") from error
        if not is_out_of_memory(error):
            raise
        smaller = (
            "a smaller --batch (with --accumulate to keep their product), --size or --width, or --precision bfloat16"
        ) + (", or --val-crop if it was in validation" if job.data.val_whole else "")
        advice = f"free memory, or start anew with {smaller}"
        raise TrainingStopped(f"out of memory on {device}: {advice}; {job.folder.safe()}") from error


def _lost_worker(error: BaseException | None) -> str | None:
    """The loader's message if the system ended one of its workers, by a signal or for want of memory; else None.

    The loader raises it in the middle of whatever the process does, so the error may be the context of a later one.
    """
    while error is not None and not str(error).startswith("DataLoader worker"):
        error = error.__context__
    return None if error is None else str(error).strip()


def _prepared(job: Job, group: Group, *, say: Callable[[str], None]) -> Prepared:
    """The pictures, with all that the model needs of them; a resumed run keeps its conditions.

    Processes that train together decode all pictures first: what one of them knows from an index is left out in all.
    """
    cls, run = job.cls, job.run
    data_needs = cls.data_needs(job.science)
    before = None if job.resumed is None else Conditions.model_validate(job.resumed.get("conditions", {}))
    if before is not None and before.text is not None:
        tokenizer(before.text.tokenizer)  # raises now if it is damaged
    fresh = data_needs and before is None
    return prepare(
        job.data,
        kind=cls.data,
        data_needs=data_needs,
        conditions=before,
        start=earlier_conditions(run.init_from) if fresh and run.init_from is not None else None,
        scale=cls.enlarges(job.science),
        beside=job.folder.cache,
        behind=group.size == 1 and not run.accept_changed_data,  # what cannot be read is what may have changed
        pretrained=read_encoder(data_needs.encoder)
        if fresh and data_needs.text and data_needs.encoder is not None
        else None,
        say=say,
        progress=group.first,
    )


def _refuse_unused(job: Job, data: Prepared) -> None:
    """Raises:
    ValueError: a setting of the validation, new in this call, that changes nothing with these pictures.
    """
    before = job.resumed["settings"] if job.resumed else {}
    if (
        data.source is not None and not data.val and job.run.samples not in (0, before.get("samples"))
    ):  # with 0 there are no sample pages anyway
        job.run.refuse_unused({"samples": "without validation pictures"})
    if not data.val and job.run.metric_features != before.get("metric_features", "auto"):
        job.run.refuse_unused({"metric_features": "without validation pictures"})


def _without_pictures(error: ImageError | None, job: Job, session: Session, group: Group) -> TrainingStopped:
    """The error for a picture that can no longer be read, here or in another process; the run is saved."""
    if error is None:
        kind = TrainingStopped if group.first else StoppedElsewhere
        return kind(f"a picture can no longer be read in another process: {job.folder.safe()}")
    again = job.folder.resume
    where = f"stopped after step {session.done} of {session.steps}, with the state saved"
    return TrainingStopped(
        f"{error}; {where}. Once it can be read again go on with: {again}; without it: {again} --accept-changed-data"
    )


def _nothing(line: str) -> None:
    """Only the first process prints."""
