"""A run folder: its configuration, weights, checkpoints and journal, each written whole or not at all."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from translate.allow import is_class
from translate.card import Card
from translate.conditions import Conditions
from translate.files import atomic, drop_leftovers, of_step, steps_in, write_text
from translate.images import ImageSpec
from translate.inference.earlier import CHECKPOINTS, SNAPSHOTS
from translate.models import MODELS, Model, deployed_state
from translate.outside import MAX_STEPS, checked, parsed, read_text
from translate.version import __version__
from translate.weights import CHECKSUM, checksum, load_state, save_tensors


def versions() -> dict[str, str]:
    """Versions of the software that writes a run or model."""
    return {"translate": __version__, "torch": torch.__version__, "python": platform.python_version()}


FORMAT = 1  # of `config.json`


class OtherFile(ValueError):
    """A `config.json` that is whole, and not one that this version reads."""


class Change(BaseModel):
    """Pictures changed after a step of a run; further stored fields are not read."""

    step: int = Field(ge=0, le=MAX_STEPS)


class Data(BaseModel):
    """What a run stores of its pictures; an imported run stores nothing."""

    fingerprint: str | None = Field(None, max_length=1000)
    held_out: str | None = Field(None, max_length=1000)
    reading: int = Field(1, ge=0, le=10_000)
    changes: list[Change] = Field([], max_length=10_000)


class Config(BaseModel):
    """The fields of `config.json` that are read again. The settings' own classes check `settings`."""

    format: int = Field(FORMAT, ge=0)
    model: str = Field(min_length=1, max_length=200)
    imported: dict[str, str] | None = None
    settings: dict[str, Any]
    source: ImageSpec | None  # None: pictures are made of noise
    target: ImageSpec
    conditions: Conditions = Conditions()
    data: Data

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.imported is None and self.data.fingerprint is None:
            raise ValueError("data.fingerprint is missing")
        return self


class RunFolder:
    """The paths of one run and what is read from and written to them."""

    def __init__(self, path: Path, *, model: str = "") -> None:
        """`model`: its name, if known; commands to resume a class of your own then have `--allow`."""
        self.path = path
        self._allow = f" --allow {model}" if is_class(model) else ""
        of_noise = model in MODELS and MODELS[model].data == "targets"
        self._try = f"translate sample {path} OUT" if of_noise else f"translate convert {path} IN OUT"
        self._sound: set[int] = set()  # steps whose checkpoint was written or read whole by this process
        self.lock = path / ".lock"  # only while a process trains here
        self.config = path / "config.json"
        self.model = path / "model.safetensors"  # the best weights
        self.last = path / "last.safetensors"  # the newest weights
        self.pictures = path / "pictures.json.gz"  # what it is trained on, by name
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / CHECKPOINTS
        self.snapshots = path / SNAPSHOTS  # the generator at each validation
        self.cache = path / "cache"

    @property
    def resume(self) -> str:
        """The command that resumes the run."""
        return f"translate train --resume {self.path}{self._allow}"

    @property
    def convert(self) -> str:
        """The command that tries the model."""
        return f"{self._try}{self._allow}"

    def best(self, figure: str) -> Path:
        """Where the best weights by `figure` are kept, with `--keep-best`."""
        return self.path / f"best-{figure}.safetensors"

    def read_config(self) -> dict[str, Any]:
        """
        Raises:
            ValueError: this is no run folder, or its configuration is damaged.
        """
        if not self.config.is_file():
            raise ValueError(f"{self.path} is not a run folder: it has no config.json")
        try:
            text = read_text(self.config)
            config = parsed(text)
            if not (isinstance(config, dict) and config.keys() >= {"model", "settings", "source", "target", "data"}):
                raise OtherFile(f"{self.path} is not a run folder: its config.json is that of something else")
            version = config.get("format", FORMAT)
            if isinstance(version, int) and version > FORMAT:
                raise OtherFile(f"{self.path} was written by a newer version of this software: upgrade to use it")
            checked(Config, text)
        except OtherFile:
            raise
        except ValueError as error:
            raise ValueError(f"{self.config} is damaged: {error}") from None
        found: dict[str, Any] = config
        return found

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace the configuration."""
        write_text(self.config, json.dumps(config, indent=2) + "\n")

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first. Files of other names than ours are none."""
        return steps_in(self.checkpoints, ".pt")

    def checkpoint(self, step: int) -> Path:
        """Where the full training state after `step` is kept."""
        return of_step(self.checkpoints, step, ".pt")

    def save_checkpoint(self, step: int, state: dict[str, Any], *, keep: int) -> None:
        """Write the training state with its checksum, then drop all but the newest `keep`, once this one is safe.

        Raises:
            OSError: it could not be written whole. The older checkpoints are as they were.
        """
        path = self.checkpoint(step)
        try:
            with atomic(path) as temporary, temporary.open("wb") as file:
                torch.save({**state, CHECKSUM: checksum(state)}, file)
        except (OSError, RuntimeError) as error:
            # torch raises a RuntimeError for a full disk; its context is the system's error
            reason = error if isinstance(error, OSError) else error.__context__
            if not isinstance(reason, OSError):
                raise
            raise OSError(f"{path} could not be written: {reason}") from error
        self._sound.add(step)
        for old in self.checkpoint_steps()[:-keep]:
            self.checkpoint(old).unlink()

    def read_checkpoint(self, step: int) -> dict[str, Any]:
        """The training state after `step`, on the CPU. Only tensors and plain values are unpickled.

        Raises:
            ValueError: there is none, or its file is damaged.
        """
        path, steps = self.checkpoint(step), self.checkpoint_steps()
        if step not in steps:
            there = f"there are {', '.join(map(str, steps))}" if steps else "there is none at all"
            raise ValueError(f"{self.path} has no checkpoint of step {step}: {there}")
        state = load_state(path)
        if state["step"] != step:
            raise ValueError(f"{path} is damaged: it holds step {state['step']}")
        self._sound.add(step)
        return state

    def load_checkpoint(self, *, say: Callable[[str], object] = str) -> dict[str, Any] | None:
        """The newest undamaged training state, on the CPU; None if there is no checkpoint yet.

        Args:
            say: called with a line for each newer checkpoint that is damaged.

        Raises:
            ValueError: all are damaged.
        """
        steps = self.checkpoint_steps()
        for step in reversed(steps):
            try:
                state = self.read_checkpoint(step)
            except ValueError as error:
                if step == steps[0]:
                    raise ValueError(
                        f"{error}{'; so are all the others' if len(steps) > 1 else ''}: to begin this run again delete "
                        f"{self.checkpoints}, or start anew with --init-from {self.model}"
                    ) from error
                say(f"{error}; the checkpoint before it takes its place")
            else:
                return state
        return None

    def save_snapshot(self, step: int, tensors: Mapping[str, Tensor], card: Card, *, budget: float) -> None:
        """Write the weights alone, then thin out the snapshots until they take `budget` bytes at most.

        Those nearest to their neighbours go first, so that the rest is spread over the run; never the newest.
        Nothing is written if one alone takes more.

        Raises:
            OSError: it could not be written.
        """
        if sum(tensor.nbytes for tensor in tensors.values()) > budget:
            return
        save_tensors(of_step(self.snapshots, step, ".safetensors"), tensors, card.to_metadata())
        files = [of_step(self.snapshots, n, ".safetensors") for n in steps_in(self.snapshots, ".safetensors")]
        steps = steps_in(self.snapshots, ".safetensors")
        sizes = {n: file.stat().st_size for n, file in zip(steps, files, strict=True)}
        while len(steps) > 1 and sum(sizes[n] for n in steps) > budget:
            gaps = {steps[i]: steps[i + 1] - (steps[i - 1] if i else 0) for i in range(len(steps) - 1)}
            nearest = min(gaps, key=lambda n: gaps[n])
            of_step(self.snapshots, nearest, ".safetensors").unlink()
            steps.remove(nearest)

    def safe(self, *, resumable: bool = True) -> str:
        """For a message: the checkpoint of a stopped run, and, if `resumable`, the command that resumes it."""
        steps = self.checkpoint_steps()
        if not steps:
            return "there is no checkpoint yet"
        sound = [step for step in steps if step in self._sound]
        step, which = (sound[-1], "last good") if sound else (steps[-1], "newest")
        newest = f"the {which} checkpoint is step {step}, {self.checkpoint(step)}"
        return f"{newest}; go on with: {self.resume}" if resumable else newest

    def forget_after(self, step: int, *, say: Callable[[str], object]) -> None:
        """Delete what a killed run wrote after the checkpoint of `step`: those steps are repeated.

        Newer checkpoints are damaged: they are renamed. `say` is called for each, and for damaged journal lines.
        """
        for later in self.checkpoint_steps():
            if later > step:
                aside = self.checkpoint(later).with_suffix(".damaged")
                self.checkpoint(later).replace(aside)
                say(f"the damaged checkpoint of step {later} is kept as {aside}")
        if self.metrics.is_file():
            with self.metrics.open(encoding="utf-8", errors="replace", newline="\n") as file:
                lines = file.readlines()
            steps = [_step_of(line) for line in lines]
            kept = [line for line, of in zip(lines, steps, strict=True) if of is not None and of <= step]
            # a line cut by the kill has no newline at its end
            odd = [n for n, of in enumerate(steps, 1) if of is None and (n < len(lines) or lines[-1].endswith("\n"))]
            if odd:
                some = ", ".join(map(str, odd[:10])) + (" and more" if len(odd) > 10 else "")
                say(f"{self.metrics}: left out what is no record of a step, {len(odd)} of its lines: {some}")
            if len(kept) < len(lines):
                write_text(self.metrics, "".join(kept))
        for folder in (self.path, self.checkpoints, self.snapshots, self.samples, self.cache):
            drop_leftovers(folder)

    def journal(self, record: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _step_of(line: str) -> int | None:
    """The step of a line of the journal; None if it is no whole record."""
    try:
        record = parsed(line) if line.endswith("\n") else None
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return step if isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= MAX_STEPS else None


def save_model(path: Path, model: Model, card: Card) -> None:
    """Write a model file: the deployed weights with the card in the header.

    Raises:
        OSError: it could not be written whole. A former file of this name is as it was.
    """
    save_tensors(path, deployed_state(model), card.to_metadata())
