"""The table of loggers: where a run's curves, pages and settings may go beside its folder (`--log-to`)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from translate.outside import about
from translate.settings import RunSettings
from translate.tables import Table
from translate.training.events import Background, Logger, Opening, Together
from translate.training.trackers import MLflow, Trackio, WeightsAndBiases


class TensorBoard(Logger):
    """Files of events in the run folder, which TensorBoard shows."""

    needs: ClassVar[tuple[str, ...]] = ("tensorboard",)
    extra: ClassVar[str] = "tensorboard"

    @classmethod
    def load(cls) -> None:
        import torch.utils.tensorboard  # noqa: F401

    def open(self, opening: Opening) -> str | None:
        from torch.utils.tensorboard import SummaryWriter

        # what a killed run wrote after its checkpoint is not shown
        purge = None if opening.resumed is None else opening.resumed + 1
        self._writer: Any = SummaryWriter(str(opening.folder), purge_step=purge)
        return None

    def settings(self, values: Mapping[str, Any]) -> None:
        """A table of all, and the plain ones as hyperparameters of the run."""
        from torch.utils.tensorboard.summary import hparams

        rows = [f"| {name} | `{json.dumps(value)}` |" for name, value in values.items()]
        self._writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), 0)
        plain = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
        for summary in hparams(plain, {}):
            self._writer.file_writer.add_summary(summary)

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


LOGGERS: Table[type[Logger]] = Table(
    "logger",
    {
        "tensorboard": TensorBoard,
        "wandb": WeightsAndBiases,
        "mlflow": MLflow,
        "trackio": Trackio,
    },
)


def check_loggers(run: RunSettings) -> None:
    """
    Raises:
        ValueError: `--log-to` names a logger that there is not, that is not installed, or that `--tensorboard` turns
            off.
    """
    for name in _asked(run):
        specs = [importlib.util.find_spec(module) for module in LOGGERS[name].needs]
        if any(spec is None or spec.origin is None for spec in specs):  # none: a folder of that name
            raise _missing(name, run)


def open_loggers(run: RunSettings, opening: Opening, *, say: Callable[[str], object]) -> Together:
    """The loggers that a run asks for, and TensorBoard where it is installed and not turned off.

    Raises:
        ValueError: one that is asked for is not installed.
    """
    asked = _asked(run)
    names = dict.fromkeys([*(["tensorboard"] if run.tensorboard is None else []), *asked])
    loggers = []
    for name in names:
        logger = LOGGERS[name]()
        try:
            logger.load()
        except ImportError:
            if name in asked:
                raise _missing(name, run) from None
        else:
            loggers.append(Background(name, logger, opening, say=say))
    return Together(loggers)


def _asked(run: RunSettings) -> list[str]:
    names = [name.strip() for name in (run.log_to or "").split(",")] if run.log_to is not None else []
    for name in names:
        with about("--log-to"):
            LOGGERS[name]  # names the choices, and the closest
    if run.tensorboard is False and "tensorboard" in names:
        raise ValueError("--tensorboard false and --log-to tensorboard contradict each other: leave one of them out")
    return list(dict.fromkeys([*names, *(["tensorboard"] if run.tensorboard else [])]))


def _missing(name: str, run: RunSettings) -> ValueError:
    logger = LOGGERS[name]
    asked = "--tensorboard" if name == "tensorboard" and run.tensorboard else f"--log-to {name}"
    return ValueError(f'{asked} needs {" and ".join(logger.needs)}: pip install "translate-gan[{logger.extra}]"')
