"""DiffAugment: the discriminator sees real and drawn pictures augmented alike (Zhao et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.tables import Table

SHIFT = 1 / 8  # of the side, at most
CUT = 1 / 4  # of the area: half of either side, as published
NUMBERS = 7  # that one picture takes, each in [0, 1): three for the colours, two for the shift, two for the cut

Change = Callable[[Tensor, Tensor], Tensor]
"""(pictures `[B, C, H, W]`, numbers `[B, 7]`) -> pictures."""


def _color(x: Tensor, numbers: Tensor) -> Tensor:
    """Brightness, saturation (about the mean of the channels) and contrast of each picture; not clamped."""
    brightness, saturation, contrast = (number[:, None, None, None] for number in numbers[:, :3].to(x).unbind(1))
    x = x + (brightness - 0.5)
    gray = x.mean(1, keepdim=True)
    x = (x - gray) * (2 * saturation) + gray
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _translation(x: Tensor, numbers: Tensor) -> Tensor:
    """By whole pixels, so that nothing is interpolated; what is uncovered is 0."""
    for dim, number in ((2, numbers[:, 3]), (3, numbers[:, 4])):
        side = x.shape[dim]
        most = round(side * SHIFT)
        place = _whole(number, 2 * most + 1)[:, None] + torch.arange(side, device=x.device)  # [B, side]
        place = place[:, None, :, None] if dim == 2 else place[:, None, None, :]
        padded = F.pad(x, (0, 0, most, most) if dim == 2 else (most, most))
        x = padded.gather(dim, place.expand_as(x))
    return x


def _cutout(x: Tensor, numbers: Tensor) -> Tensor:
    """A rectangle of the picture's own proportions becomes 0; it lies inside, where the paper's may stick out."""
    inside = []
    for dim, number in ((2, numbers[:, 5]), (3, numbers[:, 6])):
        side = x.shape[dim]
        length = round(side * CUT**0.5)
        start = _whole(number, side - length + 1)[:, None]
        place = torch.arange(side, device=x.device)
        inside.append((place >= start) & (place < start + length))  # [B, side]
    rows, columns = inside
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _whole(number: Tensor, choices: int) -> Tensor:
    """A number in [0, 1) as one of 0, 1, ... `choices` - 1, all as likely."""
    return (number.float() * choices).long().clamp(max=choices - 1)


COLORS: Table[Change] = Table("augmentation", {"color": _color})
GEOMETRY: Table[Change] = Table("augmentation", {"translation": _translation, "cutout": _cutout})
POLICIES: Table[Change] = Table("augmentation", {**COLORS, **GEOMETRY})
"""All that a policy may name."""

PLACES = {name: place for place, name in enumerate(POLICIES)}


class DiffAugment(nn.Module):
    """Change what the discriminator sees, real or fake, so that it cannot learn the few training pictures by heart.

    The gradient flows through to the generator. A pure function: the random numbers come with the pictures.
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

    def forward(self, joined: Tensor, numbers: Tensor, *, channels: int) -> Tensor:
        """Augment `[B, C, H, W]` in [-1, 1], whose last `channels` are the picture and the others its condition.

        Picture and condition are shifted and cut alike; only the picture's colours are changed. Values may leave
        [-1, 1], as in the paper; what is uncovered or cut out becomes 0, the middle grey.

        Args:
            numbers: `[B, 7]` in [0, 1), drawn for each picture; or with a further one for each of `POLICIES`, which is
                1 where that change is made to that picture and 0 where it is not (ADA).
        """
        x = joined.to(torch.promote_types(joined.dtype, torch.float32))
        made = numbers[:, NUMBERS:] > 0.5  # [B, 0] if every change is
        for name in self.names:
            if name in COLORS:
                condition, image = x[:, :-channels], x[:, -channels:]
                changed = torch.cat([condition, COLORS[name](image, numbers)], 1)
            else:
                changed = GEOMETRY[name](x, numbers)
            x = torch.where(made[:, PLACES[name], None, None, None], changed, x) if made.shape[1] else changed
        return x
