"""Settings of networks and game that the methods share, and how both are built from them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from translate.fields import OneOf
from translate.losses import OBJECTIVES
from translate.models.game import Game
from translate.networks import DISCRIMINATORS, GENERATORS, Discriminator
from translate.networks.augment import DiffAugment
from translate.networks.blocks import INITS
from translate.networks.discriminator import JOINS
from translate.settings import ModelSettings
from translate.sizes import Size


def _known(policy: str | None) -> str | None:
    """
    Raises:
        ValueError: an augmentation that there is none of.
    """
    if policy is not None:
        DiffAugment(policy)
    return policy


Augment = Annotated[
    str | None,
    AfterValidator(_known),
    Field(
        description="what the discriminator sees is changed by color,translation,cutout or some of these "
        "(DiffAugment): for small data"
    ),
]


class GanSettings(ModelSettings):
    """Choice of networks and game. A method inherits it, and lists the defaults that it was published with.

    The networks' own settings are beside their classes: `make` adds those of the chosen networks.
    """

    parts = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}  # noqa: RUF012

    generator: Annotated[str, OneOf(GENERATORS)] = Field("unet", description="generator network")
    discriminator: Annotated[str, OneOf(DISCRIMINATORS)] = Field(
        "patchgan", description="discriminator network; dcgan is for whole pictures"
    )
    init: Annotated[str, OneOf(INITS)] = Field("normal", description="initial weights: N(0, 0.02), or Xavier x 0.02")
    augment: Augment = None
    objective: Annotated[str, OneOf(OBJECTIVES)] = Field(
        "lsgan", description="the game: cross-entropy, least squares, or Wasserstein"
    )
    lambda_gan: float = Field(1.0, ge=0, description="weight of the adversarial term of the generator")

    @model_validator(mode="after")
    def _lipschitz(self) -> Self:
        if self.objective == "wasserstein" and not {"clip", "lambda_gp"} & type(self).model_fields.keys():
            raise ValueError(
                "--objective wasserstein needs critics with clipped weights or a gradient penalty: use the "
                "model dualgan or stargan"
            )
        return self

    @property
    def mixes_batch(self) -> bool:
        """Whether a picture's norm depends on the rest of the batch, so that passes must not be joined."""
        return getattr(self, "norm", None) == "batch"


def make_generator(settings: GanSettings, inputs: int, outputs: int, *, size: Size, code: int = 0) -> nn.Module:
    """A network from pictures of `inputs` channels to pictures of `outputs` channels.

    Args:
        code: length of the vector that modulates it; 0 for none.

    Raises:
        ValueError: settings that do not fit the network or the size, or a code for a network that takes none.
    """
    network = GENERATORS[settings.generator]
    arguments = network.settings.arguments(settings)
    if code:
        if "code" not in network.takes:
            able = " or ".join(name for name, other in GENERATORS.items() if "code" in other.takes)
            raise ValueError(f"--generator {settings.generator} takes no condition: use {able}")
        arguments["code"] = code
    return network(inputs, outputs, size=size, **arguments)


def run_generator(generator: nn.Module, picture: Tensor, code: Tensor | None) -> Tensor:
    """`generator(picture)`, or `generator(picture, code)` if there is a code."""
    made: Tensor = generator(picture) if code is None else generator(picture, code)
    return made


def make_discriminator(
    settings: GanSettings,
    channels: int,
    *,
    size: Size,
    norm: str | None = None,
    code: int = 0,
    join: str | None = None,
    classes: int = 0,
) -> Discriminator:
    """A discriminator of `channels` channels: picture and spatial condition together.

    Args:
        norm: instead of that of the settings.
        code, join: length of the code, and how the discriminator uses it: see `Discriminator`.
        classes: of an auxiliary classifier; 0 for none.

    Raises:
        ValueError: as `make_generator`.
    """
    chosen = DISCRIMINATORS[settings.discriminator]
    arguments = chosen.settings.arguments(settings)
    if norm is not None and "norm" in arguments:
        arguments["norm"] = norm
    network = chosen(channels + (JOINS[join] if join else 0), size=size, **arguments)
    augment = DiffAugment(settings.augment) if settings.augment else None
    return Discriminator(network, augment=augment, code=code, join=join, classes=classes)


def make_game(settings: GanSettings, discriminator: Discriminator, **choices: Any) -> Game:
    """The game of these settings with this discriminator.

    Args:
        choices: further arguments of `Game`: a suffix, a pool, clipping, a penalty, feature matching.
    """
    usual = {"weight": settings.lambda_gan, "together": not settings.mixes_batch}
    return Game(discriminator, OBJECTIVES[settings.objective], **usual | choices)
