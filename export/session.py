"""An exported file, run by ONNX Runtime on the device that was chosen and on no other. Imports no torch."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.tables import closest

if TYPE_CHECKING:
    import onnxruntime

CHOICES = ("auto", "cpu", "cuda")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FATAL = 4  # ONNX Runtime's log level: what goes wrong is raised, and a GPU that cannot be used is asked for the reason


@dataclass(frozen=True)
class Opened:
    """A session and where it runs: `cpu`, `cuda:0`, ..."""

    session: onnxruntime.InferenceSession
    device: str


def open_session(path: Path, *, device: str = "auto") -> Opened:
    """The graph in `path` on the device called `device`: `auto` (CUDA, then the CPU), `cpu`, `cuda` or `cuda:1`.

    Only `auto` falls back. TF32 is off, so that a GPU gives the pixels that a CPU gives.

    Raises:
        ValueError: ONNX Runtime is missing, the file is damaged, there is no such device, or it cannot be used here.
    """
    wanted = device.strip().lower()
    kind, colon, number = wanted.partition(":")
    if kind not in CHOICES or (colon and (not number.isdecimal() or kind == "auto")):
        raise ValueError(
            f'no device "{device}" for an .onnx file{closest(kind, CHOICES)}: choose auto, cpu, cuda or cuda:1'
        )
    if kind == "cpu" and number not in ("", "0"):
        raise ValueError(f"device {wanted} cannot be used: there is one CPU, cpu")
    if kind != "cpu":
        index = int(number or 0)
        trouble = _cuda_trouble()
        if trouble is None:
            session = _session(path, [(CUDA, {"device_id": index, "use_tf32": 0}), CPU])
            if session.get_providers()[0] == CUDA:  # it falls back to the CPU by itself, and only writes a log line
                return Opened(session, f"cuda:{index}")
            trouble = _library_trouble() or f"ONNX Runtime could not use GPU {index} and gives no reason"
        if kind == "cuda":
            raise ValueError(f"device {wanted} cannot be used: {trouble}; `auto` picks one that can")
    return Opened(_session(path, [CPU]), "cpu")


def _session(path: Path, providers: list[Any]) -> onnxruntime.InferenceSession:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = _threads()
    try:
        return runtime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # its errors have no common class below this one
        raise ValueError(f"{path}: ONNX Runtime cannot open it: {str(error).strip().splitlines()[0]}") from None


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            'ONNX Runtime, which runs .onnx files, is not installed: pip install "translate-gan[onnx]"'
        ) from None
    return onnxruntime


def _threads() -> int:
    """One thread a core that this process may use, or as many as OMP_NUM_THREADS says, as PyTorch does."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cuda_trouble() -> str | None:
    """Why no GPU can be used, as far as that shows before a session is made."""
    runtime = _runtime()
    if CUDA not in runtime.get_available_providers():
        return f"this ONNX Runtime ({runtime.__version__}) was built without CUDA: onnxruntime-gpu has it"
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError:
        return f"no NVIDIA driver was found ({driver})"
    return None


def _library_trouble() -> str | None:
    """What the part of ONNX Runtime for CUDA lacks, in the words of the system's loader."""
    name = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    library = Path(_runtime().__file__).parent / "capi" / name
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error).removeprefix(f"{library}: ")
    return None
