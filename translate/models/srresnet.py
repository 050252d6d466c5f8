"""SRResNet: larger pictures from small ones, learned from pairs alone (Ledig, Theis, Huszar 2017, without the GAN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from translate.batch import Batch, Images, Losses, Stats, with_known
from translate.losses import l1, mse
from translate.models.base import DataShape, Model
from translate.models.perceptual import PerceptualSettings
from translate.networks import srresnet as network
from translate.networks.blocks import init_weights
from translate.settings import ModelSettings

DISTANCES = {"mse": mse, "l1": l1}


class SRResNetSettings(PerceptualSettings, network.SRResNetSettings, ModelSettings):
    """The published settings (SRResNet-MSE): Adam at 1e-4 for all of a million steps, 16 crops of 96 pixels a step.

    The crops' size, and that pictures are not resized first, are settings of the data: see `recipes.RECIPES`.
    """

    published = {"batch": 16, "lr": 1e-4, "beta1": 0.9, "schedule": "constant"}  # noqa: RUF012

    distance: Literal["mse", "l1"] = Field(
        "mse", description="distance to the target: squared as published, or absolute (sharper: EDSR)"
    )


class SRResNet(Model):
    """A generator that has to be near its target; no game."""

    settings_class = SRResNetSettings
    summary = "super-resolution: pictures 2 or 4 times as large, from pictures alone (SRResNet, Ledig 2017)"
    players = {"generator": ("generator",)}  # noqa: RUF012

    def __init__(self, settings: SRResNetSettings, shape: DataShape) -> None:
        """
        Raises:
            ValueError: crops whose sides are no multiples of the scale.
        """
        super().__init__()
        self.scale = settings.scale
        if any(side % self.scale for side in shape.size):
            raise ValueError(
                f"--size {shape.size} is cropped from the target, and --scale {self.scale} has to divide it"
            )
        self.settings = settings
        arguments = network.SRResNetSettings.arguments(settings)
        self.generator = network.SRResNet(shape.source_channels, shape.target_channels, **arguments)
        init_weights(self.generator)
        self.generator.start_alike()
        self.target_terms = settings.target_terms(channels=shape.target_channels)

    @classmethod
    def enlarges(cls, settings: SRResNetSettings) -> int:
        return settings.scale

    def check(self) -> None:
        super().check()
        self.target_terms.check()

    def forward(self, image: Tensor) -> Tensor:
        larger: Tensor = self.generator(image)
        return larger

    def generate(self, batch: Batch, players: Sequence[str]) -> Images:
        # where the target is unknown it stands in for the fake: no loss can see the difference
        return {"fake": with_known(self.generator(batch.source), batch)}

    def objective(self, player: str, batch: Batch, images: Images) -> tuple[Losses, Stats]:
        name = self.settings.distance
        losses = {f"g_{name}": DISTANCES[name](images["fake"], batch.target, weight=batch.valid)}
        return losses | self.target_terms(images["fake"], batch.target), {}
