"""Settings of networks and game that the methods share, and how both are built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from translate.fields import OneOf
from translate.losses import OBJECTIVES
from translate.models.game_settings import GameSettings
from translate.networks import DISCRIMINATORS, GENERATORS, Discriminator
from translate.networks.augment import DiffAugment
from translate.networks.blocks import INITS
from translate.networks.discriminator import JOINS
from translate.networks.noise import NoisePlanes
from translate.networks.reference import needs_reference, refer, refer_calls
from translate.sizes import Size

USES = (*JOINS, "auxiliary")  # ways in which a discriminator may use a label or text


class GanSettings(GameSettings):
    """Choice of networks and game. A method inherits it, and lists the defaults that it was published with.

    The networks' own settings are beside their classes: `make` adds those of the chosen networks.
    """

    parts: ClassVar[Mapping[str, Any]] = {"generator": GENERATORS, **GameSettings.parts}

    generator: Annotated[str, OneOf(GENERATORS)] = Field("unet", description="generator network")
    noise_planes: int = Field(
        0,
        ge=0,
        le=256,
        description="planes of noise that the generator sees beside its source, drawn for each pixel: many outputs for "
        "one source, chosen by a seed",
    )
    init: Annotated[str, OneOf(INITS)] = Field("normal", description="initial weights: N(0, 0.02), or Xavier x 0.02")


def make_generator(
    settings: GanSettings,
    inputs: int,
    outputs: int,
    *,
    size: Size,
    code: int = 0,
    takes: tuple[str, ...] = ("source",),
) -> nn.Module:
    """A network from pictures of `inputs` channels to pictures of `outputs` channels.

    Args:
        code: length of the vector that modulates it; 0 for none.
        takes: the tensors of a batch that are its inputs, for a reference batch: the picture, and the code if it is
            drawn and not encoded.

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
    planes = settings.noise_planes
    made = network(inputs + planes, outputs, size=size, **arguments)
    made = NoisePlanes(made, planes) if planes else made
    shapes = dict(zip(takes, [(inputs, *size), (code,)], strict=False))
    give_reference(made, settings, shapes, encoded=bool(code) and len(takes) == 1)
    return made


def give_reference(
    generator: nn.Module, settings: GameSettings, shapes: Mapping[str, tuple[int, ...]], *, encoded: bool
) -> None:
    """A reference batch for the generator's norms, if they need one.

    Args:
        shapes: of an example's inputs, by the names of the batch's tensors.
        encoded: it also takes what is computed of others, as the code of a label or text.

    Raises:
        ValueError: it does: that would have to be computed anew at each step.
    """
    if not needs_reference(generator):
        return
    if encoded:
        raise ValueError(
            f"--norm {getattr(settings, 'norm', 'reference')} of a generator needs a reference batch, which holds "
            "pictures and plain noise alone: use another --norm, or leave out labels, texts and codes"
        )
    refer_calls(generator, shapes, count=settings.reference_batch)


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
    code: int = 0,
    join: str | None = None,
    classes: int = 0,
    segments: int = 0,
    read: int = 0,
    takes: tuple[str, ...] | None = None,
) -> Discriminator:
    """A discriminator of pictures of `channels` channels, with a spatial condition of `spatial` ones before them.

    Args:
        code, join: length of the code, and how the discriminator uses it: see `Discriminator`.
        classes: of an auxiliary classifier; 0 for none.
        segments: classes of the label map, for a discriminator that labels pixels; 0 without one.
        read: numbers that a head reads off the picture; 0 for none.
        takes: the tensors of a batch that it sees of real pictures, for a reference batch: source and target, or the
            target alone, by default.

    Raises:
        ValueError: as `make_generator`.
    """
    chosen = DISCRIMINATORS[settings.discriminator]
    use = join or ("auxiliary" if classes else None)
    _check_code(settings, use, chosen=hasattr(settings, "label_loss"))
    arguments = chosen.settings.arguments(settings)
    # what only some networks have to know
    before = spatial + (JOINS[join] if join else 0)  # channels that are no picture
    arguments |= {name: value for name, value in (("spatial", before), ("segments", segments)) if name in chosen.takes}
    network = chosen(before + channels, size=size, **arguments)
    augment = DiffAugment(settings.augment) if settings.augment else None
    discriminator = Discriminator(network, augment=augment, code=code, join=join, classes=classes, read=read)
    if needs_reference(network):
        if discriminator.planes is not None:
            raise ValueError(
                f"--label-loss {join} gives labels and texts to the discriminator at its input, and its reference "
                "batch holds none: use --label-loss projection, or another norm"
            )
        widths = [spatial, channels] if spatial else [channels]
        names = takes or (("source", "target") if spatial else ("target",))
        shapes = {name: (width, *size) for name, width in zip(names, widths, strict=True)}
        refer(network, discriminator, shapes, count=settings.reference_batch)
    return discriminator


def _check_code(settings: GameSettings, use: str | None, *, chosen: bool) -> None:
    """
    Args:
        use: of a label or text, if the model has one.
        chosen: the use is a setting.

    Raises:
        ValueError: a discriminator that cannot use a label or text in this way; names those that can.
    """
    name = settings.discriminator
    able = {other: getattr(network.settings, "code_uses", USES) for other, network in DISCRIMINATORS.items()}
    if use is None or use in able[name]:
        return
    brought = f" (of --objective {settings.objective})" if OBJECTIVES[settings.objective].energy else ""
    others = " or ".join(other for other, uses in able.items() if use in uses)
    ways = f"--label-loss {' or '.join(able[name])}, or " if chosen and able[name] else ""
    raise ValueError(
        f"--discriminator {name}{brought} cannot use a label or text by {use}, and would not see it: use {ways}"
        f"--discriminator {others}"
    )
