"""The graph of a model: pixels in, pixels out, with everything between them inside; or its network alone."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import all_finite, carry_missing, normalize, quantize
from translate.card import Card
from translate.conditions import Arrays
from translate.export.report import Layout
from translate.export.sample_conditions import drawn
from translate.export.verify import not_finite
from translate.images import ImageSpec
from translate.tables import Table

INPUT, OUTPUT = "image", "translated"  # names are unique in a graph, so these two differ
NOTHING: Mapping[str, Tensor] = MappingProxyType({})
AXES = ("batch", "height", "width")
SAMPLE_SHAPE = (2, 45, 38)  # all different and no multiples, or the exporter would take one for another


class Deployed(nn.Module):
    """`[N, H, W, Cs]` of the source's dtype -> `[N, H*s, W*s, Ct]` of the target's: exactly what is exported.

    Conditions are passed to the network as they are, `[N, ...]` each.
    """

    axes: ClassVar[tuple[int, int, int]] = (0, 1, 2)  # indices of batch, height and width in its shape

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__()
        self.network = network
        self.card = card

    def forward(self, image: Tensor, condition: Mapping[str, Tensor] = NOTHING) -> Tensor:
        return self.finish(self.network(self.begin(image), **condition), image)

    def begin(self, image: Tensor) -> Tensor:
        """Input of the network for pixels `image`."""
        return normalize(image, self.card.taken)

    def finish(self, values: Tensor, image: Tensor) -> Tensor:
        """Output for the network's `values` for `image`."""
        source, target = self.card.taken, self.card.target
        pixels = carry_missing(quantize(values, target), image, source=source, target=target)
        return pixels.to(getattr(torch, target.dtype))

    @property
    def input(self) -> ImageSpec:
        """Kind of the input pictures."""
        return self.card.taken

    @property
    def output(self) -> ImageSpec:
        """Kind of the output pictures."""
        return self.card.target

    def feed(self, images: np.ndarray) -> Arrays:
        """All inputs by name for pictures `[N, H, W, Cs]` of the source's dtype.

        Conditions are drawn for each picture, the same for the same pictures.
        """
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(images).data))
        return {INPUT: self.values(images), **drawn(self.card.conditions, rng, len(images))}

    def values(self, images: np.ndarray) -> np.ndarray:
        """The image input for pictures `[N, H, W, Cs]` of the source's dtype."""
        return images

    def run(self, images: np.ndarray) -> np.ndarray:
        """Output for pictures `[N, H, W, Cs]` of the source's dtype, computed by PyTorch.

        Raises:
            NotTheSame: the network's output holds NaN or infinity.
        """
        condition = _tensors(self.feed(images))
        with torch.inference_mode():
            image = condition.pop(INPUT)
            values = self.network(self.begin(image), **condition)
            if not all_finite(values):
                raise not_finite("the network", "in PyTorch: use earlier weights (--step N)")
            result: np.ndarray = self.finish(values, image).numpy()
        return result


class FromNoise(Deployed):
    """A model without a source: noise and conditions -> `[N, H, W, Ct]` of the target's dtype.

    In place of pictures its methods take numbers `[N]`, from which noise and conditions are drawn.
    """

    def forward(self, condition: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return self._pixels(self.network(**condition))

    def feed(self, images: np.ndarray) -> Arrays:
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(images).data))
        return drawn(self.card.conditions, rng, len(images))

    def run(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values = self.network(**_tensors(self.feed(images)))
            if not all_finite(values):
                raise not_finite("the network", "in PyTorch: use earlier weights (--step N)")
            result: np.ndarray = self._pixels(values).numpy()
        return result

    def _pixels(self, values: Tensor) -> Tensor:
        return quantize(values, self.card.target).to(getattr(torch, self.card.target.dtype))


class Bare(Deployed):
    """`[N, Cs, H, W]` in [-1, 1] -> `[N, Ct, H*s, W*s]` in [-1, 1]: the network alone, which pads and crops itself."""

    axes = (0, 2, 3)

    def begin(self, image: Tensor) -> Tensor:
        return image

    def finish(self, values: Tensor, image: Tensor) -> Tensor:
        return values

    @property
    def input(self) -> ImageSpec:
        return _values(self.card.taken)

    @property
    def output(self) -> ImageSpec:
        return _values(self.card.target)

    def values(self, images: np.ndarray) -> np.ndarray:
        values: np.ndarray = normalize(torch.from_numpy(images), self.card.taken).numpy()
        return values


def _tensors(feed: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in feed.items()}


def _values(spec: ImageSpec) -> ImageSpec:
    """Kind of the network's own values for such pictures: float32 in [-1, 1]."""
    return ImageSpec(channels=spec.network_channels, dtype="float32", low=-1, high=1)


LAYOUTS: Table[type[Deployed]] = Table("layout", {"nhwc-pixels": Deployed, "nchw-float": Bare}, names=get_args(Layout))
"""Input and output of a file, by the names of `--layout`."""


def trace(deployed: Deployed, *, opset: int | None = None) -> torch.onnx.ONNXProgram:
    """The graph of a network in eval mode on the CPU, for any N, H and W from 1 up.

    Its inputs are `image` and the model's conditions: `label`, `tokens`, `z`, `seed`.
    """
    assert not deployed.network.training
    if isinstance(deployed, FromNoise):
        return _traced(deployed, _tensors(deployed.feed(np.arange(SAMPLE_SHAPE[0]))), opset=opset)
    channels = deployed.card.taken.channels
    pictures = np.zeros((*SAMPLE_SHAPE, channels), deployed.card.taken.dtype)
    inputs = _tensors(deployed.feed(pictures))
    return _traced(deployed, inputs, opset=opset)


def _traced(deployed: Deployed, inputs: dict[str, Tensor], *, opset: int | None) -> torch.onnx.ONNXProgram:
    image = (inputs.pop(INPUT),) if INPUT in inputs else ()
    batch = {name: {0: torch.export.Dim.AUTO} for name in inputs}
    sides = {INPUT: dict.fromkeys(deployed.axes, torch.export.Dim.AUTO)} if image else {}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            deployed,
            image,
            kwargs={"condition": inputs} if inputs else None,
            input_names=[*sides, *inputs],
            output_names=[OUTPUT],
            dynamic_shapes=sides | ({"condition": batch} if batch else {}),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


_EXPORT_LOCK = threading.Lock()
"""Neither the exporter nor Python's warning filters are safe in two threads at once."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's warnings about its internals and about unused libraries."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    with _EXPORT_LOCK:
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
