"""Statistics of many pictures, from sums of thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

GRID = 32
"""Side of the thumbnails in which pictures are compared, in cells: noise averages out."""

MIN_VARIATION = 0.02
"""Standard deviation between pictures (values in [-1, 1]) below which all of a set count as the same picture."""

MIN_CONTRAST = 0.05
"""Standard deviation of brightness within a picture below which it has no correlation: it is too flat."""

SATURATED = 0.98
"""Absolute values beyond this count as saturated: within 2.6 of 255 levels of black or white."""

BINS = 64


class Sums:
    """Running sums over pictures `[B, C, H, W]` in [-1, 1], on the CPU; some kilobytes."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | None = None  # [C, GRID, GRID] float64
        self._squares: Tensor | None = None
        self._means: list[Tensor] = []  # [B, C] each
        self._spreads: list[Tensor] = []  # [B, C]: along `axes`
        self._extreme: list[Tensor] = []  # [B]
        self._tones: Tensor | None = None  # [BINS]

    def add(self, pictures: Tensor) -> Tensor:
        """Take in `[B, C, H, W]`; returns their brightness in thumbnails, `[B, GRID * GRID]`."""
        thumbs = adaptive_avg_pool2d(pictures, GRID).cpu().double()
        brightness = thumbs.mean(1)
        total, squares, tones = thumbs.sum(0), thumbs.square().sum(0), brightness.float().histc(BINS, -1, 1)
        self._sum = total if self._sum is None else self._sum + total
        self._squares = squares if self._squares is None else self._squares + squares
        self._tones = tones if self._tones is None else self._tones + tones
        self._means.append(pictures.mean((2, 3)).cpu())
        self._spreads.append(along_axes(pictures).std((2, 3), correction=0).cpu())
        self._extreme.append((pictures.abs() > SATURATED).float().mean((1, 2, 3)).cpu())
        self.count += len(pictures)
        return brightness.flatten(1)

    @property
    def channels(self) -> int:
        """Channels of the pictures."""
        return self._means[0].shape[1]

    def variation(self) -> float:
        """Standard deviation from picture to picture, at the same place and channel; of two pictures and more."""
        assert self._sum is not None
        assert self._squares is not None
        variance = (self._squares - self._sum.square() / self.count) / (self.count - 1)
        return variance.mean().clamp(min=0).sqrt().item()

    def contrast(self) -> float:
        """Standard deviation over all pictures and places, at the same channel."""
        assert self._sum is not None
        assert self._squares is not None
        mean, square = (x.mean((1, 2)) / self.count for x in (self._sum, self._squares))
        return (square - mean.square()).mean().clamp(min=0).sqrt().item()

    def own(self) -> float:
        """Share of the contrast that is not the same in all pictures: 1 for unrelated ones, 0 for equal ones."""
        return self.variation() / max(self.contrast(), MIN_VARIATION)

    def mean(self) -> Tensor:
        """Mean colour `[C]`."""
        return torch.cat(self._means).mean(0)

    def colours(self) -> Tensor:
        """Of each picture the mean and the spread along each axis: `[N, 2 * axes]`."""
        means = along_axes(torch.cat(self._means)[:, :, None, None])[:, :, 0, 0]
        return torch.cat([means, torch.cat(self._spreads)], 1)

    def saturated(self) -> float:
        """Share of values at an end of the range."""
        return torch.cat(self._extreme).mean().item()

    def tones(self) -> Tensor:
        """Distribution of brightness `[BINS]`, from dark to bright."""
        assert self._tones is not None
        return self._tones / self._tones.sum()  # mean values within [-1, 1] all fall in a bin


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of the rows of two `[B, N]`: `[B]`; NaN where a row's deviation is below `MIN_CONTRAST`."""
    first, second = (x - x.mean(1, keepdim=True) for x in (first, second))
    deviations = torch.stack([x.square().mean(1).sqrt() for x in (first, second)])
    values = (first * second).mean(1) / deviations.prod(0)
    return torch.where((deviations < MIN_CONTRAST).any(0), torch.nan, values)


def distance(first: Tensor, second: Tensor) -> float:
    """Wasserstein distance of two distributions over the same bins, in bins."""
    return (first.cumsum(0) - second.cumsum(0)).abs().sum().item()


def along_axes(pictures: Tensor) -> Tensor:
    """Colour pictures as brightness and two colour differences: pictures differ far more in brightness than in tint, so
    that a colour cast shows in the differences first. Others stay as they are. `[B, C, H, W]` both.
    """
    if pictures.shape[1] != 3:
        return pictures
    red, green, blue = pictures.unbind(1)
    return torch.stack([(red + green + blue) / 3, (red - green) / 2, blue / 2 - (red + green) / 4], 1)


def axes(channels: int) -> Sequence[str]:
    """Names of what `along_axes` gives."""
    if channels == 3:
        return ("brightness", "balance of red and green", "balance of blue and yellow")
    return [f"channel {i + 1}" for i in range(channels)] if channels > 1 else ["brightness"]
