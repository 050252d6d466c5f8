"""CUT and FastCUT: one-sided unpaired translation by contrast between patches (Park, Efros, Zhang, Zhu 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats
from translate.draws import Draw
from translate.losses import patch_nce
from translate.models.base import DataShape, Model
from translate.models.game import Game
from translate.models.parts import GanSettings, make_discriminator, make_generator
from translate.models.perceptual import ContentSettings
from translate.networks.blocks import init_weights, mixes_batch
from translate.networks.discriminator import Shown
from translate.networks.heads import PatchHeads
from translate.networks.network import Featured
from translate.networks.reference import along


class CUTSettings(ContentSettings, GanSettings):
    """The published settings: anti-aliased ResNet and PatchGAN, Xavier weights, PatchNCE with identity, 400 epochs."""

    published = {  # noqa: RUF012
        "generator": "resnet",
        "upsample": "antialiased",
        "downsample": "antialiased",
        "init": "xavier",
        "epochs": 400.0,
    }

    lambda_nce: float = Field(1.0, ge=0, description="weight of the contrast between patches (PatchNCE)")
    nce_identity: bool = Field(
        True, description="the same contrast for targets given to the generator, averaged with that for sources"
    )
    nce_patches: int = Field(
        256, ge=2, le=1_000_000, description="places of a picture that are compared, on each layer"
    )
    nce_temperature: float = Field(0.07, gt=0, description="temperature of the contrast")
    nce_width: int = Field(256, ge=1, le=65_536, description="channels in which patches are compared")
    flip_equivariance: bool = Field(
        False, description="mirror half of the sources, and compare with the features of the unmirrored"
    )

    @field_validator("noise_planes")
    @classmethod
    def _without_noise(cls, value: int) -> int:
        if value:
            raise ValueError(
                "patches are compared by the generator's encoder, which would see other noise beside source and "
                "output: leave it out"
            )
        return value

    def unused(self) -> dict[str, str]:
        contrast = ("nce_identity", "nce_patches", "nce_temperature", "nce_width")
        return super().unused() | ({} if self.lambda_nce else dict.fromkeys(contrast, "with --lambda-nce 0"))


class Pass(NamedTuple):
    """A picture's way through the generator, and the encoder's features at both ends."""

    made: Tensor  # [B, C, H, W]
    of_input: list[Tensor]  # of each layer [B, Ci, Hi, Wi]
    of_output: list[Tensor]


class CUT(Model):
    """A patch of the output should resemble its own patch of the source more than all others. D makes its step first.

    The features compared are those of the generator's own encoder, each layer's through a small head of its own.
    """

    settings_class = CUTSettings
    summary = "unpaired translation, one way: contrast between patches (Park 2020)"
    data = "unpaired"
    same_channels = True  # outputs go through the encoder of sources
    players = {"discriminator": ("discriminator",), "generator": ("generator", "heads")}  # noqa: RUF012

    generator: Any  # `Featured`

    def __init__(self, settings: CUTSettings, shape: DataShape) -> None:
        """
        Raises:
            ValueError: networks that do not fit, or source and target of unlike channels.
        """
        super().__init__()
        channels, size = shape.source_channels, shape.size
        if channels != shape.target_channels:
            raise ValueError(
                f"the outputs ({shape.target_channels} channels) go through the encoder of the sources ({channels}), "
                "so both need as many: use --source-channels or --target-channels"
            )
        self.settings = settings
        self.content = settings.content_term(channels)
        self.generator = make_generator(settings, channels, channels, size=size)
        self.together = not mixes_batch(self.generator)
        if not isinstance(self.generator, Featured):
            raise ValueError(f"--generator {settings.generator} gives no features to compare patches by: use another")
        self.heads = PatchHeads(self.generator.feature_channels, width=settings.nce_width)
        self.discriminator = make_discriminator(settings, channels, size=size)
        self.game = Game(self.discriminator, settings)
        with torch.device("meta"), torch.no_grad():
            twin: Any = make_generator(settings, channels, channels, size=size).eval()
            features = twin.encode(torch.empty(1, channels, *size))
        self._places = [feature.shape[-2] * feature.shape[-1] for feature in features]  # of each layer
        init_weights(self, kind=settings.init)

    def check(self) -> None:
        super().check()
        if self.content is not None:
            self.content.check()

    def forward(self, image: Tensor) -> Tensor:
        return self.generator(image)

    def draws(self) -> dict[str, Draw]:
        """Positions `[P]` on each layer: all different, `nce_patches` of them or as many as there are; and a coin."""
        count = self.settings.nce_patches
        own = {f"positions_{i}": Draw("permutation", (count,), high=high) for i, high in enumerate(self._places)}
        return super().draws() | own | ({"mirrored": Draw("uniform")} if self.settings.flip_equivariance else {})

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        """Besides `fake` and `identity` there are the projected patches of both: `query_0`, `key_0`, ... `[B, P, C]`,
        one for each layer, `identity_query_0`, ...
        """
        mirrored = batch.draws["mirrored"] < 0.5 if self.settings.flip_equivariance else None
        source = batch.source if mirrored is None else _mirror(batch.source, mirrored)
        if "generator" not in players:
            return {"fake": self.generator(source)}
        forth, *same = self._passes([source, batch.target] if self.settings.nce_identity else [source])
        if mirrored is not None:
            with torch.no_grad():
                unmirrored = self._encoded(batch.source)
            forth = Pass(forth.made, unmirrored, [_mirror(feature, mirrored) for feature in forth.of_output])
        positions = [batch.draws[f"positions_{i}"] for i in range(len(self._places))]
        images = {"fake": forth.made} | self._patches("", forth, positions)
        if self.content is not None:
            images["translated"] = source  # mirrored as the generator saw it
        for kept in same:
            images |= {"identity": kept.made} | self._patches("identity_", kept, positions)
        return images

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        real, fake = Shown(batch.target), Shown(images["fake"])
        if player == "discriminator":
            terms = self.game.discriminator(real, fake, draws=batch.draws)
            return terms.losses, terms.stats
        losses, stats, *_ = self.game.generator(real, fake, draws=batch.draws)
        weight = self.settings.lambda_nce * (0.5 if self.settings.nce_identity else 1.0)
        losses["g_nce"] = weight * self._contrast("", images)
        if self.settings.nce_identity:
            losses["g_nce_identity"] = weight * self._contrast("identity_", images)
        if self.content is not None:
            losses["g_content"] = self.content(images["fake"], images["translated"])
        return losses, stats

    def _passes(self, pictures: list[Tensor]) -> list[Pass]:
        """What the generator makes of each of `pictures`, `[B, C, H, W]`; together where the norm keeps them apart."""
        if not self.together:
            return [self._pass(picture) for picture in pictures]
        whole, count = self._pass(torch.cat(pictures)), len(pictures)
        each = zip(*(tensor.chunk(count) for tensor in (whole.made, *whole.of_input, *whole.of_output)), strict=True)
        layers = len(whole.of_input)
        return [Pass(made, list(rest[:layers]), list(rest[layers:])) for made, *rest in each]

    def _pass(self, picture: Tensor) -> Pass:
        made, features = along(self.generator, self.generator.forward_with_features, picture)
        return Pass(made, features, self._encoded(made))

    def _encoded(self, picture: Tensor) -> list[Tensor]:
        """The encoder's features, of each layer `[B, Ci, Hi, Wi]`."""
        features: list[Tensor] = along(self.generator, self.generator.encode, picture)
        return features

    def _patches(self, kind: str, through: Pass, positions: list[Tensor]) -> Images:
        """The projected patches of output and input at the same places; no gradient goes to those of the input."""
        query = self.heads(through.of_output, positions)
        # after the queries: older torch kept weights that autocast had converted without a gradient
        with torch.no_grad():
            key = self.heads([feature.detach() for feature in through.of_input], positions)
        return _named(f"{kind}query", query) | _named(f"{kind}key", key)

    def _contrast(self, kind: str, images: Images) -> Tensor:
        """PatchNCE, the mean over the layers."""
        temperature = self.settings.nce_temperature
        terms = [
            patch_nce(images[f"{kind}query_{i}"], images[f"{kind}key_{i}"], temperature=temperature)
            for i in range(len(self._places))
        ]
        return torch.stack(terms).mean()


class FastCUTSettings(CUTSettings):
    """The published lighter variant: a stronger contrast, no identity, mirrored sources, 200 epochs."""

    published = {  # noqa: RUF012
        "lambda_nce": 10.0,
        "nce_identity": False,
        "flip_equivariance": True,
        "epochs": 200.0,
        "decay_start": 0.75,
    }


class FastCUT(CUT):
    """CUT with other settings: less memory, and half of the training."""

    settings_class = FastCUTSettings
    summary = "unpaired translation, one way: CUT without the identity term, lighter (Park 2020)"


def _mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """`[B, C, H, W]` with those marked in `mirrored` `[B]` flipped left to right."""
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def _named(name: str, tensors: Sequence[Tensor]) -> Images:
    return {f"{name}_{i}": tensor for i, tensor in enumerate(tensors)}
