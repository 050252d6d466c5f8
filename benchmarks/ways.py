"""Ways to run one network, each in a process of its own that waits for a word to run."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import peak_bytes
from translate.batch import normalize, quantize
from translate.devices import pick_device
from translate.inference.torch_backend import read_safetensors_card
from translate.inference.translator import load
from translate.models import load_for_inference
from translate.weights import load_tensors

EAGER = "torch eager"
TORCH = {"torch float32": "float32", "torch bfloat16": "bfloat16"}  # ours; the precision that each is loaded in
OPENVINO: dict[str, tuple[str, dict[str, Any]]] = {
    "openvino float32": ("onnx float32", {}),
    "openvino bfloat16": ("onnx float32", {"speed": "fast"}),
    "openvino int8": ("onnx int8", {}),
}
"""Where that package is installed: the way whose file each runs, and how it is loaded."""

Run = Callable[[np.ndarray], np.ndarray]
"""`[N, H, W, 3]` uint8 -> the network's, the same."""


def open_way(name: str, file: Path, *, device: str) -> Run:
    """What runs the model in `file` in the way called `name`; those that are not PyTorch's take an exported file."""
    if name in OPENVINO:
        return load(file, device=device, backend="openvino", **OPENVINO[name][1]).backend
    if name != EAGER:
        return load(file, device=device, precision=TORCH.get(name)).backend
    card, where = read_safetensors_card(file), pick_device(device)
    network = load_for_inference(card, load_tensors(file)).to(where)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values = network(normalize(torch.from_numpy(images).to(where), card.taken))
            pixels: np.ndarray = quantize(values, card.target).to(torch.uint8).cpu().numpy()
        return pixels

    return run


def work(connection: Connection, name: str, file: Path, device: str, threads: int | None, images: np.ndarray) -> None:
    """What the process of a way does: a pass for each True it is sent, its last pixels and its memory at the False."""
    if threads:
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # where ONNX Runtime's sessions look
    on_gpu = not device.startswith("cpu") and torch.cuda.is_available()
    before = peak_bytes()  # with PyTorch imported, which all of them do alike
    free = torch.cuda.mem_get_info(torch.device(device))[0] if on_gpu else 0
    try:
        run = open_way(name, file, device=device)
        pixels = images
        connection.send(None)
        while connection.recv():
            pixels = run(images)
            connection.send(None)
        left = torch.cuda.mem_get_info(torch.device(device))[0] if on_gpu else 0
        connection.send((pixels, free - left if on_gpu else peak_bytes() - before))
    except (ValueError, MemoryError) as error:
        connection.send(error)


class Worker:
    """A way to run the network on some pictures, in a process of its own: the peak of a process never falls."""

    def __init__(self, name: str, file: Path, *, device: str, threads: int | None, images: np.ndarray) -> None:
        """
        Raises:
            ValueError: the way cannot be gone here.
        """
        self.name = name
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, name, file, device, threads, images)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._answer()

    def run(self) -> None:
        """Run one pass over the pictures, and wait for its end."""
        self.connection.send(True)
        self._answer()

    def close(self) -> tuple[np.ndarray, int]:
        """The pixels; and the bytes by which the process has grown at most, or that it has taken of the GPU."""
        self.connection.send(False)
        pixels, grown = self._answer()
        self.process.join()
        return pixels, grown

    def _answer(self) -> Any:
        try:
            answer = self.connection.recv()
        except EOFError:
            raise ValueError(f"the process of {self.name} has ended early: is there memory for it?") from None
        if isinstance(answer, MemoryError):
            raise ValueError(f"{self.name}: {answer}")
        if isinstance(answer, ValueError):
            raise answer
        return answer
