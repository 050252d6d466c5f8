"""Adaptive discriminator augmentation (ADA, Karras et al. 2020): only as much as keeps D from learning by heart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from translate.batch import Stats
from translate.draws import Draw
from translate.networks.augment import POLICIES

if TYPE_CHECKING:
    from translate.models.game_settings import GameSettings

JUDGED = 256  # pictures that r_t is the mean of: four batches of 64, as published


class Adaptive(nn.Module):
    """The probability p with which each of the changes of `--augment` is made to a picture that D sees.

    r_t = E sign(l(real)) tells how far D knows the training pictures: 0 if it cannot tell them from fakes, 1 if it is
    sure of all. After every `JUDGED` pictures p goes up if r_t is above the target, and else down, so fast that the way
    from 0 to 1 takes at least `--ada-speed` thousand pictures.
    """

    SIGN, PROBABILITY = "ada_sign", "ada_p"  # figures of the journal: r_t and p

    p: Tensor  # scalar in [0, 1]
    signs: Tensor  # scalar: sum of the signs of r_t since p was last changed
    pictures: Tensor  # scalar: over how many pictures

    def __init__(self, settings: GameSettings, *, centre: float) -> None:
        """
        Args:
            centre: logit of a discriminator that cannot tell real from fake.
        """
        super().__init__()
        assert settings.ada is not None, "only with a target"
        self.target, self.centre = settings.ada, centre
        self.whole = 1000 * settings.ada_speed  # pictures from 0 to 1
        self.draw = Draw("uniform", (len(POLICIES),))  # of each picture
        for name in ("p", "signs", "pictures"):
            self.register_buffer(name, torch.zeros(()))

    def gated(self, numbers: Tensor, coins: Tensor) -> Tensor:
        """The numbers of `DiffAugment`, with the choice of its changes: each is made with probability p.

        Args:
            numbers: `[B, NUMBERS]` in [0, 1).
            coins: `[B, len(POLICIES)]` in [0, 1).
        """
        return torch.cat([numbers, (coins < self.p).to(numbers)], 1)

    @torch.no_grad()
    def statistics(self, real: Sequence[Tensor]) -> Stats:
        """r_t of a batch, and p: of the logits `[B, ...]` of real pictures, one tensor a scale."""
        above = torch.cat([logits.float().flatten(1) for logits in real], 1) - self.centre
        return {self.SIGN: above.sign().mean(), self.PROBABILITY: self.p.clone()}

    @torch.no_grad()
    def update(self, sign: Tensor, *, pictures: int) -> None:
        """Take account of one step of D.

        Args:
            sign: its r_t, in all processes.
            pictures: that it was of.
        """
        self.signs.add_(sign * pictures)
        self.pictures.add_(pictures)
        due = self.pictures >= JUDGED
        change = (self.signs / self.pictures - self.target).sign() * self.pictures / self.whole
        self.p.add_(torch.where(due, change, 0.0)).clamp_(0, 1)
        for sums in (self.signs, self.pictures):
            sums.mul_(~due)
