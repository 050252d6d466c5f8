"""Differentiable augmentation of what a discriminator sees (DiffAugment, Zhao 2020), for small data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from translate.tables import Table

SHIFT = 1 / 8  # of the side, at most
CUT = 1 / 4  # of the area: half of either side, as published


def _color(x: Tensor) -> Tensor:
    """Brightness, saturation (about the mean of the channels) and contrast, drawn for each picture; not clamped."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1).to(x)
    x = x + (brightness - 0.5)
    gray = x.mean(1, keepdim=True)
    x = (x - gray) * (2 * saturation) + gray
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _translation(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    return _shift(height, width)(x)


def _cutout(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    return _erase(height / width)(x)


@cache
def _shift(height: int, width: int) -> nn.Module:
    from kornia.augmentation import RandomCrop

    # a border of zeros, then a crop of the old size: whole pixels and plain slices, so that nothing is interpolated and
    # the gradient is deterministic on CUDA, which a warp's is not
    padding = (round(width * SHIFT), round(height * SHIFT))
    return RandomCrop((height, width), padding=padding, fill=0, cropping_mode="slice", p=1.0)


@cache
def _erase(ratio: float) -> nn.Module:
    from kornia.augmentation import RandomErasing

    # of the picture's own proportions; all of it lies inside the picture, where the paper's may stick out
    return RandomErasing(scale=(CUT, CUT), ratio=(ratio, ratio), value=0.0, p=1.0)


COLORS: Table[Callable[[Tensor], Tensor]] = Table("augmentation", {"color": _color})
GEOMETRY: Table[Callable[[Tensor], Tensor]] = Table("augmentation", {"translation": _translation, "cutout": _cutout})
POLICIES: Table[Callable[[Tensor], Tensor]] = Table("augmentation", {**COLORS, **GEOMETRY})
"""All that a policy may name."""


class DiffAugment(nn.Module):
    """Change what is judged, real or fake, so that D cannot learn the few training pictures by heart.

    The gradient flows through to the generator. Drawn from torch's common random state, on the CPU.
    """

    def __init__(self, policy: str) -> None:
        """
        Args:
            policy: of "color", "translation" and "cutout" those to apply, joined by commas. Always in this order.

        Raises:
            ValueError: an unknown or repeated name, or none at all.
        """
        super().__init__()
        names = [name.strip() for name in policy.split(",")]
        for name in names:
            POLICIES[name]
        if len(set(names)) < len(names):
            raise ValueError(f'--augment "{policy}" names an augmentation twice: name each once')
        self.names = tuple(name for name in POLICIES if name in names)

    def forward(self, joined: Tensor, *, channels: int) -> Tensor:
        """Augment `[B, C, H, W]` in [-1, 1], whose last `channels` are the picture and the others its condition.

        The picture and its condition are moved and cut alike; only the picture's colours are changed. Values may leave
        [-1, 1], as in the paper; what is uncovered or cut out becomes 0, the middle grey.
        """
        x = joined.float()
        for name in self.names:
            if name in COLORS:
                condition, image = x[:, :-channels], x[:, -channels:]
                x = torch.cat([condition, COLORS[name](image)], 1)
            else:
                x = GEOMETRY[name](x)
        return x
