"""Terms that compare a whole output with a picture, beside the game: their settings, and the terms themselves.

Of paired models with the target: perceptual and style, in the features of a pretrained network, and focal frequency. Of
models without pairs with the source: its content, in the same features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from translate.batch import Losses
from translate.fields import Settings, flag, resumable
from translate.losses import focal_frequency, perceptual, style
from translate.networks.backbone import MIN_SIDE, Backbone, check_channels


class FeatureSettings(Settings):
    """The network in whose features pictures are compared. `translate.evaluation` judges by another one."""

    in_features: ClassVar[tuple[str, ...]] = ()  # fields of weights of terms in these features

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
        if any(getattr(self, name) for name in self.in_features):
            return super().unused()
        without = f"without {' or '.join(map(flag, self.in_features))}"
        return super().unused() | dict.fromkeys(FeatureSettings.model_fields, without)

    def maps(self, *channels: int) -> FeatureMaps | None:
        """What the terms compare; None where all their weights are 0.

        Args:
            channels: of the pictures.

        Raises:
            ValueError: the backbone takes no pictures of so many channels.
        """
        used = [name for name in self.in_features if getattr(self, name)]
        if not used:
            return None
        for count in channels:
            try:
                check_channels(count)
            except ValueError as error:
                raise ValueError(f"{flag(used[0])}: {error}: give {flag(used[0])} 0") from None
        depths = None if self.features_depths is None else tuple(map(int, self.features_depths.split(",")))
        return FeatureMaps(Backbone(self.features, self.features_weights), depths, self.features_size)


class PerceptualSettings(FeatureSettings):
    """Terms between an output and its target, for paired models."""

    in_features = ("lambda_perceptual", "lambda_style")

    lambda_perceptual: float = Field(
        0.0,
        ge=0,
        description="weight of the distance to the target in the features of a pretrained network; 30 is a good start",
    )
    lambda_style: float = Field(
        0.0,
        ge=0,
        description="weight of the difference from the target in style: which of those features come together, "
        "wherever in the picture (Gram matrices, Gatys 2016); 0.1 pulls about as much as --lambda-perceptual 30",
    )
    lambda_frequency: float = Field(
        0.0,
        ge=0,
        description="weight of the difference from the target in frequencies, most of all in those that are still "
        "wrong (focal frequency loss, Jiang 2021); 100 pulls about as much as --lambda-l1 60",
    )
    frequency_alpha: float = Field(
        1.0, ge=0, le=10, description="how far that favours the frequencies that are most wrong; 0 weighs all alike"
    )

    def unused(self) -> dict[str, str]:
        alone = {} if self.lambda_frequency else {"frequency_alpha": "without --lambda-frequency"}
        return super().unused() | alone

    def target_terms(self, *, channels: int) -> TargetTerms:
        """The terms for targets of `channels` channels.

        Raises:
            ValueError: the backbone takes no pictures of so many channels.
        """
        return TargetTerms(
            self.maps(channels),
            self.lambda_perceptual,
            self.lambda_style,
            self.lambda_frequency,
            self.frequency_alpha,
        )


class ContentSettings(FeatureSettings):
    """The term between an output and its source, for models without pairs."""

    in_features = ("lambda_content",)

    lambda_content: float = Field(
        0.0,
        ge=0,
        description="weight of the distance of an output to its source in the features of a pretrained network, so "
        "that what is in the picture stays",
    )

    def content_term(self, *channels: int) -> ContentTerm | None:
        """The term for pictures of these `channels`, of sources and outputs; None where its weight is 0.

        Raises:
            ValueError: the backbone takes no pictures of so many channels.
        """
        maps = self.maps(*channels)
        return None if maps is None else ContentTerm(maps, self.lambda_content)


@dataclass(frozen=True)
class FeatureMaps:
    """Feature maps of `backbone` at `depths`, of pictures seen at `size` pixels. A plain value without tensors."""

    backbone: Backbone
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

    def __call__(self, output: Tensor, wanted: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Those of both, `[B, 1 or 3, H, W]` in [-1, 1] each; gradients reach `output` alone."""
        with torch.no_grad():
            known = self._of(wanted)
        return self._of(output), known

    def _of(self, picture: Tensor) -> list[Tensor]:
        return self.backbone.features(picture, depths=self.depths, min_side=self.size)


@dataclass(frozen=True)
class TargetTerms:
    """Weighted terms between outputs and their targets; those of weight 0 are left out."""

    maps: FeatureMaps | None = None
    perceptual: float = 0.0
    style: float = 0.0
    frequency: float = 0.0
    alpha: float = 1.0

    def check(self) -> None:
        """
        Raises:
            ValueError: as `FeatureMaps.check`.
        """
        if self.maps is not None:
            self.maps.check()

    def __call__(self, output: Tensor, target: Tensor) -> Losses:
        """`g_perceptual`, `g_style` and `g_frequency`, of `[B, C, H, W]` in [-1, 1] each.

        Pixels that do not count are the target's in `output`, as `with_known` makes them.
        """
        losses: Losses = {}
        if self.maps is not None:
            made, wanted = self.maps(output, target)
            if self.perceptual:
                losses["g_perceptual"] = self.perceptual * perceptual(made, wanted)
            if self.style:
                losses["g_style"] = self.style * style(made, wanted)
        if self.frequency:
            losses["g_frequency"] = self.frequency * focal_frequency(output, target, alpha=self.alpha)
        return losses


@dataclass(frozen=True)
class ContentTerm:
    """`weight` times the distance of an output and its source in feature maps."""

    maps: FeatureMaps
    weight: float

    def check(self) -> None:
        """
        Raises:
            ValueError: as `FeatureMaps.check`.
        """
        self.maps.check()

    def __call__(self, output: Tensor, source: Tensor) -> Tensor:
        """A scalar; gradients reach `output` alone. `[B, 1 or 3, H, W]` in [-1, 1] each, of one size."""
        return self.weight * perceptual(*self.maps(output, source))
