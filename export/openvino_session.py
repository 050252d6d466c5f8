"""Opens an exported file in OpenVINO, through its own package. Imports neither torch nor ONNX Runtime.

Not through ONNX Runtime's provider for it: the wheel with that would take the place of the `onnxruntime` module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from translate.export.session import threads
from translate.outside import visible

HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""Our precisions by OpenVINO's names. Without a hint it takes bfloat16 where the CPU has it."""

TYPES = {"u8": "uint8", "u16": "uint16", "f32": "float", "i64": "int64"}
"""Names of types, as ONNX Runtime shows them in `tensor(...)`."""


@dataclass(frozen=True)
class End:
    """An input or output of a graph, described as ONNX Runtime does."""

    name: str
    type: str
    shape: list[int | str]


@dataclass(frozen=True)
class Computed:
    """An output."""

    array: np.ndarray

    def numpy(self) -> np.ndarray:
        """It, as a copy of its own."""
        return self.array


class Compiled:
    """A graph on this CPU. Threads may run it at once."""

    device = "cpu"

    def __init__(self, session: Any) -> None:
        self.session = session
        self.inputs = [_end(one) for one in session.inputs]
        self.outputs = [_end(one) for one in session.outputs]
        self._requests: SimpleQueue[Any] = SimpleQueue()  # those that no thread uses

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[Computed]:
        """All outputs, of inputs by name."""
        try:
            request = self._requests.get_nowait()
        except Empty:
            request = self.session.create_infer_request()
        given = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        made = request.infer(given, share_outputs=False)
        outputs = [Computed(made[index]) for index in range(len(self.outputs))]
        self._requests.put(request)  # after a failure it is left
        return outputs


def library() -> Any:
    """The `openvino` module.

    Raises:
        ValueError: it is not installed; the message says how to install it.
    """
    try:
        import openvino
    except ImportError:
        raise ValueError('OpenVINO is not installed: pip install "translate-gan[openvino]"') from None
    return openvino


def bfloat16_trouble() -> str | None:
    """Why OpenVINO does not compute in bfloat16 on this CPU, or None."""
    able = "BF16" in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return None if able else "OpenVINO has no bfloat16 on this CPU"


def open_compiled(path: Path, *, device: str = "auto", precision: str = "float32") -> Compiled:
    """The graph in `path` on the CPU, in `float32` or `bfloat16`; convolutions of 8 bits stay so.

    Raises:
        ValueError: OpenVINO is missing, the file is damaged, or the device is another one.
    """
    if device.strip().lower() not in ("auto", "cpu", "cpu:0"):
        raise ValueError(f"--device {device}: --backend openvino runs on the CPU here: choose auto or cpu")
    core = library().Core()
    core.set_property(
        {"ENABLE_MMAP": False}
    )  # a mapped file would change the model, or end the process, when it changes
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        return Compiled(core.compile_model(core.read_model(path), "CPU", settings))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        message = visible(lines[-1] if lines else type(error).__name__)[:300]
        raise ValueError(f"{path}: OpenVINO cannot open it: {message}") from None


def _end(one: Any) -> End:
    kind = one.element_type.to_string() if hasattr(one.element_type, "to_string") else str(one.element_type)
    shape: list[int | str] = [side.get_length() if side.is_static else "?" for side in one.partial_shape]
    return End(one.any_name, f"tensor({TYPES.get(kind, kind)})", shape)
