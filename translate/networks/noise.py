"""Random numbers of a generator: noise planes beside its source, and dropout that a seed can draw at inference.

In training both come from PyTorch's own generator. At inference each number is a function of the seed and of its place
in the picture alone, so that neither the rest of a batch, nor tiles, nor the device, nor an exported graph change it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PRIME = 2**31 - 1  # products of two numbers below it fit into int64, which every runtime of a graph has
DRAWN_BY = ("seed", "dropout", "rows", "columns", "origin")  # what `seeded` takes
PLANE, LAYER = 1, 2  # streams of noise planes and of dropout


@dataclass
class _Drawing:
    """What one pass of a network draws by."""

    noise: Tensor | None  # [B, 1] int64: the seed of noise planes; None: 0
    dropout: Tensor | None  # [B, 1] int64: the seed of dropout; None: it is off
    rows: Tensor | None  # [B, H] int64: the picture's row of each row of the input; None: its own
    columns: Tensor | None  # [B, W]
    origin: Tensor | None  # [B, 2] int64: top and left of the input in the padded picture; None: the whole picture
    layer: int = 0  # dropout layers that were met in this pass


_drawing: ContextVar[_Drawing | None] = ContextVar("drawing", default=None)


@contextmanager
def seeded(
    *,
    seed: Tensor | None = None,
    dropout: Tensor | None = None,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
    origin: Tensor | None = None,
) -> Iterator[None]:
    """Within the block, and in this thread alone, one pass of a network in eval mode draws by these seeds.

    Args:
        seed: `[B, 1]` int64, of noise planes; 0 if None.
        dropout: `[B, 1]` int64, of dropout, which is off if None.
        rows, columns: `[B, H]` and `[B, W]`, of a tile: where in the picture each row and column of it is.
        origin: `[B, 2]`, of a tile: its top and left in the picture as it is padded.
    """
    token = _drawing.set(_Drawing(seed, dropout, rows, columns, origin))
    try:
        yield
    finally:
        _drawing.reset(token)


def run(network: nn.Module, *pictures: Tensor, **condition: Tensor) -> Any:
    """`network(*pictures, **condition)`, where what `seeded` takes may be among the conditions."""
    own = {name: condition.pop(name) for name in DRAWN_BY if name in condition}
    if not own:
        return network(*pictures, **condition)
    with seeded(**own):
        return network(*pictures, **condition)


class Seeded(nn.Module):
    """`run` of a network, as a module: `forward(*pictures, seed=...)`, for a graph that takes the seed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *pictures: Tensor, **condition: Tensor) -> Tensor:
        made: Tensor = run(self.network, *pictures, **condition)
        return made


class NoisePlanes(nn.Module):
    """A generator that sees planes of standard normal noise, drawn for each pixel, behind its source's channels.

    The 3-D noise of OASIS (Sushko 2021), there either drawn per pixel or one vector for all pixels. In eval mode
    outside of `seeded` it is that of seed 0.
    """

    def __init__(self, network: nn.Module, planes: int) -> None:
        """`network`: a generator of so many more input channels."""
        super().__init__()
        self.network = network
        self.planes = planes

    def forward(self, source: Tensor, code: Tensor | None = None) -> Tensor:
        """`[B, Cs, H, W]` and the code of `network`, if it takes one -> what `network` makes."""
        x = torch.cat([source, self._noise(source)], 1)
        made: Tensor = self.network(x) if code is None else self.network(x, code)
        return made

    def _noise(self, source: Tensor) -> Tensor:
        """`[B, planes, H, W]`."""
        batch, _, height, width = source.shape
        if self.training:
            return torch.randn(batch, self.planes, height, width, device=source.device, dtype=source.dtype)
        drawing = _drawing.get()
        seed = None if drawing is None else drawing.noise
        seed = source.new_zeros((1, 1), dtype=torch.int64) if seed is None else seed
        rows, columns = (None, None) if drawing is None else (drawing.rows, drawing.columns)
        rows = torch.arange(height, device=source.device)[None] if rows is None else rows
        columns = torch.arange(width, device=source.device)[None] if columns is None else columns
        noise = normal(seed, self.planes, rows, columns).to(source.dtype)
        return noise.expand(batch, -1, -1, -1)


class Dropout(nn.Dropout):
    """Dropout that a seed can draw at inference, as pix2pix (Isola 2017) keeps it on; without a seed it is off there.

    One mask for each picture, layer, channel and place; what is kept is divided by the share kept, as in training.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training or not self.p:
            return super().forward(input)
        drawing = _drawing.get()
        if drawing is None or drawing.dropout is None:
            return input
        drawing.layer += 1
        _, channels, height, width = input.shape
        top = left = torch.zeros(1, 1, dtype=torch.int64, device=input.device)
        if drawing.origin is not None and drawing.rows is not None:
            stride = drawing.rows.shape[1] // height  # of this layer
            top, left = (drawing.origin[:, [side]] // stride for side in (0, 1))
        rows, columns = (
            start + torch.arange(length, device=input.device) for start, length in ((top, height), (left, width))
        )
        drawn = uniform(drawing.dropout, LAYER, drawing.layer, channels, rows, columns)
        return input * ((drawn >= self.p).to(input.dtype) / (1 - self.p))


def draws_by_seed(network: nn.Module) -> tuple[str, ...]:
    """What a seed draws in a network at inference: "noise" (planes), "dropout", both or nothing."""
    layers = list(network.modules())
    found = {
        "noise": any(isinstance(layer, NoisePlanes) for layer in layers),
        "dropout": any(isinstance(layer, Dropout) and layer.p > 0 for layer in layers),
    }
    return tuple(name for name, there in found.items() if there)


def normal(seed: Tensor, planes: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Standard normal numbers `[B, planes, H, W]` float32 at `rows` `[B, H]`, `columns` `[B, W]` (Box and Muller)."""
    radius, angle = (uniform(seed, PLANE, half, planes, rows, columns) for half in (0, 1))
    return (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()


def uniform(seed: Tensor, stream: int, number: int, channels: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Uniform numbers `[B, channels, H, W]` float32 in (0, 1] of stream `number`."""
    channel = torch.arange(channels, device=seed.device)[None, :, None, None]
    state = _mixed(_mixed(_mixed(seed[:, :, None, None]) + stream) + number)
    state = _mixed(_mixed(state + channel) + rows[:, None, :, None])
    state = _mixed(_mixed(state + columns[:, None, None, :]))
    return (state.float() + 0.5) / PRIME


def _mixed(state: Tensor) -> Tensor:
    """A permutation of 0 .. `PRIME` - 1 that leaves no order: the fifth power, since 5 does not divide `PRIME` - 1.

    In products and remainders alone, which every device and every runtime of a graph computes alike.
    """
    state = torch.remainder(state + 1_234_567_891, PRIME)
    square = torch.remainder(state * state, PRIME)
    return torch.remainder(torch.remainder(square * square, PRIME) * state, PRIME)
