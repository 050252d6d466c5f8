"""Opens an exported file in ONNX Runtime on the chosen device and no other. Imports no torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.export.providers import CPU, CUDA, NAMES, library_trouble, load_libraries, runtime, trouble
from translate.export.storage import data_file
from translate.export.tensorrt import engine_options
from translate.outside import visible
from translate.tables import closest

if TYPE_CHECKING:
    import onnxruntime

CHOICES = ("auto", "cpu", "cuda", "tensorrt")
KINDS = "choose auto, cpu, cuda, cuda:1, tensorrt or tensorrt:1"
FATAL = 4  # ONNX Runtime's log level: errors are raised anyway, and why a GPU cannot be used is found out separately
SPINNING = {
    # During a pass threads spin: waking a sleeping thread takes longer than a layer.
    "session.intra_op.allow_spinning": "1",
    # Between passes they sleep, so that reading and writing files have the cores.
    "session.force_spinning_stop": "1",
}


@dataclass(frozen=True)
class Opened:
    """A session and where it runs: `cpu`, `cuda:0`, `tensorrt:0`, ... Threads may run it at once."""

    session: onnxruntime.InferenceSession
    device: str
    held: object = None  # memory of the weights, where the session has none of its own

    @property
    def inputs(self) -> list[Any]:
        """Name, type and shape of each."""
        return list(self.session.get_inputs())

    @property
    def outputs(self) -> list[Any]:
        """Name, type and shape of each."""
        return list(self.session.get_outputs())

    def run(self, inputs: Mapping[str, np.ndarray | onnxruntime.OrtValue]) -> list[onnxruntime.OrtValue]:
        """All outputs, on the device where they were computed; `.numpy()` copies one.

        Args:
            inputs: by name; arrays in memory, or outputs of an earlier run, which stay on the device.
        """
        kind, _, number = self.device.partition(":")
        binding = self.session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for output in self.session.get_outputs():
            binding.bind_output(output.name, "cpu" if kind == "cpu" else "cuda", int(number or 0))
        self.session.run_with_iobinding(binding)
        outputs: list[onnxruntime.OrtValue] = binding.get_outputs()
        return outputs


def open_session(path: Path, *, device: str = "auto", engines: Path | None = None) -> Opened:
    """The graph in `path` on `device`.

    `device` is `auto` (CUDA, then the CPU), `cpu`, `cuda`, `cuda:1`, `tensorrt` or `tensorrt:1`. Only `auto` falls
    back; it never takes TensorRT, which builds an engine for minutes. TF32 is off, so that CUDA gives the CPU's pixels.
    Layers that TensorRT does not support run on CUDA.

    Args:
        engines: folder in which TensorRT keeps its engines; see `translate.export.tensorrt`.

    Raises:
        ValueError: ONNX Runtime is missing, the file is damaged, there is no such device, or it cannot be used here.
    """
    wanted = device.strip().lower()
    kind, colon, number = wanted.partition(":")
    if kind not in CHOICES or (colon and (not number.isdecimal() or kind == "auto")):
        hint = closest("cuda" if kind == "gpu" else kind, CHOICES)  # by spelling the closest would be cpu
        raise ValueError(f'no device "{device}" for an .onnx file{hint}: {KINDS}')
    if kind == "cpu" and number not in ("", "0"):
        raise ValueError(f"device {wanted} cannot be used: there is one CPU, cpu")
    if engines is not None and kind != "tensorrt":
        raise ValueError(f"--engines is a folder for TensorRT, and --device is {wanted}: leave it out")
    if kind == "cpu":
        return Opened(_session(path, [CPU]), "cpu")
    provider = NAMES.get(kind, CUDA)
    reason = trouble(provider)
    if reason is None:
        load_libraries(provider)
        index = int(number or 0)
        session = _session(path, _on_gpu(provider, path, index=index, engines=engines))
        if session.get_providers()[0] == provider:  # ONNX Runtime falls back silently, with a log line
            return Opened(session, f"{'cuda' if kind == 'auto' else kind}:{index}")
        reason = library_trouble(provider) or f"ONNX Runtime could not use GPU {index} and gives no reason"
    if kind == "auto":
        return Opened(_session(path, [CPU]), "cpu")
    raise ValueError(f"device {wanted} cannot be used: {reason}; `auto` picks one that can")


def _on_gpu(provider: str, path: Path, *, index: int, engines: Path | None) -> list[Any]:
    """The providers of a session; each layer runs on the first that supports it."""
    cuda = (CUDA, {"device_id": index, "use_tf32": 0})
    if provider == CUDA:
        return [cuda, CPU]
    return [(provider, {"device_id": index, **engine_options(path, folder=engines)}), cuda, CPU]


def runs_on_cpu(device: str) -> bool:
    """Whether `open_session` would take the CPU for this device, of those it knows."""
    wanted = device.strip().lower()
    return wanted in ("cpu", "cpu:0") or (wanted == "auto" and trouble(CUDA) is not None)


def session_options() -> onnxruntime.SessionOptions:
    """Options that all sessions have."""
    options = runtime().SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads()
    options.enable_mem_pattern = False  # it keeps a further block of memory for each size, and is no faster
    for key, value in SPINNING.items():
        options.add_session_config_entry(key, value)
    return options


def _session(path: Path, providers: list[Any]) -> onnxruntime.InferenceSession:
    options = session_options()
    beside = data_file(path)
    if beside.is_file() and hasattr(options, "add_external_initializers_from_files_in_memory"):
        content = beside.read_bytes()  # a mapped file would change the model, or end the process, when it is changed
        options.add_external_initializers_from_files_in_memory([beside.name], [content], [len(content)])
    try:
        session: onnxruntime.InferenceSession = runtime().InferenceSession(path, options, providers=providers)
    except Exception as error:  # its errors have no common class below this one
        message = str(error).strip() or type(error).__name__
        raise ValueError(f"{path}: ONNX Runtime cannot open it: {visible(message.splitlines()[0])[:300]}") from None
    _release_freed_memory()
    return session


def _release_freed_memory() -> None:
    """Give back to the system what reading and rearranging the weights has left: as much as these take.

    glibc keeps it. Other C libraries have no such function.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def threads() -> int:
    """One thread a core that this process may use, or OMP_NUM_THREADS, as in PyTorch."""
    requested = os.environ.get("OMP_NUM_THREADS", "")
    if requested.isdecimal() and int(requested):
        return int(requested)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
