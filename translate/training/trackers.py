"""Trackers of experiments with a server: Weights & Biases, MLflow and trackio, through Hugging Face's accelerate."""

from __future__ import annotations

import importlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from translate.files import of_step, write_text
from translate.training.events import CLOSE_SECONDS, Logger, Opening

PROJECT = "translate"  # unless the tracker's own variable names another
INIT_SECONDS = 15.0  # in which Weights & Biases has to answer at first
LAUNCHER = ("LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
IDENTITY = re.compile(r"[\w. -]{1,200}", re.ASCII)


class Tracker(Logger):
    """One of accelerate's trackers. The run there is named like the folder, and a resumed run goes on with it.

    The name that the server knows it by is kept in the run folder, as `wandb-run.txt`, `mlflow-run.txt` and so on.
    """

    name: ClassVar[str] = ""
    _tracker: Any  # accelerate.tracking.GeneralTracker

    @classmethod
    def load(cls) -> None:
        importlib.import_module("accelerate.tracking")
        importlib.import_module(cls.name)
        _state_of_one_process()

    def open(self, opening: Opening) -> str | None:
        kept = opening.folder / f"{self.name}-run.txt"
        known = kept.read_text(encoding="utf-8").strip() if opening.resumed is not None and kept.is_file() else None
        if known is not None and not IDENTITY.fullmatch(known):
            raise ValueError(f"{kept} names no run: delete it to begin another one there")
        self._tracker = self.start(opening.folder, known)
        self._new = known is None
        self._tracker.main_process_only = False  # there is one process that logs
        self._tracker.start()
        write_text(kept, self.identity() + "\n")
        return self.address()

    def start(self, folder: Path, known: str | None) -> Any:
        """The tracker, of a new run or of the one that is `known` to the server."""
        raise NotImplementedError

    def identity(self) -> str:
        """What the server knows the run by."""
        raise NotImplementedError

    def address(self) -> str | None:
        """Where the run can be looked at, if that is known."""
        return None

    def settings(self, values: Mapping[str, Any]) -> None:
        self._tracker.store_init_configuration(dict(values))

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        self._tracker.log({f"{group}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._tracker.finish()


class WeightsAndBiases(Tracker):
    """`WANDB_PROJECT`, `WANDB_MODE=offline` and its other variables count. Its own files go to the run folder."""

    name: ClassVar[str] = "wandb"
    needs: ClassVar[tuple[str, ...]] = ("accelerate", "wandb")
    extra: ClassVar[str] = "wandb"

    def start(self, folder: Path, known: str | None) -> Any:
        import wandb
        from accelerate.tracking import WandBTracker

        self._id = known or secrets.token_hex(6)
        # A prompt in this thread would read the terminal that is ours, and end the process with an error.
        if wandb.setup().settings.mode not in ("offline", "dryrun", "disabled") and not wandb.login(prompt=False):
            raise ValueError("there is no API key: call `wandb login` before, or set WANDB_MODE=offline")
        # No lines beside the bar. The limits are those of its process, for
        # which the end of ours waits; by itself it waits for 90 seconds, and for ever.
        limits = {"init_timeout": INIT_SECONDS, "finish_timeout": CLOSE_SECONDS, "silent": True}
        own = {name: value for name, value in limits.items() if f"WANDB_{name.upper()}" not in os.environ}
        return WandBTracker(
            os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.absolute().name,
            id=self._id,
            resume="allow",
            dir=str(folder),
            settings=wandb.Settings(console="off", **own),
        )

    def identity(self) -> str:
        return self._id

    def address(self) -> str | None:
        return self._tracker.tracker.url  # None offline

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        self._tracker.log_images({name: [picture]}, step=step)


class MLflow(Tracker):
    """`MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and its other variables count."""

    name: ClassVar[str] = "mlflow"
    needs: ClassVar[tuple[str, ...]] = ("accelerate", "mlflow")
    extra: ClassVar[str] = "mlflow"

    def start(self, folder: Path, known: str | None) -> Any:
        from accelerate.tracking import MLflowTracker

        return MLflowTracker(PROJECT, run_id=known, run_name=folder.absolute().name)

    def identity(self) -> str:
        return str(self._tracker.tracker.info.run_id)

    def settings(self, values: Mapping[str, Any]) -> None:
        """Of a new run alone: MLflow refuses a parameter that has another value already."""
        if self._new:
            super().settings(values)

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = of_step(Path(folder), step, ".png")
            picture.save(path)
            self._tracker.log_artifact(str(path), artifact_path=name)


class Trackio(Tracker):
    """`TRACKIO_SPACE_ID` and its other variables count; without, it keeps the run on this machine."""

    name: ClassVar[str] = "trackio"
    needs: ClassVar[tuple[str, ...]] = ("accelerate", "trackio")
    extra: ClassVar[str] = "trackio"

    def start(self, folder: Path, known: str | None) -> Any:
        from accelerate.tracking import TrackioTracker

        name, resume = known or folder.absolute().name, "allow" if known else "never"
        return TrackioTracker(PROJECT, name=name, resume=resume)

    def identity(self) -> str:
        return str(self._tracker.tracker.name)

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        import trackio

        self._tracker.log({name: trackio.Image(picture)}, step=step)


def _state_of_one_process() -> None:
    """Tell accelerate, whose trackers ask, that it has one process, on the CPU, and no group to join.

    By itself it would join a group, choose a GPU, or set the number of threads, as a launcher's variables say. Those
    are hidden meanwhile: the group is our own (`translate.training.group`), and its first process alone logs.
    """
    from accelerate import PartialState

    hidden = {name: os.environ.pop(name) for name in LAUNCHER if name in os.environ}
    try:
        PartialState(cpu=True)
    finally:
        os.environ.update(hidden)
