"""DualGAN: unpaired translation with Wasserstein critics (Yi, Zhang, Tan, Gong 2017)."""

from __future__ import annotations

from pydantic import Field

from translate.models.base import DataShape
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
    }

    critic_steps: int = Field(
        3, ge=1, le=1000, description="steps of the critics an iteration, each with other pictures"
    )
    clip: float = Field(0.01, gt=0, description="bound of the weights of Wasserstein critics, to both sides of 0")

    def unused(self) -> dict[str, str]:
        free = {"clip": f"with --objective {self.objective}: only Wasserstein critics are clipped"}
        return super().unused() | (free if self.objective != "wasserstein" else {})


class DualGAN(TwoDomains):
    """Both critics make several steps and are clipped, then both generators make one."""

    settings_class = DualGANSettings
    summary = "unpaired translation, both ways: U-Nets and Wasserstein critics (Yi 2017)"
    players = {  # noqa: RUF012
        "discriminator": TwoDomains.players["discriminator"],
        "generator": TwoDomains.players["generator"],
    }

    def __init__(self, settings: DualGANSettings, shape: DataShape) -> None:
        super().__init__(settings, shape, clip=settings.clip if settings.objective == "wasserstein" else None)
        self.steps_per_iteration = {"discriminator": settings.critic_steps}
