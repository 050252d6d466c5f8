"""`Network`, an entry of the tables of networks, and the optional protocols of a generator.

A generator is a module made as `Generator(inputs, outputs, size=..., **settings)`, by names of its settings' fields,
and called with `[B, inputs, H, W]` in [-1, 1]; it returns `[B, outputs, H, W]` in [-1, 1]. That is enough to
train it, convert whole pictures and export it. Each protocol here is optional: code that needs it checks with
`isinstance`, and does without or raises an error that names it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from translate.fields import Settings
from translate.networks.stages import Stage

M = TypeVar("M", bound=nn.Module, covariant=True)


class NetworkSettings(Settings):
    """Base class of a network's own settings: its fields are the keyword arguments of the constructor."""

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        """The keyword arguments; by default each field under its own name.

        Args:
            chosen: whole settings of a model, which have these fields among theirs.
        """
        return {name: getattr(chosen, name) for name in cls.model_fields}


@dataclass(frozen=True)
class Network(Generic[M]):
    """An entry of a table of networks: what makes one, and the settings that it owns."""

    make: Callable[..., M]
    settings: type[NetworkSettings] = NetworkSettings

    def __call__(self, *channels: int, **arguments: Any) -> M:
        """One made of keyword arguments."""
        return self.make(*channels, **arguments)

    @cached_property
    def takes(self) -> tuple[str, ...]:
        """Names of the arguments that it can be made with."""
        return tuple(inspect.signature(self.make).parameters)


@runtime_checkable
class Local(Protocol):
    """Tiles: a network of known receptive field. Others are cut at multiples of 64 pixels, with wide overlaps.

    `stride`: pixels that both sides are mirrored to a multiple of. `radius`: pixels that a result depends on, at most,
    to each side, the statistics of norms aside.
    """

    stride: int
    radius: int


@runtime_checkable
class Staged(Protocol):
    """Strips: a network that can be cut at its norms, to go over a large picture with the statistics of the whole.

    `stages`: what `forward` does to a picture of `source_channels` that is padded to `stride`; with `code` `[1, D]` of
    the one picture, where the network is made for codes.
    """

    stride: int
    source_channels: int

    @property
    def stages(self) -> Callable[..., list[Stage]]: ...


@runtime_checkable
class Foldable(Protocol):
    """Speed at inference: a network whose norms with running statistics go into the convolutions before them.

    And whose weights are packed, so that what lies between its convolutions has to hold in any memory layout.
    `norm_after`: a convolution -> the norm that takes its output, as its modules call these; nothing else takes it.
    """

    norm_after: Mapping[str, str]


@runtime_checkable
class Featured(Protocol):
    """PatchNCE (CUT): a generator whose encoder's features can be compared.

    `feature_channels`: of each layer that is looked at. `encode`: their values `[B, C, h, w]`, and no further;
    `forward_with_features`: what `forward` gives, and these, from one pass.
    """

    feature_channels: tuple[int, ...]

    def encode(self, source: Tensor) -> list[Tensor]: ...

    def forward_with_features(self, source: Tensor) -> tuple[Tensor, list[Tensor]]: ...
