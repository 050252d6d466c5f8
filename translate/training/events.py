"""Curves and sample pages for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class TensorBoard:
    """The TensorBoard events of a run. Writes nothing before `open`, or where it is not wanted or not installed."""

    def __init__(self, asked: bool | None) -> None:
        """
        Args:
            asked: None for where it is installed.

        Raises:
            ValueError: asked for and not installed.
        """
        self._writer: Any = None
        self._writer_class: Any = None
        if asked is False:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            if asked:
                raise ValueError('--tensorboard needs TensorBoard: pip install "translate-gan[tensorboard]"') from None
        else:
            self._writer_class = SummaryWriter

    def open(self, folder: Path, *, purge_step: int | None) -> None:
        """Begin a file of events; earlier ones are not shown from `purge_step` on."""
        if self._writer_class is not None:
            self._writer = self._writer_class(str(folder), purge_step=purge_step)

    def scalars(self, group: str, values: Mapping[str, float], *, step: int) -> None:
        """One point for each of the curves `group/name`."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, picture: Image.Image, *, step: int) -> None:
        """One picture `name`, at this step."""
        if self._writer is not None:
            self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()
