"""Two generators, two discriminators, and the way there and back: what CycleGAN, DiscoGAN and DualGAN share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import l1
from translate.models.base import DataShape, Model
from translate.models.game import Game
from translate.models.parts import GanSettings, make_discriminator, make_generator
from translate.models.perceptual import ContentSettings
from translate.networks.blocks import init_weights, mixes_batch
from translate.networks.discriminator import Shown


class TwoDomainSettings(ContentSettings, GanSettings):
    """What two domains need beside networks and game."""

    published = {"pool": 50}  # noqa: RUF012

    lambda_cycle: float = Field(10.0, ge=0, description="weight of a picture's difference after the way and back")
    lambda_identity: float | None = Field(
        None,
        ge=0,
        description="a target given to the generator should stay as it is, which keeps colours: weight as a share of "
        "--lambda-cycle (default: 0.5, or 0 where source and target differ in channels)",
    )


class TwoDomains(Model):
    """Each side has a generator towards it and a game about it; names with `_back` are those of the source's side.

    A method is this with its own settings, order of players and distance.
    """

    settings_class = TwoDomainSettings
    data = "unpaired"
    reversible = True
    players = {  # noqa: RUF012
        "generator": ("generator", "generator_back"),
        "discriminator": ("discriminator", "discriminator_back"),
    }
    deployed = ("generator", "generator_back")
    distance: Callable[[Tensor, Tensor], Tensor] = staticmethod(l1)  # of a picture from itself after the way and back

    def __init__(self, settings: TwoDomainSettings, shape: DataShape) -> None:
        """
        Raises:
            ValueError: networks that do not fit, or an identity term between pictures of unlike channels.
        """
        super().__init__()
        source, target, size = shape.source_channels, shape.target_channels, shape.size
        if settings.lambda_identity and source != target:
            raise ValueError(
                f"--lambda-identity gives targets to a network for sources, and these have {target} and "
                f"{source} channels: set it to 0, or make them alike with --source-channels or "
                "--target-channels"
            )
        if settings.lambda_identity and not settings.lambda_cycle:
            raise ValueError("--lambda-identity is a share of --lambda-cycle, which is 0: set both, or neither")
        share = 0.5 * (source == target) if settings.lambda_identity is None else settings.lambda_identity
        self.lambda_cycle = settings.lambda_cycle
        self.lambda_identity = share * settings.lambda_cycle
        self.content = settings.content_term(source, target)
        self.generator = make_generator(settings, source, target, size=size)
        self.generator_back = make_generator(settings, target, source, size=size, takes=("target",))
        self.discriminator = make_discriminator(settings, target, size=size)
        self.discriminator_back = make_discriminator(settings, source, size=size, takes=("source",))
        self.together = not mixes_batch(self.generator)
        self.game = Game(self.discriminator, settings)
        self.game_back = Game(self.discriminator_back, settings, suffix="_back")
        init_weights(self, kind=settings.init)

    def check(self) -> None:
        super().check()
        if self.content is not None:
            self.content.check()

    def forward(self, image: Tensor) -> Tensor:
        return self.generator(image)

    def reverse(self) -> nn.Module:
        return self.generator_back

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        if "generator" not in players:
            return {"fake": self.generator(batch.source), "fake_back": self.generator_back(batch.target)}
        images = self._one_way("", self.generator, batch.source, batch.target)
        images |= self._one_way("_back", self.generator_back, batch.target, batch.source)
        images["cycle"] = self.generator_back(images["fake"])  # a source again
        images["cycle_back"] = self.generator(images["fake_back"])  # a target again
        return images

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        losses: Losses = {}
        stats: Stats = {}
        for game, picture in ((self.game, batch.target), (self.game_back, batch.source)):
            real, fake = Shown(picture), Shown(images[f"fake{game.suffix}"])
            play = game.discriminator if player == "discriminator" else game.generator
            terms = play(real, fake, draws=batch.draws)
            losses |= terms.losses
            stats |= terms.stats
            if player == "generator" and self.lambda_identity:
                identity = l1(images[f"identity{game.suffix}"], picture)
                losses[f"g_identity{game.suffix}"] = self.lambda_identity * identity
        if player == "generator":
            losses["g_cycle"] = self.lambda_cycle * self.distance(images["cycle"], batch.source)
            losses["g_cycle_back"] = self.lambda_cycle * self.distance(images["cycle_back"], batch.target)
            if self.content is not None:
                losses["g_content"] = self.content(images["fake"], batch.source)
                losses["g_content_back"] = self.content(images["fake_back"], batch.target)
        return losses, stats

    def _one_way(self, suffix: str, generator: nn.Module, picture: Tensor, other: Tensor) -> Images:
        """The translation of `picture`; and of `other`, a picture of the output side (identity term)."""
        fake, identity = f"fake{suffix}", f"identity{suffix}"
        if not self.lambda_identity:
            return {fake: generator(picture)}
        if not self.together:
            return {fake: generator(picture), identity: generator(other)}
        made = generator(torch.cat([picture, other]))
        return {fake: made[: len(picture)], identity: made[len(picture) :]}
