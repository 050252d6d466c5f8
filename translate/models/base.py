"""What every translation method is: its networks, its games, and the further losses that train them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Conditions, DataNeeds
from translate.draws import Draw
from translate.models.game import Game
from translate.settings import DataKind, ModelSettings
from translate.sizes import Size

NOTHING = Conditions()


class DataShape(NamedTuple):
    """What a model is built for."""

    source_channels: int
    target_channels: int
    size: Size  # of the training crops
    conditions: Conditions = NOTHING  # labels, texts and codes beside the pictures


class Model(nn.Module):
    """One method. Owns no optimiser, no path, no flag, no device and no random state; the loop owns no method.

    A subclass builds its networks and games in `__init__(settings, shape)`, and says in `players` in which order who
    trains which submodules.
    """

    settings_class: ClassVar[type[ModelSettings]] = ModelSettings
    summary: ClassVar[str] = ""  # one line for `translate models`
    data: ClassVar[DataKind] = "pairs"  # what it is trained on
    same_channels: ClassVar[bool] = False  # whether source and target need as many channels
    reversible: ClassVar[bool] = False  # whether `reverse` has an answer
    players: dict[str, tuple[str, ...]]  # in order of their steps: player -> submodules that it trains
    deployed: tuple[str, ...] = ("generator",)  # submodules that `forward` needs, and a model file holds
    inputs: tuple[str, ...] = ("image",)  # arguments of `forward`; no image where `data` is "targets"
    scale: int = 1  # output size over input size, as `enlarges` says

    def __init__(self) -> None:
        super().__init__()
        self.steps_per_iteration: dict[str, int] = {}  # player -> each on batches of its own; 1 where not named

    @property
    def games(self) -> list[Game]:
        """Those that it plays: none, one or several."""
        return [child for child in self.children() if isinstance(child, Game)]

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        """What of the data beside its pictures a model of these settings is trained on."""
        return DataNeeds()

    @classmethod
    def enlarges(cls, settings: Any) -> int:
        """What `scale` is of a model of these settings. Training crops are the target's, the source's are 1/scale."""
        return 1

    def check(self) -> None:
        """See to it that all is there that training needs beside the pictures; nothing has been written yet.

        Raises:
            ValueError: something is missing; says what to install or give.
        """

    def forward(self, image: Tensor, *_: Any, **condition: Any) -> Tensor:
        """Inference, and exactly what is exported: `[B, Cs, H, W]` -> `[B, Ct, H * scale, W * scale]`, in [-1, 1].

        `condition` has the tensors that `inputs` names beside the image, as `Conditions.encode` makes them, `[B, ...]`.
        """
        raise NotImplementedError

    def code(self, **condition: Tensor) -> Tensor | None:
        """What modulates a conditioned generator, `[B, D]`: `forward` is `generator(image, code)`. None: nothing."""
        return None

    def reverse(self) -> nn.Module:
        """The network of the other way, target to source, where a method trains one."""
        raise NotImplementedError

    def draws(self) -> dict[str, Draw]:
        """The small random numbers that each example of a training step needs; they come in `Batch.draws`."""
        return {name: draw for game in self.games for name, draw in game.draws().items()}

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        """A training pass of the generators, graph kept: what these players need. Pure, but for dropout."""
        raise NotImplementedError

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """The named, weighted terms of one player's objective, and figures to look at. No name is used twice.

        Pure, but for the pools of past fakes.
        """
        raise NotImplementedError

    def count(self, submodule: str) -> int:
        """Parameters of one submodule."""
        return sum(p.numel() for p in self.get_submodule(submodule).parameters())
