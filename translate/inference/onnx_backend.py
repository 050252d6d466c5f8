"""Exported model files (`.onnx`), run by ONNX Runtime. Imports no torch, and ONNX Runtime only when one is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from translate.card import Card
from translate.export.metadata import read_metadata
from translate.export.report import Made
from translate.export.session import Opened, open_session
from translate.export.weights import checked_weights
from translate.images import carry_missing
from translate.inference.backend import UNSTEERED, Condition, NotFinite
from translate.inference.options import LoadSettings

NO_MEMORY = ("failed to allocate memory", "out of memory", "bad allocation", "bad_alloc")
"""What ONNX Runtime's many errors have in common where memory ran out."""


def read_onnx_card(path: Path) -> Card:
    """The description in a file's metadata. Reads no weights, and needs no ONNX Runtime.

    Raises:
        ValueError: the file is missing, damaged, or not one of ours.
    """
    return Card.from_metadata(read_metadata(path), path=path)


def open_onnx(path: Path, settings: LoadSettings) -> OnnxBackend:
    """The model in an `.onnx` file, on the device that `settings` ask for.

    Raises:
        ValueError: the file is not a whole model of ours, the device cannot be used, or the settings ask for what was
            decided when the file was made.
    """
    metadata = read_metadata(path)
    card, made = Card.from_metadata(metadata, path=path), Made.from_metadata(metadata)
    if made.layout != "nhwc-pixels":
        raise ValueError(
            f"{path}: exported with --layout {made.layout}, for other software: it takes and gives the network's own "
            "values and no pixels; export without --layout for a file that runs here"
        )
    if settings.precision != "float32":
        raise ValueError(
            f"--precision {settings.precision}: {path} runs in the precision that it was exported in, {made.precision}"
        )
    if settings.direction not in (None, card.direction):
        raise ValueError(
            f"--direction {settings.direction}: {path} goes {card.direction} alone; the other way, if its model was "
            f"trained both ways, is a file of its own, made by translate export --direction {settings.direction}"
        )
    weights = checked_weights(path)
    return OnnxBackend(card, open_session(path, device=settings.device, engines=settings.engines), weights=weights)


class OnnxBackend:
    """An exported graph: `[N, H, W, Cs]` pixels in, and what steers them; `[N, H*s, W*s, Ct]` pixels out."""

    def __init__(self, card: Card, opened: Opened, *, weights: str = "") -> None:
        """`weights`: a checksum over them."""
        self.card = card
        self.weights = weights
        self.device = opened.device
        self._opened = opened
        self._input = opened.session.get_inputs()[0].name

    def __call__(self, images: np.ndarray, condition: Condition = UNSTEERED) -> np.ndarray:
        try:
            (pixels,) = self._opened.run({self._input: images, **condition})
            result: np.ndarray = pixels.numpy()
        except Exception as error:  # ONNX Runtime's own classes have no common one below this
            if not any(words in str(error).lower() for words in NO_MEMORY):
                raise
            raise MemoryError(str(error)) from None
        if result.dtype == np.float32 and not self._right(result, images).all():  # integers can no longer tell
            raise NotFinite(
                "the exported network gives values that are not finite (NaN or infinity): export it with --precision "
                "float32, or the weights of an earlier step"
            )
        return result

    def _right(self, result: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Where float outputs are numbers, or no data where the pictures have none."""
        source, target = self.card.source, self.card.target
        empty = carry_missing(np.zeros_like(result), images, source=source, target=target)
        return np.isfinite(result) | np.isnan(empty)
