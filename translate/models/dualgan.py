"""DualGAN: unpaired translation with Wasserstein critics (Yi, Zhang, Tan, Gong 2017)."""

from __future__ import annotations

import torch
from pydantic import Field

from translate.batch import Stats
from translate.models.two_domains import TwoDomains, TwoDomainSettings
from translate.sizes import Size


class DualGANSettings(TwoDomainSettings):
    """U-Nets, clipped Wasserstein critics, L1 reconstruction, RMSprop.

    The paper reconstructs with weights from 100 to 1,000, the lower ones for photos. Other than there, the gains of
    norms are not clipped: at 0.01 they shrink the critics' verdict to nothing beside the reconstruction.
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
        3, ge=1, le=1000, description="moves of the critics a step, each with pictures of its own"
    )
    clip: float = Field(0.01, gt=0, description="the weights of Wasserstein critics are kept within this of 0")

    def unused(self) -> dict[str, str]:
        free = {"clip": f"with --objective {self.objective}: only Wasserstein critics are clipped"}
        return super().unused() | (free if self.objective != "wasserstein" else {})


class DualGAN(TwoDomains):
    """Both critics move several times and are clipped, then both generators."""

    settings_class = DualGANSettings
    summary = "unpaired translation, both ways: U-Nets and Wasserstein critics (Yi 2017)"
    players = {  # noqa: RUF012
        "discriminator": TwoDomains.players["discriminator"],
        "generator": TwoDomains.players["generator"],
    }

    def __init__(self, settings: DualGANSettings, *, source_channels: int, target_channels: int, size: Size) -> None:
        super().__init__(settings, source_channels=source_channels, target_channels=target_channels, size=size)
        self.clip = settings.clip if settings.objective == "wasserstein" else None
        self.moves = {"discriminator": settings.critic_steps}

    @torch.no_grad()
    def after_step(self, player: str, stats: Stats) -> None:
        if player == "discriminator" and self.clip is not None:
            for name in self.players[player]:
                for weight in self.get_submodule(name).parameters():
                    if weight.dim() > 1:
                        weight.clamp_(-self.clip, self.clip)
