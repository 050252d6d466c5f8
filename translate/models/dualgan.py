"""DualGAN: unpaired translation with Wasserstein critics (Yi, Zhang, Tan, Gong 2017)."""

from __future__ import annotations

from translate.models.two_domains import TwoDomains, TwoDomainSettings


class DualGANSettings(TwoDomainSettings):
    """U-Nets, clipped Wasserstein critics, L1 reconstruction, RMSprop.

    The paper reconstructs with weights from 100 to 1,000, the lower ones for photos. Other than there, the gains of
    norms are not clipped: at 0.01 they make the critics' scores negligible beside the reconstruction.
    """

    published = {  # noqa: RUF012
        "norm": "batch",
        "dropout": 0.5,
        "objective": "wasserstein",
        "optimizer": "rmsprop",
        "lr": 5e-5,
        "lambda_cycle": 100.0,
        "lambda_identity": 0.0,
        "pool": 0,
        "penalty": "clip",
        "d_steps": 3,
    }
    former = {"critic_steps": "d_steps"}  # noqa: RUF012
    critic_penalty = "clip"


class DualGAN(TwoDomains):
    """Both critics make several steps and are clipped, then both generators make one."""

    settings_class = DualGANSettings
    summary = "unpaired translation, both ways: U-Nets and Wasserstein critics (Yi 2017)"
    players = {  # noqa: RUF012
        "discriminator": TwoDomains.players["discriminator"],
        "generator": TwoDomains.players["generator"],
    }
