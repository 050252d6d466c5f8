"""The file that a path means, and the card in it. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from translate.card import Card
from translate.files import SPECIAL, is_special
from translate.inference.backend import Backend
from translate.inference.earlier import checkpoint_card, file_at, open_checkpoint
from translate.inference.onnx_backend import open_onnx, read_onnx_card
from translate.inference.options import LoadSettings
from translate.inference.torch_backend import open_safetensors, read_safetensors_card
from translate.tables import closest


class Open(Protocol):
    """Opens a file; `pixels`: of the only picture that it is opened for, or None."""

    def __call__(self, path: Path, settings: LoadSettings, *, pixels: int | None = None) -> Backend: ...


@dataclass(frozen=True)
class FileType:
    """How one type of model file is read."""

    read_card: Callable[[Path], Card]
    open: Open


FILE_TYPES = {
    ".safetensors": FileType(read_safetensors_card, open_safetensors),
    ".onnx": FileType(read_onnx_card, open_onnx),
}
"""By suffix. Types that need unpickling are not supported."""

CHECKPOINT = FileType(checkpoint_card, open_checkpoint)
"""A checkpoint of a run, chosen by its step. Only tensors and plain values are unpickled."""


def read_card(path: str | Path, *, step: int | None = None) -> Card:
    """The card of a run folder (after `step`, if given) or a model file. Reads no weights.

    Raises:
        ValueError: as `load`.
    """
    file = model_file(path, step=step)
    return type_of(file, step=step).read_card(file)


def type_of(file: Path, *, step: int | None) -> FileType:
    """How the file that `model_file` found is read."""
    return CHECKPOINT if step is not None and file.suffix == ".pt" else FILE_TYPES[file.suffix.lower()]


def model_file(path: str | Path, *, step: int | None = None) -> Path:
    """The file that `path` means: itself, or of a run folder the best weights, or those after `step`.

    Raises:
        ValueError: there is none, or it is of a type that cannot be read.
    """
    path = Path(path)
    if is_special(path):
        raise ValueError(f"{path}: {SPECIAL}")
    if step is not None and path.exists():
        return file_at(path, step)
    if path.is_dir():
        file = path / "model.safetensors"
        if file.is_file():
            return file
        last = path / "last.safetensors"
        if last.is_file():
            raise ValueError(
                f"{path}: this run has no model.safetensors yet (the first validation writes it); use {last}"
            )
        if (path / "config.json").is_file():
            raise ValueError(
                f"{path}: this run has no weights yet: they come within its first minute, or when it is stopped by "
                f"Ctrl-C; go on with: translate train --resume {path}"
            )
        raise ValueError(f"{path}: a folder without model.safetensors, so not a run (or one without weights yet)")
    if not path.exists():
        raise ValueError(f"{path}: no such model file or run folder")
    if path.suffix.lower() not in FILE_TYPES:
        hint, known = closest(path.suffix, FILE_TYPES), ", ".join(FILE_TYPES)
        raise ValueError(f'{path}: no model file is of type "{path.suffix}"{hint}: give a run folder or {known}')
    return path
