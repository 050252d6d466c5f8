"""DiscoGAN: cross-domain relations from unpaired pictures (Kim, Cha, Kim, Lee, Kim 2017)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from translate.batch import Losses
from translate.losses import feature_matching, mse
from translate.models.two_domains import TwoDomains, TwoDomainSettings
from translate.networks import Critic
from translate.sizes import Size


class DiscoGANSettings(TwoDomainSettings):
    """Encoder-decoders, discriminators of whole pictures, cross-entropy, squared reconstruction, feature matching.

    The weights are those of the published code's later phase, over 0.5; that of its first 10,000 steps (nearly no
    reconstruction) is left out, and so is its pace of two generator steps for each of the discriminators. Published at
    64 pixels with batches of 200, which few machines hold.
    """

    published = {  # noqa: RUF012
        "generator": "encoder-decoder",
        "discriminator": "dcgan",
        "norm": "batch",
        "objective": "vanilla",
        "batch": 16,
        "lambda_gan": 0.1,
        "lambda_cycle": 1.0,
        "lambda_identity": 0.0,
        "pool": 0,
    }

    lambda_features: float = Field(0.9, ge=0, description="weight of the discriminators' mean features being alike")


class DiscoGAN(TwoDomains):
    """The players of CycleGAN with other terms: no identity, no pool, D's features instead of its verdict alone."""

    settings_class = DiscoGANSettings
    summary = "unpaired translation, both ways: squared reconstruction, feature matching (Kim 2017)"

    def __init__(self, settings: DiscoGANSettings, *, source_channels: int, target_channels: int, size: Size) -> None:
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        self.lambda_features = settings.lambda_features

    def distance(self, returned: Tensor, original: Tensor) -> Tensor:
        return mse(returned, original)

    def deception(self, critic: Critic, real: Tensor, fake: Tensor) -> Losses:
        on_real, on_fake = critic.both(real, fake, together=self.joint)
        # but for the outermost layer, as published
        features = feature_matching(on_real.features[1:], on_fake.features[1:], across=self.across)
        return {
            "g_gan": self.lambda_gan * self.objective.generator(on_fake.logits),
            "g_features": self.lambda_features * features,
        }
