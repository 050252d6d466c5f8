"""What every translation method is: its networks, and the losses that train them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Asks
from translate.settings import DataKind, ModelSettings
from translate.sizes import Size


class Model(nn.Module):
    """One method. Owns no optimiser, no path, no flag and no device; the training loop owns no method.

    A subclass builds its networks in `__init__(settings, *, source_channels, target_channels, size)` and says in
    `players` who moves first and which submodules each player trains.
    """

    settings_class: ClassVar[type[ModelSettings]] = ModelSettings
    summary: ClassVar[str] = ""  # one line for `translate models`
    data: ClassVar[DataKind] = "pairs"  # what it is trained on
    same_channels: ClassVar[bool] = False  # whether source and target need as many channels
    reversible: ClassVar[bool] = False  # whether `reverse` has an answer
    players: dict[str, tuple[str, ...]]  # in order of moving: player -> submodules it trains
    judges: ClassVar[tuple[str, ...]] = ("discriminator",)  # players that need `fakes` alone, and no gradient to them
    pooled: ClassVar[dict[str, tuple[str, ...]]] = {}  # judge -> fakes that it meets among past ones
    deployed: tuple[str, ...] = ("generator",)  # submodules that `forward` needs, and a model file holds
    inputs: tuple[str, ...] = ("image",)  # arguments of `forward`; no image where `data` is "targets"
    scale: ClassVar[int] = 1  # output size over input size

    def __init__(
        self, settings: ModelSettings, *, source_channels: int, target_channels: int, size: Size | int
    ) -> None:
        super().__init__()
        self.moves: dict[str, int] = {}  # player -> moves a step, each on batches of its own; 1 where not named
        self.pool = 0  # past images kept of each kind that is `pooled`
        self.across: Callable[[Tensor], Tensor] = _alone  # mean of a batch's statistic over all processes

    @classmethod
    def asks(cls, settings: ModelSettings) -> Asks:
        """What of the data beside its pictures a model of these settings is trained on."""
        return Asks()

    def forward(self, image: Tensor, *_: Any, **condition: Any) -> Tensor:
        """Inference, and exactly what is exported: `[B, Cs, H, W]` -> `[B, Ct, H, W]`, in [-1, 1], any H and W.

        `condition` has the tensors that `inputs` names beside the image, as `Conditions.encode` makes them, `[B, ...]`.
        """
        raise NotImplementedError

    def code(self, **condition: Tensor) -> Tensor | None:
        """What modulates a steered generator, `[B, D]`: `forward` is `generator(image, code)`. None: nothing does."""
        return None

    def reverse(self) -> nn.Module:
        """The network of the other way, target to source, where a method trains one."""
        raise NotImplementedError

    def translate(self, batch: Batch) -> Images:
        """One training pass with its graph kept. Every draw is made here, but for those of pools and augmentation."""
        raise NotImplementedError

    def fakes(self, batch: Batch) -> Images:
        """What of `translate` the judges need, where less work will do."""
        return self.translate(batch)

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """The named, weighted terms of one player's objective, and figures to look at.

        Draws nothing, but for a discriminator's augmentation. No name is used twice, be it by two players.
        """
        raise NotImplementedError

    def check(self) -> None:
        """See to it that all is there that training needs beside the pictures; nothing has been written yet.

        Raises:
            ValueError: something is missing; says what to install or give.
        """

    def after_step(self, player: str, stats: Stats) -> None:
        """What a method changes by itself once a player has moved (clipping, adaptive weights)."""

    def count(self, submodule: str) -> int:
        """Parameters of one submodule."""
        return sum(p.numel() for p in self.get_submodule(submodule).parameters())


def _alone(statistic: Tensor) -> Tensor:
    return statistic
