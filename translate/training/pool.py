"""A pool of past fakes, which keeps a discriminator from forgetting what it has seen through (Shrivastava 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from translate.batch import Images


class Pool:
    """Up to `size` pictures. Draws come from torch's common random state."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []  # [C, H, W] each

    def __call__(self, fakes: Tensor) -> Tensor:
        """For each of `[B, C, H, W]` itself or an older one, which it then takes the place of, by a coin.

        While the pool fills, each is stored and given back. No gradients.
        """
        return torch.stack([self._exchange(fake) for fake in fakes.detach()])

    def _exchange(self, fake: Tensor) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(fake.clone())
            return fake
        if torch.rand(()) < 0.5:
            return fake
        place = int(torch.randint(self.size, ()))
        old, self.pictures[place] = self.pictures[place], fake.clone()
        return old


class Pools:
    """A pool for each kind of picture that a player meets among past ones."""

    def __init__(self, pooled: Mapping[str, tuple[str, ...]], *, size: int) -> None:
        self._pools = {player: {name: Pool(size) for name in names} for player, names in pooled.items() if size}

    def __call__(self, player: str, images: Images) -> Images:
        """`images` as `player` is shown them."""
        pools = self._pools.get(player, {})
        return images | {name: pool(images[name]) for name, pool in pools.items()}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The stored pictures `[N, C, H, W]` of each player and kind that has some."""
        return {
            player: {name: torch.stack(pool.pictures).cpu() for name, pool in pools.items() if pool.pictures}
            for player, pools in self._pools.items()
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]], *, device: torch.device) -> None:
        """Continue from `state_dict()`."""
        for player, pools in self._pools.items():
            for name, pool in pools.items():
                stored = state.get(player, {}).get(name)
                pool.pictures = [] if stored is None else list(stored.to(device).unbind())
