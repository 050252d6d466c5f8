"""A pool of past fakes, which keeps a discriminator from forgetting what it has seen through (Shrivastava 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from translate.draws import Draw


class Pool:
    """Up to `size` pictures in one tensor on the device. Each process of a training has pools of its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: Tensor | None = None  # [size, C, H, W]
        self._count: Tensor | None = None  # how many there are; on the device, so that no step waits for it

    def draws(self) -> dict[str, Draw]:
        """What each picture needs."""
        return {"coin": Draw("uniform"), "place": Draw("integers", high=self.size)}

    @torch.no_grad()
    def __call__(self, fakes: Tensor, *, coin: Tensor, place: Tensor) -> Tensor:
        """For each of `[B, C, H, W]` itself or an older one, which it then takes the place of, by a coin.

        While the pool fills, each is stored and given back. The pictures of a batch are dealt with one after the other.
        No gradients.

        Args:
            coin: `[B]` in [0, 1); below a half a picture is given back itself.
            place: `[B]` int64: whose place it takes.
        """
        fakes = fakes.detach()
        if self._kept is None or self._count is None:
            self._kept = fakes.new_zeros(self.size, *fakes.shape[1:])
            self._count = torch.zeros((), dtype=torch.long, device=fakes.device)
        self._kept = self._kept.to(fakes.dtype)  # a restored pool may have another precision
        given = []
        for i, fake in enumerate(fakes):
            filling = self._count < self.size
            at = torch.where(filling, self._count, place[i]).reshape(1)
            old = self._kept.index_select(0, at)[0]
            exchanged = ~filling & (coin[i] >= 0.5)
            given.append(torch.where(exchanged, old, fake))
            self._kept.index_copy_(0, at, torch.where(filling | exchanged, fake, old)[None])
            self._count.add_(1).clamp_(max=self.size)
        return torch.stack(given)

    @property
    def pictures(self) -> Tensor | None:
        """`[N, C, H, W]` on the CPU: those that it has; None before the first. Waits for the device."""
        if self._kept is None or self._count is None:
            return None
        return self._kept[: int(self._count)].cpu()

    def restore(self, pictures: Tensor | None, *, device: torch.device) -> None:
        """Continue with the pictures that another pool had."""
        self._kept = self._count = None
        if pictures is None:
            return
        self._kept = torch.zeros(self.size, *pictures.shape[1:], dtype=pictures.dtype, device=device)
        self._kept[: len(pictures)] = pictures.to(device)
        self._count = torch.full((), len(pictures), dtype=torch.long, device=device)
