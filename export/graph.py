"""The graph of a model: pixels in, pixels out, with everything between them inside."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import normalize, quantize
from translate.card import Card

INPUT, OUTPUT = "image", "translated"  # a value's name is unique in a graph, so that they cannot be called the same
AXES = ("batch", "height", "width")
SAMPLE = (2, 45, 38)  # unlike each other and unlike any multiple, or the exporter would take one for the other


class Deployed(nn.Module):
    """`[N, H, W, Cs]` of the source's dtype -> `[N, H*s, W*s, Ct]` of the target's: exactly what is exported."""

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__()
        self.network = network
        self.card = card

    def forward(self, image: Tensor) -> Tensor:
        pixels = quantize(self.network(normalize(image, self.card.source)), self.card.target)
        return pixels.to(getattr(torch, self.card.target.dtype))

    def run(self, images: np.ndarray) -> np.ndarray:
        """The same for arrays, by PyTorch itself."""
        with torch.inference_mode():
            result: np.ndarray = self(torch.from_numpy(images)).numpy()
        return result


def trace(deployed: Deployed, *, opset: int | None = None) -> torch.onnx.ONNXProgram:
    """The graph of a network in eval mode on the CPU, for any N, H and W from 1 up."""
    assert not deployed.network.training
    card = deployed.card
    sample = torch.zeros(*SAMPLE, card.source.channels, dtype=getattr(torch, card.source.dtype))
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            deployed,
            (sample,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: dict.fromkeys(range(3), torch.export.Dim.AUTO)},
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own insides and on libraries that are not used."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
