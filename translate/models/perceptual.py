"""The perceptual term of paired models: its settings, and the term itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field, field_validator
from torch import Tensor

from translate.fields import Settings, resumable
from translate.losses import perceptual
from translate.networks.backbone import MIN_SIDE, Backbone, check_channels


class PerceptualSettings(Settings):
    """Settings of the term."""

    lambda_perceptual: float = Field(
        0.0,
        ge=0,
        description="weight of the distance to the target in the features of a pretrained network; 30 is a good start",
    )
    features: str = Field(
        "tf_efficientnet_lite0",
        description="that network, by timm's name; of the default the extra `features` brings the weights",
    )
    features_weights: Path | None = Field(
        None,
        description="file with its weights, .safetensors or .pth (default: the package's, or timm's download)",
        **resumable(),
    )
    features_depths: str | None = Field(
        None,
        description="its feature maps that are compared, 0 is the finest: 0,1,2,3,4 or some of them (default: all)",
    )

    features_size: int = Field(
        MIN_SIDE,
        ge=32,
        le=4096,
        description="pixels of the shorter side to which smaller pictures are enlarged for that network",
    )

    @field_validator("features_depths")
    @classmethod
    def _numbers(cls, value: str | None) -> str | None:
        parts = [] if value is None else value.split(",")
        if not all(part.strip().isdecimal() for part in parts) or len(set(parts)) < len(parts):
            raise ValueError("give numbers from 0 on with commas between, each once")
        return value

    def unused(self) -> dict[str, str]:
        own = [name for name in PerceptualSettings.model_fields if name != "lambda_perceptual"]
        return super().unused() | ({} if self.lambda_perceptual else dict.fromkeys(own, "without --lambda-perceptual"))

    def perceptual_term(self, *, channels: int) -> PerceptualTerm | None:
        """The term for targets of `channels` channels; None where its weight is 0.

        Raises:
            ValueError: the backbone takes no pictures of so many channels.
        """
        if not self.lambda_perceptual:
            return None
        try:
            check_channels(channels)
        except ValueError as error:
            raise ValueError(f"--lambda-perceptual: {error}: give --lambda-perceptual 0") from None
        depths = None if self.features_depths is None else tuple(map(int, self.features_depths.split(",")))
        backbone = Backbone(self.features, self.features_weights)
        return PerceptualTerm(backbone, self.lambda_perceptual, depths, self.features_size)


@dataclass(frozen=True)
class PerceptualTerm:
    """`weight` times the distance of two pictures in the features of `backbone` at `depths`, seen at `size` pixels."""

    backbone: Backbone
    weight: float
    depths: tuple[int, ...] | None = None
    size: int = MIN_SIDE

    def check(self) -> None:
        """
        Raises:
            ValueError: the backbone or its weights cannot be loaded, or it has no such depths.
        """
        self.backbone.check()
        strides = self.backbone.strides()
        wrong = [depth for depth in self.depths or () if depth >= len(strides)]
        if wrong:
            raise ValueError(
                f"--features-depths {wrong[0]}: {self.backbone.name} has {len(strides)} feature maps, 0 to "
                f"{len(strides) - 1}, of strides {', '.join(map(str, strides))}"
            )

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """A scalar; gradients reach `output` alone. Both `[B, 1 or 3, H, W]` in [-1, 1]."""
        with torch.no_grad():
            wanted = self.backbone.features(target, depths=self.depths, min_side=self.size)
        made = self.backbone.features(output, depths=self.depths, min_side=self.size)
        return self.weight * perceptual(made, wanted)
