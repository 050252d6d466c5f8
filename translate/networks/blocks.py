"""Pieces that several networks are built from: norms and weight initialisation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from translate.tables import Table


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose meaning at inference is explicit and never depends on who else is in the batch.

    With `per_image` each image is normalised by its own statistics, which is what a model trained at batch size 1 saw
    in every step; without it, by the running averages.
    """

    def __init__(self, channels: int, *, per_image: bool = False) -> None:
        super().__init__(channels)
        self.per_image = per_image

    def forward(self, input: Tensor) -> Tensor:
        if self.training or not self.per_image:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


def _batch(channels: int, *, per_image: bool) -> nn.Module:
    return BatchNorm2d(channels, per_image=per_image)


def _instance(channels: int, *, per_image: bool) -> nn.Module:
    return nn.InstanceNorm2d(channels)  # without learned scale and running statistics, as published


def _group(channels: int, *, per_image: bool) -> nn.Module:
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if (channels % g == 0 and channels // g >= 2) or g == 1)
    return nn.GroupNorm(groups, channels)


def _none(channels: int, *, per_image: bool) -> nn.Module:
    return nn.Identity()


NORMS: Table[Callable[..., nn.Module]] = Table(
    "norm", {"batch": _batch, "instance": _instance, "group": _group, "none": _none}
)
"""How a layer is normalised: `NORMS[name](channels, per_image=...)`."""


def needs_bias(norm: str) -> bool:
    """Whether a convolution before this norm keeps its bias: not where the norm has a learned shift of its own."""
    return norm in ("instance", "none")


def _normal(weight: Tensor, gain: float) -> None:
    nn.init.normal_(weight, 0.0, gain)


def _xavier(weight: Tensor, gain: float) -> None:
    nn.init.xavier_normal_(weight, gain)


INITS: Table[Callable[[Tensor, float], None]] = Table("initialisation", {"normal": _normal, "xavier": _xavier})
"""How the weights of convolutions and linear layers are drawn: `INITS[name](weight, gain)`."""


def init_weights(module: nn.Module, *, kind: str = "normal", gain: float = 0.02) -> None:
    """Start weights as published: biases 0, gains of norms ~ N(1, gain), and by `kind` those of convolutions.

    "normal": N(0, gain) (DCGAN, Radford 2015; pix2pix, CycleGAN); "xavier": Glorot 2010's normal, times gain (CUT).
    """
    draw = INITS[kind]
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(layer.weight, gain)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, gain)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
