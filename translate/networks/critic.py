"""One wrapper around every discriminator, so that what is done to its input is written once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from translate.networks.augment import DiffAugment


class Scores(NamedTuple):
    """What a discriminator says of a batch."""

    logits: Tensor  # [B, 1, H', W'], one for each patch
    features: tuple[Tensor, ...] = ()  # [B, C, H, W] after each leaky ReLU, from the outermost in; for feature matching


class Critic(nn.Module):
    """Joins a spatial condition to the picture as channels (Mirza 2014), augments both alike, and runs the network."""

    def __init__(self, network: nn.Sequential, *, augment: DiffAugment | None = None) -> None:
        """
        Args:
            augment: what is done to all that the network sees, real or fake, drawn anew each time; for small data.
        """
        super().__init__()
        self.network = network
        self.augment = augment

    def forward(self, image: Tensor, *, condition: Tensor | None = None) -> Scores:
        """`image` and `condition` are `[B, C, H, W]` in [-1, 1], of one size; the condition's channels come first."""
        x = image if condition is None else torch.cat([condition, image], 1)
        if self.augment is not None:
            x = self.augment(x, channels=image.shape[1])
        features: list[Tensor] = []
        for layer in self.network:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)  # costs nothing while training: the next layer keeps it for its gradient anyway
        return Scores(x, tuple(features))

    def both(
        self, real: Tensor, fake: Tensor, *, condition: Tensor | None = None, together: bool
    ) -> tuple[Scores, Scores]:
        """Scores of as many real as fake pictures of the same condition.

        Args:
            together: in one pass, which is faster, and exact where the norm keeps pictures apart (not batch norm).
        """
        if not together:
            return self(real, condition=condition), self(fake, condition=condition)
        twice = None if condition is None else torch.cat([condition, condition])
        scores = self(torch.cat([real, fake.to(real.dtype)]), condition=twice)
        of_real, of_fake = zip(*(part.chunk(2) for part in (scores.logits, *scores.features)), strict=True)
        return Scores(of_real[0], of_real[1:]), Scores(of_fake[0], of_fake[1:])
