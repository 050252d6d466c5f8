"""An exported file, run by ONNX Runtime on the device that was chosen and on no other. Imports no torch."""

from __future__ import annotations

import os
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
FATAL = 4  # ONNX Runtime's log level: what goes wrong is raised, and a GPU that cannot be used is asked for the reason
SPINNING = {
    # Between two layers a thread that sleeps wakes up later than the layer takes: it spins while a picture is computed,
    "session.intra_op.allow_spinning": "1",
    # and no longer, so that reading and writing files have the cores in between.
    "session.force_spinning_stop": "1",
}


@dataclass(frozen=True)
class Opened:
    """A session and where it runs: `cpu`, `cuda:0`, `tensorrt:0`, ... Threads may run it at once."""

    session: onnxruntime.InferenceSession
    device: str

    def run(self, inputs: Mapping[str, np.ndarray | onnxruntime.OrtValue]) -> list[onnxruntime.OrtValue]:
        """All outputs, left where they were computed: `.numpy()` fetches one.

        Args:
            inputs: by name; arrays in the computer's memory, or what an earlier run left on the device, which then
                needs no way there and back.
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
    """The graph in `path` on the device called `device`.

    That is `auto` (CUDA, then the CPU), `cpu`, `cuda`, `cuda:1`, `tensorrt` or `tensorrt:1`. Only `auto` falls back;
    it never takes TensorRT, which builds an engine for minutes. TF32 is off, so that CUDA gives the pixels that a CPU
    gives. What TensorRT cannot do is left to CUDA.

    Args:
        engines: folder in which TensorRT keeps its engines; see `translate.export.tensorrt`.

    Raises:
        ValueError: ONNX Runtime is missing, the file is damaged, there is no such device, or it cannot be used here.
    """
    wanted = device.strip().lower()
    kind, colon, number = wanted.partition(":")
    if kind not in CHOICES or (colon and (not number.isdecimal() or kind == "auto")):
        hint = closest("cuda" if kind == "gpu" else kind, CHOICES)  # by its letters it would be the CPU
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
        if session.get_providers()[0] == provider:  # it falls back by itself, and only writes a log line
            return Opened(session, f"{'cuda' if kind == 'auto' else kind}:{index}")
        reason = library_trouble(provider) or f"ONNX Runtime could not use GPU {index} and gives no reason"
    if kind == "auto":
        return Opened(_session(path, [CPU]), "cpu")
    raise ValueError(f"device {wanted} cannot be used: {reason}; `auto` picks one that can")


def _on_gpu(provider: str, path: Path, *, index: int, engines: Path | None) -> list[Any]:
    """The providers of a session, the first that can do a layer taking it."""
    cuda = (CUDA, {"device_id": index, "use_tf32": 0})
    if provider == CUDA:
        return [cuda, CPU]
    return [(provider, {"device_id": index, **engine_options(path, folder=engines)}), cuda, CPU]


def _session(path: Path, providers: list[Any]) -> onnxruntime.InferenceSession:
    options = runtime().SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = _threads()
    options.enable_mem_pattern = False  # it keeps a block for a size beside what that took before, and is no faster
    for key, value in SPINNING.items():
        options.add_session_config_entry(key, value)
    beside = data_file(path)
    if beside.is_file() and hasattr(options, "add_external_initializers_from_files_in_memory"):
        content = beside.read_bytes()  # mapped, it would change the model as it changes, or end the process
        options.add_external_initializers_from_files_in_memory([beside.name], [content], [len(content)])
    try:
        return runtime().InferenceSession(path, options, providers=providers)
    except Exception as error:  # its errors have no common class below this one
        said = str(error).strip() or type(error).__name__
        raise ValueError(f"{path}: ONNX Runtime cannot open it: {visible(said.splitlines()[0])[:300]}") from None


def _threads() -> int:
    """One thread a core that this process may use, or as many as OMP_NUM_THREADS says, as PyTorch does."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
