"""DiscoGAN: cross-domain relations from unpaired pictures (Kim, Cha, Kim, Lee, Kim 2017)."""

from __future__ import annotations

from translate.losses import mse
from translate.models.two_domains import TwoDomains, TwoDomainSettings


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
        "lambda_features": 0.9,
    }


class DiscoGAN(TwoDomains):
    """The players of CycleGAN with other terms: no identity, no pool, D's features beside its logits."""

    settings_class = DiscoGANSettings
    summary = "unpaired translation, both ways: squared reconstruction, feature matching (Kim 2017)"
    distance = staticmethod(mse)
