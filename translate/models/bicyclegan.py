"""BicycleGAN: many outputs for one source, chosen by a latent code (Zhu, Zhang, Pathak et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from translate.batch import Batch, Images, Losses, Stats, with_known
from translate.conditions import DataNeeds
from translate.draws import Draw
from translate.losses import kl_normal, l1
from translate.models.base import DataShape, Model
from translate.models.game import Game
from translate.models.parts import GanSettings, make_discriminator, make_generator
from translate.models.perceptual import PerceptualSettings
from translate.networks.blocks import init_weights
from translate.networks.discriminator import Shown
from translate.networks.image_encoder import ImageEncoder
from translate.settings import ModelSettings


class BicycleGANSettings(PerceptualSettings, GanSettings):
    """The paper's weights: U-Net, least squares, L1 10, KL 0.01, latent L1 0.5, z of 8, two discriminators.

    Other than in paper and code:

    - the code modulates the generator at every layer; there it is planes beside every layer's input.
    - each half has one discriminator, of 70 pixels; there each has two, at full and half size (paper: of 70 and 140).
    - both halves see the same pairs; there a batch of two is dealt out, a pair to each. In the code the drawn picture
      is made of the first pair's source, and held against the second's target.
    - the encoder is plain convolutions without norm; there a ResNet with instance norm.

    Other than in the authors' PyTorch code, from its first release (2017) to its last:

    - the discriminators' cost is halved, as in pix2pix; there it is not, and it is summed over the two sizes.
    - weights start from N(0, 0.02); there from Xavier's, times 0.02 (`--init xavier`).
    - the discriminators make their step first; there generator and encoder do. In the first release the generator then
      makes another one, for the latent term alone; later, as here, this term is part of its one step.
    - KL is the batch's mean; there its sum, over the one pair of that half.
    """

    published = {"generator": "unet"}  # noqa: RUF012

    z: int = Field(8, ge=1, le=65_536, description="numbers of the latent code")
    lambda_l1: float = Field(10.0, ge=0, description="weight of the L1 term, for outputs of the target's own code")
    lambda_kl: float = Field(0.01, ge=0, description="weight that keeps codes of targets near the normal distribution")
    lambda_latent: float = Field(
        0.5, ge=0, description="weight of the L1 between a code and what is read off its output"
    )
    encoder_width: int = Field(64, ge=1, le=4096, description="channels of the encoder's first layer")


class BicycleGAN(Model):
    """cVAE-GAN: the target's own code has to give the target. cLR-GAN: a drawn code has to be read off its output.

    Each has a game of its own, about pictures alone, as published. The discriminators make their step first.
    """

    settings_class = BicycleGANSettings
    summary = "paired translation with many outputs, chosen by a latent code (Zhu 2017b)"
    inputs = ("image", "z")
    deployed = ("generator", "encoder")
    encoding = ("encoder",)
    players = {  # noqa: RUF012
        "discriminator": ("discriminator", "discriminator_drawn"),
        "generator": ("generator", "encoder"),
    }

    def __init__(self, settings: BicycleGANSettings, shape: DataShape) -> None:
        super().__init__()
        target, size = shape.target_channels, shape.size
        self.settings = settings
        self.target_terms = settings.target_terms(channels=target)
        self.generator = make_generator(
            settings, shape.source_channels, target, size=size, code=settings.z, takes=("source", "z_drawn")
        )
        self.encoder = ImageEncoder(target, 2 * settings.z, width=settings.encoder_width, size=size)
        self.discriminator = make_discriminator(settings, target, size=size, segments=shape.classes)
        self.discriminator_drawn = make_discriminator(settings, target, size=size, segments=shape.classes)
        self.game = Game(self.discriminator, settings)
        # an output of a drawn code has no target of its own, whose features it could be held against
        drawn = settings if settings.feature_matching == "mean" else settings.replace(lambda_features=0.0)
        self.game_drawn = Game(self.discriminator_drawn, drawn, suffix="_drawn")
        init_weights(self, kind=settings.init)

    @classmethod
    def data_needs(cls, settings: ModelSettings) -> DataNeeds:
        assert isinstance(settings, BicycleGANSettings)
        return DataNeeds(z=settings.z, segments=settings.labels_pixels)

    def check(self) -> None:
        super().check()
        self.target_terms.check()

    def forward(self, image: Tensor, *, z: Tensor) -> Tensor:
        made: Tensor = self.generator(image, z)
        return made

    def code(self, **condition: Tensor) -> Tensor:
        """The code itself."""
        return condition["z"]

    def code_of(self, picture: Tensor) -> Tensor:
        """The mean of the code's distribution."""
        return self._read(picture)[0]

    def draws(self) -> dict[str, Draw]:
        """Noise of the target's own code, and a random code."""
        return super().draws() | {name: Draw("normal", (self.settings.z,)) for name in ("z_noise", "z_drawn")}

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        mean, logvar = self._read(batch.target)
        own = mean + (0.5 * logvar).exp() * batch.draws["z_noise"].to(mean)
        drawn = batch.draws["z_drawn"].to(mean)
        return {
            "fake": with_known(self.generator(batch.source, own), batch),
            "drawn": with_known(self.generator(batch.source, drawn), batch),
            "mean": mean,
            "logvar": logvar,
        }

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        losses: Losses = {}
        stats: Stats = {}
        for game, fake in ((self.game, images["fake"]), (self.game_drawn, images["drawn"])):
            play = game.discriminator if player == "discriminator" else game.generator
            labels = game.labels(batch)
            terms = play(Shown(batch.target, classes=labels), Shown(fake, classes=labels), draws=batch.draws)
            losses |= terms.losses
            stats |= terms.stats
        if player == "generator":
            losses["g_l1"] = self.settings.lambda_l1 * l1(images["fake"], batch.target, weight=batch.valid)
            losses |= self.target_terms(images["fake"], batch.target)  # of the target's own code alone, as L1
            losses["g_kl"] = self.settings.lambda_kl * kl_normal(images["mean"], images["logvar"])
            # gradients reach the generator alone: a trained encoder would let it hide the code in the picture
            frozen = {name: tensor.detach() for name, tensor in self.encoder.named_parameters()}
            read = functional_call(self.encoder, frozen, (images["drawn"],)).chunk(2, 1)[0]
            difference = read.float() - batch.draws["z_drawn"].float()
            losses["g_latent"] = self.settings.lambda_latent * difference.abs().mean()
        return losses, stats

    def _read(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance `[B, z]` of the code of a target."""
        read = self.encoder(picture)
        mean, logvar = read.to(torch.promote_types(read.dtype, torch.float32)).chunk(2, 1)
        return mean, logvar
