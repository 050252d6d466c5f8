"""Settings of networks and game that the methods share, and how both are built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from translate.fields import OneOf
from translate.models.game_settings import GameSettings
from translate.networks import DISCRIMINATORS, GENERATORS, Discriminator
from translate.networks.augment import DiffAugment
from translate.networks.blocks import INITS
from translate.networks.discriminator import JOINS
from translate.sizes import Size

USES = (*JOINS, "auxiliary")  # ways in which a discriminator may use a label or text


class GanSettings(GameSettings):
    """Choice of networks and game. A method inherits it, and lists the defaults that it was published with.

    The networks' own settings are beside their classes: `make` adds those of the chosen networks.
    """

    parts: ClassVar[Mapping[str, Any]] = {"generator": GENERATORS, **GameSettings.parts}

    generator: Annotated[str, OneOf(GENERATORS)] = Field("unet", description="generator network")
    init: Annotated[str, OneOf(INITS)] = Field("normal", description="initial weights: N(0, 0.02), or Xavier x 0.02")


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
    settings: GameSettings,
    channels: int,
    *,
    size: Size,
    spatial: int = 0,
    norm: str | None = None,
    code: int = 0,
    join: str | None = None,
    classes: int = 0,
    segments: int = 0,
) -> Discriminator:
    """A discriminator of pictures of `channels` channels, with a spatial condition of `spatial` ones before them.

    Args:
        norm: instead of that of the settings.
        code, join: length of the code, and how the discriminator uses it: see `Discriminator`.
        classes: of an auxiliary classifier; 0 for none.
        segments: classes of the label map, for a discriminator that labels pixels; 0 without one.

    Raises:
        ValueError: as `make_generator`.
    """
    chosen = DISCRIMINATORS[settings.discriminator]
    use = join or ("auxiliary" if classes else None)
    _check_code(settings.discriminator, use, chosen=hasattr(settings, "label_loss"))
    arguments = chosen.settings.arguments(settings)
    if norm is not None and "norm" in arguments:
        arguments["norm"] = norm
    # what only some networks have to know
    before = spatial + (JOINS[join] if join else 0)  # channels that are no picture
    arguments |= {name: value for name, value in (("spatial", before), ("segments", segments)) if name in chosen.takes}
    network = chosen(before + channels, size=size, **arguments)
    augment = DiffAugment(settings.augment) if settings.augment else None
    return Discriminator(network, augment=augment, code=code, join=join, classes=classes)


def _check_code(name: str, use: str | None, *, chosen: bool) -> None:
    """
    Args:
        use: of a label or text, if the model has one.
        chosen: the use is a setting.

    Raises:
        ValueError: a discriminator that cannot use a label or text in this way; names those that can.
    """
    able = {other: getattr(network.settings, "codes", USES) for other, network in DISCRIMINATORS.items()}
    if use is None or use in able[name]:
        return
    others = " or ".join(other for other, uses in able.items() if use in uses)
    ways = f"--label-loss {' or '.join(able[name])}, or " if chosen and able[name] else ""
    raise ValueError(
        f"--discriminator {name} cannot use a label or text by {use}, and would not see it: use {ways}--discriminator "
        f"{others}"
    )
