"""A few real training steps of the suggested method, to know what a training takes here."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from translate.console import duration
from translate.datasets.prepare import Prepared, prepare
from translate.inspection.reading import Set, needs_of
from translate.inspection.suggesting import Suggestion

ENOUGH_SECONDS = 60.0  # after which no further step is begun
PATHS = ("data", "source", "target", "val_source", "val_target")


@dataclass(frozen=True)
class Trial:
    """What a few steps took."""

    model: str
    size: str
    device: str
    steps: int  # timed
    seconds: float  # of one: the median
    gigabytes: float  # most memory that they took
    total_steps: int  # of the whole training
    examples: int  # of an epoch
    epochs: float
    noun: str

    @property
    def hours(self) -> float:
        """Of the whole training."""
        return self.seconds * self.total_steps / 3600

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": self.size,
            "device": self.device,
            "steps_timed": self.steps,
            "seconds_a_step": self.seconds,
            "gigabytes": self.gigabytes,
            "total_steps": self.total_steps,
            "hours": self.hours,
        }

    def describe(self) -> str:
        """One line."""
        return (
            f"a step of {self.model} at {self.size} takes {_seconds(self.seconds)} and {self.gigabytes:.1f} GB here "
            f"({self.device}): {self.epochs:g} epochs of {self.examples:,} {self.noun} ({self.total_steps:,} steps) "
            f"take about {duration(self.seconds * self.total_steps)}"
        )


def try_steps(read: Set, suggestion: Suggestion, *, steps: int, device: str) -> Trial:
    """Make one step to warm up and `steps` more, with the networks at full width; nothing is kept.

    Raises:
        ValueError: settings that do not fit each other, or a device that cannot be used.
        RuntimeError, MemoryError: memory ran out.
    """
    import torch

    from translate.devices import pick_device
    from translate.training.job import new_job
    from translate.training.loader import Loader
    from translate.training.session import Session, arithmetic

    begin = _peak_memory(reset=True)
    with tempfile.TemporaryDirectory() as folder:
        values = {name: getattr(read.settings, name) for name in read.settings.model_fields_set if name != "strict"}
        values |= suggestion.settings | _extra(suggestion)
        job = new_job(suggestion.model, {**values, "out": Path(folder) / "run", "device": device})
        data = _prepared(read, suggestion.settings, job.cls.data_needs(job.science))
        where = pick_device(device)
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(where)
        with arithmetic(threads=None, deterministic=False, device=where), contextlib.ExitStack() as stack:
            session = Session(
                job,
                source=data.source,
                target=data.target,
                conditions=data.conditions,
                examples=data.examples,
                device=where,
            )
            loader = Loader(job, data, device=where, start=0, draws=session.model.draws())
            stack.enter_context(closing(loader))
            if session.references:
                session.refer(loader.reference(session.references))
            total = session.steps
            times: list[float] = []
            started = time.perf_counter()
            for number in range(steps + 1):
                if number > 1 and time.perf_counter() - started > ENOUGH_SECONDS:
                    break
                step = time.perf_counter()
                session.advance(loader.take(session.batches_a_step))
                session.meter.means()  # waits for the device
                times.append(time.perf_counter() - step)
        on_gpu = where.type == "cuda"
        memory = torch.cuda.max_memory_reserved(where) if on_gpu else max(0, _peak_memory() - begin)
    return Trial(
        model=suggestion.model,
        size=str(job.data.size),
        device=str(where),
        steps=len(times) - 1,
        seconds=median(times[1:]),
        gigabytes=memory / 1e9,
        total_steps=total,
        examples=data.examples,
        epochs=job.science.epochs,
        noun="pairs" if read.kind == "pairs" else "pictures",
    )


def _extra(suggestion: Suggestion) -> dict[str, Any]:
    words = shlex.split(suggestion.command)
    return {"condition": words[words.index("--condition") + 1]} if "--condition" in words else {}


def _prepared(read: Set, settings: Mapping[str, Any], needs: Any) -> Prepared:
    """The set as it was read, or read again where the suggestion changes what the pictures are."""
    same = not any(name.endswith("_kind") for name in settings) and settings.get("fit", "stretch") == "stretch"
    if same and needs == needs_of(read.settings, read.kind):
        return read.prepared
    changed = read.settings.replace(**settings, strict=False)
    return prepare(changed, kind=read.kind, data_needs=needs, say=lambda line: None)


def _peak_memory(*, reset: bool = False) -> int:
    """Bytes of memory that this process has taken at most; since the last `reset`, where the system can tell that."""
    status = Path("/proc/self/status")
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return 0


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"
