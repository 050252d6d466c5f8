"""A run folder as its pages need it: what can be read of it, and what cannot, in words. Imports no torch."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from translate.allow import is_class
from translate.card import Card
from translate.files import steps_in
from translate.inference.earlier import CHECKPOINTS, SNAPSHOTS
from translate.inference.translator import read_card
from translate.outside import parsed, read_text
from translate.pages.journal import Journal, Series, read_journal, series_of

REPORT = "report.html"
NEEDED = ("model", "settings", "target", "data")  # of a run's config.json


@dataclass(frozen=True)
class RunView:
    """One run."""

    path: Path  # as it was given
    config: Mapping[str, Any]
    card: Card | None  # of model.safetensors
    journal: Journal
    problems: tuple[str, ...] = ()  # what could not be read

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name or self.path.resolve().name

    @property
    def model(self) -> str:
        """The method, or the class."""
        return str(self.config["model"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, flat."""
        return dict(self.config["settings"])

    @property
    def versions(self) -> Mapping[str, Any]:
        """Of the software that it was made with; none of earlier runs."""
        found = self.config.get("versions")
        return found if isinstance(found, dict) else {}

    @cached_property
    def series(self) -> Series:
        """The numbers of the journal."""
        return series_of(self.journal.records)

    @property
    def done(self) -> int:
        """Steps that are known to have been made."""
        kept = (*steps_in(self.path / CHECKPOINTS, ".pt"), *steps_in(self.path / SNAPSHOTS, ".safetensors"))
        logged = self.journal.records[-1]["step"] if self.journal.records else 0
        return max(logged, self.card.step if self.card else 0, *kept, 0)

    @property
    def steps(self) -> int | None:
        """Steps of the whole run; None if it is not known."""
        steps, epochs = self.settings.get("steps"), self.settings.get("epochs")
        if isinstance(steps, int):
            return steps
        epoch = self.series.get("epoch", [])
        if not epoch or not isinstance(epochs, int | float) or epoch[-1][1] <= 0:
            return None
        step, at = epoch[-1]
        return step if abs(at - epochs) < 1e-3 else math.ceil(epochs * step / at)

    @property
    def imported(self) -> bool:
        """Whether its weights come from other software."""
        return bool(self.config.get("imported"))

    @property
    def changed(self) -> datetime:
        """When something was last written to it."""
        files = [self.path / name for name in ("metrics.jsonl", "model.safetensors", "last.safetensors", "config.json")]
        return datetime.fromtimestamp(max(file.stat().st_mtime for file in files if file.is_file()), UTC)

    @property
    def data(self) -> str:
        """The names of the folders with its pictures, without where they lie: a page is passed on."""
        given = (self.settings.get(name) for name in ("data", "source", "target"))
        return " and ".join(Path(path).name for path in given if isinstance(path, str) and path)

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.imported:
            return "imported"
        of_all = f" of {self.steps:,}" if self.steps is not None else ""
        if self.steps is not None and self.done >= self.steps:
            return f"finished, {self.done:,} steps"
        return f"{self.done:,}{of_all} steps"

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Figure of the card -> name of a baseline -> what it reaches."""
        figures = {
            path.split(".", 2)[2] for path in self.series if path.startswith("validation.") and path.count(".") > 1
        }
        found: dict[str, dict[str, float]] = {}
        for name, value in self.card.figures.items() if self.card else ():
            ends = [figure for figure in figures if name.endswith(f"_{figure}")]
            if name not in figures and ends:
                figure = max(ends, key=len)
                found.setdefault(figure, {})[name.removesuffix(f"_{figure}")] = value
        return found

    @property
    def figures(self) -> dict[str, float]:
        """Those of the model file on its validation pictures, without the baselines'."""
        others = {f"{name}_{figure}" for figure, reached in self.baselines.items() for name in reached}
        return {name: value for name, value in self.card.figures.items() if name not in others} if self.card else {}

    def commands(self) -> list[tuple[str, str]]:
        """What can be done with the run: words, and the command."""
        path = shlex.quote(str(self.path))
        allow = f" --allow {shlex.quote(self.model)}" if is_class(self.model) else ""
        try_it = f"translate convert {path} IN OUT{allow}"
        if self.config.get("source") is None:
            try_it = f"translate sample {path} OUT{allow}"
        found = [("use the model", try_it), ("its description", f"translate info {path}")]
        if self.card is not None:
            found.append(("one file for any client", f"translate export {path} model.onnx{allow}"))
        if self.card is not None and self.config.get("source") is not None:
            found.append(("figures, worst and best", f"translate evaluate {path} --sheet {path}/evaluation.png{allow}"))
        if not self.imported:
            found.append(("go on with the training", f"translate train --resume {path}{allow}"))
        return found


def read_run(path: Path) -> RunView:
    """What can be read of a run; a journal or a model file that cannot is among its `problems`.

    Raises:
        ValueError: this is no run folder, or its config.json is damaged.
    """
    file = path / "config.json"
    if path.is_file():
        raise ValueError(f"{path} is a file: give the run folder")
    if not file.is_file():
        below = path.is_dir() and any(path.glob("*/config.json"))
        hint = f" (for the runs in it: translate report --all {shlex.quote(str(path))})" if below else ""
        raise ValueError(f"{path} is not a run folder: it has no config.json{hint}")
    try:
        config = parsed(read_text(file))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    if not isinstance(config, dict) or any(name not in config for name in NEEDED) or not _tables(config):
        raise ValueError(f"{path} is not a run folder: its config.json is that of something else")
    problems = []
    card, journal = None, Journal()
    try:
        card = read_card(path)
    except (ValueError, OSError) as error:
        problems.append(str(error))
    try:
        journal = read_journal(path / "metrics.jsonl")
    except OSError as error:
        problems.append(f"metrics.jsonl: {error}")
    if journal.ignored:
        lines = f"{journal.ignored} lines that are" if journal.ignored > 1 else "1 line that is"
        problems.append(f"metrics.jsonl: {lines} no record of a step: left out")
    return RunView(path, config, card, journal, tuple(problems))


def _tables(config: dict[str, Any]) -> bool:
    return all(isinstance(config[name], dict) for name in ("settings", "data"))


def runs_below(folder: Path) -> Iterator[Path]:
    """The run folders in a folder and its sub-folders, itself among them, in order of name."""
    import os

    for here, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if "config.json" in files:
            yield Path(here)
            below[:] = [name for name in below if name not in (CHECKPOINTS, SNAPSHOTS, "samples", "cache")]
