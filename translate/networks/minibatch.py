"""What a discriminator sees of the whole batch, beside each example: against generators that make few pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from translate.tables import Table

KERNELS, KERNEL_WIDTH = 100, 5  # as in the authors' code


class Minibatch(nn.Module):
    """Base of the layers that put planes of one value each behind the channels: `[B, C, H, W]`, B of 2 at least."""

    planes: int  # how many

    def __init__(self) -> None:
        super().__init__()
        self.references = 0  # examples in front, in training: a reference batch of its own (`reference.Reference`)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.references):
            return _with_planes(x, self.see(x))
        return torch.cat([_with_planes(part, self.see(part)) for part in (x[: self.references], x[self.references :])])

    def see(self, x: Tensor) -> Tensor:
        """The values `[B, planes]` of a batch."""
        raise NotImplementedError


class MinibatchDiscrimination(Minibatch):
    """How near an example is to the others of its batch (Salimans 2016): `[B, C, H, W]` -> `[B, C + 100, H, W]`.

    With f the mean of the features over all positions and M = f T in `[B, 100, 5]`:
    o_b(i) = the sum over j != i of exp(-|M_ib - M_jb|_1). In float32 under autocast, too.
    """

    def __init__(self, channels: int, *, kernels: int = KERNELS) -> None:
        super().__init__()
        self.planes = kernels
        self.projection = nn.Linear(channels, kernels * KERNEL_WIDTH, bias=False)  # T

    def see(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        rows = self.projection(x.mean((2, 3))).to(wide).unflatten(1, (self.planes, KERNEL_WIDTH))  # [B, 100, 5]
        distances = (rows[:, None] - rows[None]).abs().sum(-1)  # [B, B, 100]
        return (-distances).exp().sum(1) - 1  # less the example's nearness to itself


class MinibatchDeviation(Minibatch):
    """How much the examples of the batch differ (ProGAN, Karras 2018): `[B, C, H, W]` -> `[B, C + 1, H, W]`.

    The standard deviation over the batch of each feature at each position, of all these the mean: one number.
    """

    planes = 1

    def __init__(self, channels: int) -> None:
        super().__init__()

    def see(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        variance = (wide - wide.mean(0)).square().mean(0)
        deviation: Tensor = (variance + 1e-8).sqrt().mean()  # the root of 0 has no gradient
        return deviation.expand(len(x), 1)


def _with_planes(x: Tensor, values: Tensor) -> Tensor:
    """`values` `[B, K]` as planes behind the channels of `x`."""
    planes = values[..., None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes.to(x.dtype)], 1)


MINIBATCH: Table[Callable[[int], Any] | None] = Table(
    "minibatch feature", {"none": None, "discrimination": MinibatchDiscrimination, "stddev": MinibatchDeviation}
)
"""What the last convolution of a discriminator sees of the batch: `MINIBATCH[name](channels)`, with `planes`."""


def minibatch_layers(name: str, channels: int) -> tuple[list[nn.Module], int]:
    """The layers to put before the last convolution, and the channels that it then takes."""
    make = MINIBATCH[name]
    layer = make(channels) if make else None
    return ([], channels) if layer is None else ([layer], channels + layer.planes)
