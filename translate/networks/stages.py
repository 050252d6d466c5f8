"""A network in stages that end at its norms, so that it can go over a large picture strip by strip.

A norm that uses the whole picture's mean and variance needs all of what comes before it, and what comes after needs the
norm. In between everything is local: a stage can be done on some rows at a time, if these come with a few more beside
them (`halo`), and the statistics are gathered while it puts them out. Each convolution runs once. However far a network
sees as a whole, a stage sees only a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from translate.networks.blocks import BatchNorm2d, ReferenceNorm2d, VirtualNorm2d, constants


def as_it_is(x: Tensor) -> Tensor:
    """Nothing is done."""
    return x


@dataclass(frozen=True, eq=False)
class Stage:
    """From one norm to the next: `x = enter(normed)`, or `x = joins(carried, normed)` where it joins, and `work(x)`.

    `[1, C, H, W]` -> `[1, C', H * up / down, W * up / down]`, of which `x` is divided by `before` already.
    """

    work: Callable[[Tensor], Tensor]
    norm: nn.Module | None  # of what it puts out; None: that is the result
    halo: int  # rows of its input beside a border that is none of the picture's, whose results are spoilt, at most
    enter: Callable[[Tensor], Tensor] = as_it_is
    joins: Callable[[Tensor, Tensor], Tensor] | None = None  # with what was carried last, which is then carried no more
    carries: bool = False  # `x` is carried
    before: int = 1
    down: int = 1
    up: int = 1


class Statistics:
    """Mean and variance of each channel, gathered strip by strip in float64 (Chan, Golub, LeVeque 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), device="cpu")
        self.squares = torch.zeros((), device="cpu")  # sum of the squared distances from the mean

    def add(self, strip: Tensor) -> None:
        """A part `[1, C, H, W]` of what the statistics are of."""
        count = strip[0, 0].numel()
        variance, mean = torch.var_mean(strip, dim=(0, 2, 3), correction=0)
        variance, mean = variance.cpu().double(), mean.cpu().double()  # by channel alone; MPS has no float64
        if not self.count:
            self.count, self.mean, self.squares = count, mean, variance * count
            return
        whole = self.count + count
        apart = mean - self.mean
        self.squares = self.squares + variance * count + apart.square() * (self.count * count / whole)
        self.mean = self.mean + apart * (count / whole)
        self.count = whole

    @property
    def variance(self) -> Tensor:
        """`[C]`, biased, as norms take it."""
        return self.squares / self.count


def is_whole_image(norm: nn.Module) -> bool:
    """Whether a norm in eval mode uses the mean and variance of the picture that it is given."""
    if isinstance(norm, nn.InstanceNorm2d | nn.GroupNorm | VirtualNorm2d):
        return True
    return isinstance(norm, BatchNorm2d) and norm.per_image


def as_affine(norm: nn.Module, statistics: Statistics) -> tuple[Tensor, Tensor] | None:
    """What a norm in eval mode does to values with these statistics: (factor, shift), `[C]` each in float64.

    None: it leaves them as they are.
    """
    if isinstance(norm, nn.Identity):
        return None
    mean, variance = statistics.mean, statistics.variance
    if isinstance(norm, nn.GroupNorm):
        means = mean.unflatten(0, (norm.num_groups, -1))
        variance = variance.unflatten(0, (norm.num_groups, -1)).mean(1) + means.var(1, correction=0)
        each = norm.num_channels // norm.num_groups
        mean, variance = means.mean(1).repeat_interleave(each), variance.repeat_interleave(each)
        weight, bias = norm.weight, norm.bias
    elif isinstance(norm, VirtualNorm2d):
        mean, variance = norm.joined(mean, variance)
        weight, bias = norm.weight, norm.bias
    elif isinstance(norm, nn.BatchNorm2d | ReferenceNorm2d):
        if held := constants(norm):
            mean, variance = (each.cpu().double() for each in held)
        weight, bias = norm.weight, norm.bias
    else:
        assert isinstance(norm, nn.InstanceNorm2d), f"no stage ends in a {type(norm).__name__}"
        weight, bias = norm.weight, norm.bias  # None: without learned ones, as published
    factor = (variance + norm.eps).rsqrt()
    if weight is not None:
        factor = factor * weight.detach().cpu().double()
    shift = -mean * factor
    return factor, shift if bias is None else shift + bias.detach().cpu().double()


def run_stages(stages: Sequence[Stage], x: Tensor) -> Tensor:
    """All of them on a whole picture `[1, C, H, W]` whose sides are multiples of the network's stride."""
    carried: list[Tensor] = []
    for stage in stages:
        x = stage.joins(carried.pop(), x) if stage.joins else stage.enter(x)
        if stage.carries:
            carried.append(x)
        x = stage.work(x)
        x = x if stage.norm is None else stage.norm(x)
    return x
