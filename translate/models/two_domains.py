"""Two generators, two discriminators, and the way there and back: what CycleGAN, DiscoGAN and DualGAN share."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from translate.batch import Batch, Images, Losses, Stats
from translate.losses import OBJECTIVES, l1
from translate.models.base import Model
from translate.models.parts import GanSettings, discriminate, make_critic, make_generator
from translate.networks import Critic
from translate.networks.blocks import init_weights
from translate.sizes import Size


class TwoDomainSettings(GanSettings):
    """What two domains need beside networks and game."""

    lambda_cycle: float = Field(10.0, ge=0, description="weight of a picture's difference after the way and back")
    lambda_identity: float | None = Field(
        None,
        ge=0,
        description="a target given to the generator should stay as it is, which keeps colours: weight as a share of "
        "--lambda-cycle (default: 0.5, or 0 where source and target differ in channels)",
    )
    pool: int = Field(
        50, ge=0, le=100_000, description="past fakes of each side that the discriminator is shown among new ones"
    )


class TwoDomains(Model):
    """Each side has a generator towards it and a discriminator of it; names with `_back` are those of the source's.

    A method is this with its own settings, order of players, distance, and terms.
    """

    settings_class = TwoDomainSettings
    data = "unpaired"
    reversible = True
    players = {  # noqa: RUF012
        "generator": ("generator", "generator_back"),
        "discriminator": ("discriminator", "discriminator_back"),
    }
    pooled = {"discriminator": ("fake", "fake_back")}  # noqa: RUF012
    deployed = ("generator", "generator_back")

    def __init__(self, settings: TwoDomainSettings, *, source_channels: int, target_channels: int, size: Size) -> None:
        """
        Raises:
            ValueError: networks that do not fit, or an identity term between pictures of unlike channels.
        """
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        alike = source_channels == target_channels
        if settings.lambda_identity and not alike:
            raise ValueError(
                f"--lambda-identity gives targets to a network for sources, and these have {target_channels} and "
                f"{source_channels} channels: set it to 0, or make them alike with --source-channels or "
                "--target-channels"
            )
        if settings.lambda_identity and not settings.lambda_cycle:
            raise ValueError("--lambda-identity is a share of --lambda-cycle, which is 0: set both, or neither")
        share = 0.5 * alike if settings.lambda_identity is None else settings.lambda_identity
        self.lambda_gan = settings.lambda_gan
        self.lambda_cycle = settings.lambda_cycle
        self.lambda_identity = share * settings.lambda_cycle
        self.objective = OBJECTIVES[settings.objective]
        self.pool = settings.pool
        self.joint = not settings.mixes_batch
        self.generator = make_generator(settings, source_channels, target_channels, size=size)
        self.generator_back = make_generator(settings, target_channels, source_channels, size=size)
        self.discriminator = make_critic(settings, target_channels, size=size)
        self.discriminator_back = make_critic(settings, source_channels, size=size)
        init_weights(self, kind=settings.init)

    def forward(self, image: Tensor) -> Tensor:
        return self.generator(image)

    def reverse(self) -> nn.Module:
        return self.generator_back

    def translate(self, batch: Batch) -> Images:
        images = self._one_way("", self.generator, batch.source, batch.target)
        images |= self._one_way("_back", self.generator_back, batch.target, batch.source)
        images["cycle"] = self.generator_back(images["fake"])  # a source again
        images["cycle_back"] = self.generator(images["fake_back"])  # a target again
        return images

    def fakes(self, batch: Batch) -> Images:
        return {"fake": self.generator(batch.source), "fake_back": self.generator_back(batch.target)}

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        sides = (("", self.discriminator, batch.target), ("_back", self.discriminator_back, batch.source))
        losses: Losses = {}
        stats: Stats = {}
        if player == "discriminator":
            for side, critic, real in sides:
                fake = images[f"fake{side}"]
                losses[f"d{side}"], seen = discriminate(self.objective, critic, real, fake, together=self.joint)
                stats |= {f"{name}{side}": value for name, value in seen.items()}
            return losses, stats
        for side, critic, real in sides:
            terms = self.deception(critic, real, images[f"fake{side}"])
            if self.lambda_identity:
                terms["g_identity"] = self.lambda_identity * l1(images[f"identity{side}"], real)
            losses |= {f"{name}{side}": value for name, value in terms.items()}
        losses["g_cycle"] = self.lambda_cycle * self.distance(images["cycle"], batch.source)
        losses["g_cycle_back"] = self.lambda_cycle * self.distance(images["cycle_back"], batch.target)
        return losses, stats

    def distance(self, returned: Tensor, original: Tensor) -> Tensor:
        """How far a picture is from itself after the way there and back."""
        return l1(returned, original)

    def deception(self, critic: Critic, real: Tensor, fake: Tensor) -> Losses:
        """The terms by which a generator has to please the discriminator of its side."""
        return {"g_gan": self.lambda_gan * self.objective.generator(critic(fake).logits)}

    def _one_way(self, side: str, generator: nn.Module, picture: Tensor, other: Tensor) -> Images:
        """The translation of `picture`, and what `generator` makes of one that already is as it should be."""
        fake, identity = f"fake{side}", f"identity{side}"
        if not self.lambda_identity:
            return {fake: generator(picture)}
        if not self.joint:
            return {fake: generator(picture), identity: generator(other)}
        made = generator(torch.cat([picture, other]))
        return {fake: made[: len(picture)], identity: made[len(picture) :]}
