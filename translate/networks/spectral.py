"""Spectral norm (Miyato 2018): convolutions whose largest singular value is 1, so that a discriminator is Lipschitz."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

STARTED = 15  # power iterations for new weights
EPS = 1e-12


class SpectralNorm(nn.Module):
    """`weight` over its largest singular value, as a matrix of one row for each output: one power iteration a pass.

    The same as `torch.nn.utils.parametrizations.spectral_norm`, but in float32 under autocast, too. In evaluation the
    vectors stay as they are. They are saved.
    """

    u: Tensor  # [outputs], the left singular vector
    v: Tensor  # [inputs of an output], the right one

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        for name, length in (("u", weight.shape[0]), ("v", weight[0].numel())):
            self.register_buffer(name, F.normalize(torch.randn(length, device=weight.device), dim=0, eps=EPS))
        self.settle(weight)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        # the graph keeps copies: the next pass changes the vectors
        sigma = (self.u.clone() * _product(matrix, self.v.clone())).sum()
        return weight / sigma

    @torch.no_grad()
    def settle(self, weight: Tensor) -> None:
        """Bring the vectors to those of new weights."""
        for _ in range(0 if weight.is_meta else STARTED):
            self._iterate(weight.flatten(1))

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(F.normalize(_product(matrix, self.v), dim=0, eps=EPS))
        self.v.copy_(F.normalize(_product(matrix.T, self.u), dim=0, eps=EPS))


def _product(matrix: Tensor, vector: Tensor) -> Tensor:
    """Not by `@`, which autocast would do in half the digits."""
    return (matrix * vector).sum(1)


def spectral_norm(network: nn.Module) -> None:
    """Give every convolution of `network` that has none a spectral norm; the names of its weights change."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d) and not parametrize.is_parametrized(layer, "weight"):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


def learned(layer: nn.Module) -> Tensor:
    """The weight of a layer that is trained: without the norm, if there is one."""
    weight = layer.parametrizations.weight.original if parametrize.is_parametrized(layer, "weight") else layer.weight  # type: ignore[union-attr]
    assert isinstance(weight, Tensor)
    return weight


def settle(layer: nn.Module) -> None:
    """Bring the vectors of its norm, if there is one, to those of new weights."""
    if parametrize.is_parametrized(layer, "weight"):
        for norm in layer.parametrizations.weight:  # type: ignore[union-attr]
            if isinstance(norm, SpectralNorm):
                norm.settle(learned(layer))
