"""`Model`: the base class of every method. A method is its networks, its games (`Game`) and its further losses."""

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
    """Channels, size and conditions that a model is built for."""

    source_channels: int
    target_channels: int
    size: Size  # of the training crops
    conditions: Conditions = NOTHING  # labels, texts and codes beside the pictures
    classes: int = 0  # of the source's label map, or else of the target's; 0 without one


class Model(nn.Module):
    """One method: a subclass, which a line in `MODELS` makes known to the command line.

    A subclass has an `__init__(settings, shape)`, which builds networks and games, and `players`, which lists who
    trains which submodules. It implements `forward` (inference), `generate` (the training pass) and `objective` (the
    losses). It holds no optimiser, path, flag, device or random state: these belong to `translate.training`.

    Size and channels: `[B, C, H, W]` float32 in [-1, 1] for all pictures, `Cs` channels of the source and `Ct` of the
    target.
    """

    settings_class: ClassVar[type[ModelSettings]] = ModelSettings
    summary: ClassVar[str] = ""  # one line for `translate models`
    data: ClassVar[DataKind] = "pairs"  # kind of training data
    same_channels: ClassVar[bool] = False  # whether Cs and Ct have to be equal
    reversible: ClassVar[bool] = False  # whether `reverse` returns a network
    players: dict[str, tuple[str, ...]]  # player -> submodules that it trains; in the order of their optimiser steps
    deployed: tuple[str, ...] = ("generator",)  # submodules that `forward` needs; a model file holds these alone
    encoding: tuple[str, ...] = ()  # those of them that only `code_of` needs; files of earlier versions lack them
    inputs: tuple[str, ...] = ("image",)  # names of the arguments of `forward`; without "image" if `data` is "targets"
    classifies: bool = False  # whether `classify` tells classes of targets
    scale: int = 1  # output size over input size; equal to `enlarges(settings)`

    def __init__(self) -> None:
        super().__init__()
        self.steps_per_iteration: dict[
            str, int
        ] = {}  # player -> optimiser steps, each on other batches; default: the settings' pace

    @property
    def games(self) -> list[Game]:
        """Its games: none, one or several."""
        return [child for child in self.children() if isinstance(child, Game)]

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        """Labels, texts or a code that a model of these settings needs beside pictures. By default none."""
        return DataNeeds()

    @classmethod
    def enlarges(cls, settings: Any) -> int:
        """The `scale` of a model of these settings. `--size` is the target's crop; the source's is 1/scale of it."""
        return 1

    def check(self) -> None:
        """Check what training needs beside pictures, such as pretrained weights; before anything is written.

        Raises:
            ValueError: something is missing. The message has what to install or give.
        """
        for game in self.games:
            game.check()

    def forward(self, image: Tensor, *_: Any, **condition: Any) -> Tensor:
        """Inference, and what is exported: `[B, Cs, H, W]` -> `[B, Ct, H * scale, W * scale]`, both in [-1, 1].

        Args:
            condition: a tensor `[B, ...]` for each further name in `inputs`, as `Conditions.encode` makes them.
        """
        raise NotImplementedError

    def code(self, **condition: Tensor) -> Tensor | None:
        """The vector `[B, D]` of a conditioned generator, `generator(image, code)`; None if it is not conditioned."""
        return None

    def code_of(self, picture: Tensor) -> Tensor:
        """The code `z` `[B, Z]` that makes such a picture, `[B, Ct, H, W]`; of models with an `encoding`."""
        raise NotImplementedError

    def reverse(self) -> nn.Module:
        """The network from target to source, `[B, Ct, H, W]` -> `[B, Cs, H, W]`; of `reversible` models."""
        raise NotImplementedError

    def classify(self, picture: Tensor) -> Tensor:
        """Logits `[B, classes]` of the classes of targets `[B, Ct, H, W]`; of models that `classifies`, in training."""
        raise NotImplementedError

    def draws(self) -> dict[str, Draw]:
        """Random numbers of a training step, by name. The loader draws them into `batch.draws`, `[B, ...]` each."""
        return {name: draw for game in self.games for name, draw in game.draws().items()}

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        """The generators' pass in training, with its graph: `fake`, and whatever else the objectives need.

        A pure function of its arguments and the weights, dropout apart.

        Args:
            players: whose objectives follow; what only others need may be left out.
        """
        raise NotImplementedError

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        """One player's objective: weighted terms, scalars whose sum is minimised, and scalars for the journal.

        All names differ, also between players. A pure function of its arguments and the weights, pools apart.

        Args:
            images: what `generate` returned for this batch.
        """
        raise NotImplementedError

    def count(self, submodule: str) -> int:
        """Parameters of one submodule."""
        return sum(p.numel() for p in self.get_submodule(submodule).parameters())
