"""BicycleGAN: many outputs for one source, told apart by a latent code (Zhu, Zhang, Pathak et al. 2017)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from translate.batch import Batch, Images, Losses, Stats
from translate.conditions import Asks, Conditions
from translate.losses import OBJECTIVES, kl_normal, l1
from translate.models.parts import GanSettings, discriminate, make_critic, make_generator
from translate.models.perceptual import PerceptualSettings
from translate.models.steering import Steered
from translate.networks.blocks import init_weights
from translate.networks.image_encoder import ImageEncoder
from translate.settings import ModelSettings
from translate.sizes import Size


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
    - the discriminators move first; there generator and encoder do. In the first release the generator then moves once
      more, for the latent term alone; later, as here, this term is part of its one move.
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


class BicycleGAN(Steered):
    """cVAE-GAN: the target's own code has to give the target. cLR-GAN: a drawn code has to be read off its output.

    Each has its own discriminator, of pictures alone, as published. These move first.
    """

    settings_class = BicycleGANSettings
    summary = "paired translation with many answers: a latent code tells them apart (Zhu 2017b)"
    players = {  # noqa: RUF012
        "discriminator": ("discriminator", "discriminator_drawn"),
        "generator": ("generator", "encoder"),
    }

    def __init__(
        self,
        settings: BicycleGANSettings,
        *,
        source_channels: int,
        target_channels: int,
        size: Size,
        conditions: Conditions,
    ) -> None:
        super().__init__(
            settings,
            source_channels=source_channels,
            target_channels=target_channels,
            size=size,
            conditions=conditions,
        )
        self.objective = OBJECTIVES[settings.objective]
        self.joint = not settings.mixes_batch
        self.lambda_gan, self.lambda_l1 = settings.lambda_gan, settings.lambda_l1
        self.lambda_kl, self.lambda_latent = settings.lambda_kl, settings.lambda_latent
        self.perceptual = settings.perceptual_term(channels=target_channels)
        self.z = settings.z
        self.generator = make_generator(settings, source_channels, target_channels, size=size, code=self.z)
        self.encoder = ImageEncoder(target_channels, 2 * self.z, width=settings.encoder_width, size=size)
        self.discriminator = make_critic(settings, target_channels, size=size)
        self.discriminator_drawn = make_critic(settings, target_channels, size=size)
        init_weights(self, kind=settings.init)

    @classmethod
    def asks(cls, settings: ModelSettings) -> Asks:
        assert isinstance(settings, BicycleGANSettings)
        return Asks(z=settings.z)

    def check(self) -> None:
        if self.perceptual is not None:
            self.perceptual.check()

    def code(self, **condition: Tensor) -> Tensor:
        """What the generator gets of a condition: the code itself."""
        return condition["z"]

    def translate(self, batch: Batch) -> Images:
        mean, logvar = self._read(batch.target)
        of_target, drawn = batch.draw(torch.randn, 2, self.z).to(mean).unbind(1)  # [B, z] each
        own = mean + (0.5 * logvar).exp() * of_target
        return {
            "fake": self._made(batch, own),
            "drawn": self._made(batch, drawn),
            "z": drawn,
            "mean": mean,
            "logvar": logvar,
        }

    def losses(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        sides = (("", self.discriminator, images["fake"]), ("_drawn", self.discriminator_drawn, images["drawn"]))
        losses: Losses = {}
        stats: Stats = {}
        for side, critic, fake in sides:
            if player == "discriminator":
                loss, seen = discriminate(self.objective, critic, batch.target, fake, together=self.joint)
                losses[f"d{side}"] = loss
                stats |= {f"{name}{side}": value for name, value in seen.items()}
            else:
                losses[f"g_gan{side}"] = self.lambda_gan * self.objective.generator(critic(fake).logits)
        if player == "generator":
            losses["g_l1"] = self.lambda_l1 * l1(images["fake"], batch.target, weight=batch.valid)
            if self.perceptual is not None:  # of the target's own code alone, as L1
                losses["g_perceptual"] = self.perceptual(images["fake"], batch.target)
            losses["g_kl"] = self.lambda_kl * kl_normal(images["mean"], images["logvar"])
            # the generator has to make its code readable; an encoder that met it half-way would hide it in the picture
            frozen = {name: tensor.detach() for name, tensor in self.encoder.named_parameters()}
            read = functional_call(self.encoder, frozen, (images["drawn"],)).chunk(2, 1)[0]
            losses["g_latent"] = self.lambda_latent * (read.float() - images["z"].float()).abs().mean()
        return losses, stats

    def _read(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance `[B, z]` of the code of a target."""
        read = self.encoder(picture)
        mean, logvar = read.to(torch.promote_types(read.dtype, torch.float32)).chunk(2, 1)
        return mean, logvar

    def _made(self, batch: Batch, code: Tensor) -> Tensor:
        made: Tensor = self.generator(batch.source, code)
        return made if batch.valid is None else torch.where(batch.valid, made, batch.target.to(made.dtype))
