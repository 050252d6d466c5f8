"""Exported model files (`.onnx`), run by ONNX Runtime or OpenVINO. Imports no torch, and these only to open one."""

from __future__ import annotations

import copy
import ctypes
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from translate.card import Card
from translate.export.metadata import read_metadata
from translate.export.once import open_once
from translate.export.openvino_session import Compiled, bfloat16_trouble, open_compiled
from translate.export.precision import PRECISIONS
from translate.export.report import Made
from translate.export.session import Opened, open_session
from translate.export.storage import data_file
from translate.export.weights import checked_weights
from translate.images import carry_missing
from translate.inference.backend import NO_CONDITIONS, Condition, NotFinite
from translate.inference.options import LoadSettings
from translate.inference.speed import Chosen, choose
from translate.outside import brief

TYPES = {"uint8": "tensor(uint8)", "uint16": "tensor(uint16)", "float32": "tensor(float)"}

NO_MEMORY = ("failed to allocate memory", "out of memory", "bad allocation", "bad_alloc")
"""Parts of ONNX Runtime's messages when memory ran out."""


def read_onnx_card(path: Path) -> Card:
    """The description in a file's metadata. Reads no weights, and needs no ONNX Runtime.

    Raises:
        ValueError: the file is missing, damaged, or not one of ours.
    """
    return Card.from_metadata(read_metadata(path), path=path)


def open_onnx(path: Path, settings: LoadSettings, *, pixels: int | None = None) -> OnnxBackend:
    """The model in an `.onnx` file, on the device in `settings`; `pixels`: of the only picture that it is opened for.

    Raises:
        ValueError: the file is not a whole model of ours, the device cannot be used, or the settings ask for a
            precision, layout or direction that the file does not have.
    """
    metadata = read_metadata(path)
    card, made = Card.from_metadata(metadata, path=path), Made.from_metadata(metadata, path=path)
    if made.layout != "nhwc-pixels":
        raise ValueError(
            f"{path}: exported with --layout {made.layout}, for other software: it takes and gives the network's own "
            "values and no pixels; export without --layout for a file that runs here"
        )
    precision, note = _precision(settings, card, made, path=path)
    if settings.direction not in (None, card.direction):
        raise ValueError(
            f"--direction {settings.direction}: {path} goes {card.direction} alone; the other way, if its model was "
            f"trained both ways, is a file of its own, made by translate export --direction {settings.direction}"
        )
    card.check_tokenizer(path=path)
    file = path.absolute()
    contents = partial(_unchanged, file, _stamps(file))
    runtime = Runtime(settings.backend or "onnxruntime", settings.device, settings.engines, precision)
    once = (
        None if pixels is None or not runtime.may_open_once else open_once(path, device=runtime.device, pixels=pixels)
    )
    opened: Opened | Compiled
    if once is not None:
        opened, weights = once
    else:
        weights = checked_weights(path)
        opened = runtime.open(path)
    if wrong := _mismatch(card, opened):
        raise ValueError(f"{path}: its graph and its description do not belong together: {wrong}")
    backend = OnnxBackend(card, opened, runtime, path=path, contents=contents, weights=weights)
    backend.note = note
    return backend


@dataclass(frozen=True)
class Runtime:
    """What runs a graph: enough to open it again in another process."""

    name: str  # of the backend
    device: str
    engines: Path | None
    precision: str

    @property
    def may_open_once(self) -> bool:
        """Whether `open_once` may be asked to open a graph."""
        return self.name == "onnxruntime" and self.engines is None

    def open(self, path: Path) -> Opened | Compiled:
        """The graph in a file.

        Raises:
            ValueError: as `open_session` and `open_compiled`.
        """
        if self.name == "onnxruntime":
            return open_session(path, device=self.device, engines=self.engines)
        if self.engines is not None:
            raise ValueError("--engines is a folder for TensorRT, and --backend is openvino: leave it out")
        return open_compiled(path, device=self.device, precision=self.precision)


def _precision(settings: LoadSettings, card: Card, made: Made, *, path: Path) -> Chosen:
    """The precision in which a file runs, of what was not decided when it was exported.

    Raises:
        ValueError: another one is asked for than it has, or a backend that runs no exported file.
    """
    if settings.backend == "torch":
        raise ValueError(f"--backend torch: {path} is an exported file: choose onnxruntime or openvino")
    in_openvino = settings.backend == "openvino"
    others = ("bfloat16", "fast") if in_openvino else ()
    for name, value in (("precision", settings.precision), ("speed", settings.speed)):
        if value is None or value in others or (value in ("float32", "exact") and made.precision == "float32"):
            continue
        openvino = "" if in_openvino else "; --backend openvino also computes in bfloat16"
        raise ValueError(
            f"--{name} {value}: {path} runs in the precision that it was exported in, {made.precision}; others are "
            f"files of their own, made by translate export --precision {'|'.join(PRECISIONS)}{openvino}"
        )
    if settings.precision == "bfloat16" and (reason := bfloat16_trouble()):
        raise ValueError(f"--precision bfloat16: {reason}")
    return choose(settings.speed, settings.precision, target=card.target, trouble=bfloat16_trouble)


def _stamps(file: Path) -> dict[Path, tuple[int, int]]:
    """The files of a graph, each with its size and time."""
    found = {path: path.stat() for path in (file, data_file(file)) if path == file or path.exists()}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def _unchanged(file: Path, stamps: dict[Path, tuple[int, int]]) -> dict[str, bytes]:
    """Names and bytes of the files.

    Raises:
        ValueError: one has changed.
    """
    try:
        if _stamps(file) == stamps:
            return {path.name: path.read_bytes() for path in stamps}
    except OSError:
        pass
    raise ValueError(f"{file}: changed since it was loaded, and a copy of the model takes its bytes: load it again")


def _backend_again(card: Card, contents: dict[str, bytes], runtime: Runtime, path: Path, weights: str) -> OnnxBackend:
    with tempfile.TemporaryDirectory(prefix="translate-", ignore_cleanup_errors=True) as folder:
        for name, content in contents.items():
            (Path(folder) / name).write_bytes(content)
        opened = runtime.open(Path(folder) / next(iter(contents)))
    return OnnxBackend(card, opened, runtime, path=path, contents=lambda: contents, weights=weights)


def _mismatch(card: Card, opened: Opened | Compiled) -> str | None:
    """How the graph's inputs or outputs differ from the card, or None."""
    conditions = card.conditions
    length = conditions.text.length if conditions.text else 0
    expected = {
        "label": ("tensor(float)", [len(conditions.labels)]),
        "tokens": ("tensor(int64)", [length]),
        "z": ("tensor(float)", [conditions.z]),
        "seed": ("tensor(int64)", [1]),
    }
    source, target = card.source, card.target
    inputs = opened.inputs
    image, beside = (inputs[0], inputs[1:]) if source else (None, inputs)
    given = {end.name: (end.type, list(end.shape)[1:]) for end in beside}
    wanted = {name: expected[name] for name in conditions.fed}
    if given != wanted:
        return f"beside the picture it takes {brief(given)}, and should take {brief(wanted)}"
    outputs = opened.outputs
    if len(outputs) != 1:
        return f"it gives {len(outputs)} outputs"
    for name, end, spec in (("takes", image, source), ("gives", outputs[0], target)):
        if end is None or spec is None:
            continue
        channels = end.shape[3] if len(end.shape) == 4 else None
        if end.type != TYPES[spec.dtype] or not (channels == spec.channels or (isinstance(channels, str) and channels)):
            return f"it {name} {end.type} of {brief(end.shape)}, and should of {spec.channels} channels, {spec.dtype}"
    return None


class OnnxBackend:
    """An exported graph: `[N, H, W, Cs]` pixels and their conditions in, `[N, H*s, W*s, Ct]` pixels out."""

    def __init__(
        self,
        card: Card,
        opened: Opened | Compiled,
        runtime: Runtime,
        *,
        path: Path,
        contents: Callable[[], dict[str, bytes]],
        weights: str = "",
    ) -> None:
        """`contents`: names and bytes of the files that were opened, the graph's first; `weights`: their checksum."""
        self.card = card
        self.weights = weights
        self._path = path
        self.precision = runtime.precision
        self.note: str | None = None  # for the user who opened it
        self._contents, self._runtime = contents, replace(runtime, device=opened.device)
        self._process = os.getpid()
        self.device = opened.device
        self._opened = opened
        self._input, *self._beside = (end.name for end in opened.inputs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies hold the bytes of the files; they open where the same device is available.

        Raises:
            ValueError: the files changed since they were opened.
        """
        return _backend_again, (self.card, self._contents(), self._runtime, self._path, self.weights)

    def generate(self, condition: Condition) -> np.ndarray:
        result, count = self._run(dict(condition)), len(next(iter(condition.values())))
        if result.shape != (count, *self.card.size, self.card.target.channels):
            raise ValueError(f"{self._path}: gives {result.shape}, which its description does not: export it anew")
        if result.dtype == np.float32 and not np.isfinite(result).all():
            raise NotFinite(
                "the exported network gives values that are not finite: export the weights of an earlier step"
            )
        return result

    def _run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        if self._process != os.getpid():  # forked: the session's threads are in the other process
            old = self._opened.session
            self._opened, self._process = copy.deepcopy(self)._opened, os.getpid()
            # Never freed, since that would wait for those threads to end.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(old))
        try:
            (pixels,) = self._opened.run(inputs)
            result: np.ndarray = pixels.numpy()
            return result
        except Exception as error:  # ONNX Runtime's errors have no common base class but this
            if not any(words in str(error).lower() for words in NO_MEMORY):
                raise
            raise MemoryError(str(error)) from None

    def __call__(self, images: np.ndarray, condition: Condition = NO_CONDITIONS) -> np.ndarray:
        # of a tile the graph is not told where in the picture it is
        result = self._run({self._input: images, **{name: condition[name] for name in self._beside}})
        count, height, width, _ = images.shape
        scale, target = self.card.scale, self.card.target
        if result.shape != (count, height * scale, width * scale, target.channels):
            raise ValueError(
                f"{self._path}: gives {result.shape} for pictures of {images.shape}, which its description with scale "
                f"{scale} and {target.channels} channels does not: export the model anew"
            )
        if result.dtype == np.float32 and not self._finite_or_missing(result, images).all():  # integers show no NaN
            raise NotFinite(
                "the exported network gives values that are not finite (NaN or infinity): export it with --precision "
                "float32, or the weights of an earlier step"
            )
        return result

    def _finite_or_missing(self, result: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Mask of float outputs that are finite, or NaN where the pictures have no data."""
        source, target = self.card.taken, self.card.target
        empty = carry_missing(np.zeros_like(result), images, source=source, target=target)
        return np.isfinite(result) | np.isnan(empty)
