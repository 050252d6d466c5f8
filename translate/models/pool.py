"""A pool of past fakes: the discriminator keeps seeing earlier failures of the generator (Shrivastava 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from translate.draws import Draw


class Exchanged(NamedTuple):
    """What a pool gives back for a batch of fakes."""

    given: dict[str, Tensor]  # by the names of the fakes' tensors, of the same shapes
    past: Tensor  # [B] bool: which of them are past fakes


class Pool:
    """Up to `size` fakes, each with all that belongs to it, such as its source: one tensor a name, on the device.

    What is kept has no gradient. Each process of a training has pools of its own.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[str, Tensor] = {}  # [size, ...] each
        self._count: Tensor | None = None  # fakes in it; on the device, so that no step waits for it

    def draws(self) -> dict[str, Draw]:
        """Random numbers of each fake."""
        return {"coin": Draw("uniform"), "place": Draw("integers", high=self.size)}

    def __call__(self, fakes: Mapping[str, Tensor], *, coin: Tensor, place: Tensor) -> Exchanged:
        """Each fake itself, or a past one with all that belongs to that, whose place in the pool it then takes.

        While the pool fills, fakes are stored and returned. The fakes of a batch follow each other. Gradients go to
        what is given back as it came.

        Args:
            fakes: `[B, ...]` by name: pictures and what belongs to them; the same names in every call.
            coin: `[B]` in [0, 1); below 0.5 the fake itself is returned.
            place: `[B]` int64: the past fake that may be returned and replaced.
        """
        old, past = self._exchange({name: value.detach() for name, value in fakes.items()}, coin, place)
        given = {
            name: torch.where(past.reshape(-1, *[1] * (fake.dim() - 1)), old[name], fake)
            for name, fake in fakes.items()
        }
        return Exchanged(given, past)

    @torch.no_grad()
    def _exchange(self, fakes: dict[str, Tensor], coin: Tensor, place: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Store what is to be stored. Returns what was at the place of each fake, and which fakes are exchanged."""
        if self._count is None:
            self._kept = {name: fake.new_zeros(self.size, *fake.shape[1:]) for name, fake in fakes.items()}
            self._count = torch.zeros((), dtype=torch.long, device=place.device)
        assert self._kept.keys() == fakes.keys(), "a pool is shown the same of every fake"
        # a restored pool may have another precision
        self._kept = {name: kept.to(fakes[name].dtype) for name, kept in self._kept.items()}
        before: dict[str, list[Tensor]] = {name: [] for name in fakes}
        past = []
        for i in range(len(place)):
            filling = self._count < self.size
            at = torch.where(filling, self._count, place[i]).reshape(1)
            exchanged = ~filling & (coin[i] >= 0.5)
            past.append(exchanged)
            for name, fake in fakes.items():
                old = self._kept[name].index_select(0, at)
                before[name].append(old)
                self._kept[name].index_copy_(0, at, torch.where(filling | exchanged, fake[i : i + 1], old))
            self._count.add_(1).clamp_(max=self.size)
        return {name: torch.cat(each) for name, each in before.items()}, torch.stack(past)

    @property
    def tensors(self) -> list[Tensor]:
        """All that it keeps, on the device, as it lies there."""
        return [*self._kept.values(), *([] if self._count is None else [self._count])]

    @property
    def kept(self) -> dict[str, Tensor]:
        """The past fakes, `[N, ...]` by name, on the CPU; empty before the first. Waits for the device."""
        if self._count is None:
            return {}
        return {name: kept[: int(self._count)].cpu() for name, kept in self._kept.items()}

    def restore(self, kept: Mapping[str, Tensor], *, device: torch.device) -> None:
        """Continue with the fakes that another pool had."""
        self._kept, self._count = {}, None
        for name, fakes in kept.items():
            self._kept[name] = torch.zeros(self.size, *fakes.shape[1:], dtype=fakes.dtype, device=device)
            self._kept[name][: len(fakes)] = fakes.to(device)
            self._count = torch.full((), len(fakes), dtype=torch.long, device=device)
