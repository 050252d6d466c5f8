"""A pool of past fakes: the discriminator keeps seeing earlier failures of the generator (Shrivastava 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from translate.draws import Draw


class Pool:
    """Up to `size` pictures in one tensor on the device. Each process of a training has pools of its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: Tensor | None = None  # [size, C, H, W]
        self._count: Tensor | None = None  # pictures in it; on the device, so that no step waits for it

    def draws(self) -> dict[str, Draw]:
        """Random numbers of each picture."""
        return {"coin": Draw("uniform"), "place": Draw("integers", high=self.size)}

    @torch.no_grad()
    def __call__(self, fakes: Tensor, *, coin: Tensor, place: Tensor) -> Tensor:
        """`[B, C, H, W]` -> the same shape: each fake itself, or a past one, whose place in the pool it then takes.

        While the pool fills, fakes are stored and returned. The pictures of a batch follow each other. No gradients.

        Args:
            coin: `[B]` in [0, 1); below 0.5 the fake itself is returned.
            place: `[B]` int64: the past fake that may be returned and replaced.
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
        """The past fakes, `[N, C, H, W]` on the CPU; None before the first. Waits for the device."""
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
