"""What the generators of convolutions between norms, U-Net and ResNet, choose alike."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from translate.networks.blocks import Norm
from translate.networks.network import NetworkSettings
from translate.networks.resampling import Downsampling, Upsampling
from translate.outside import MAX_WIDTH


class GeneratorSettings(NetworkSettings):
    """What U-Net and ResNet both have, with one meaning."""

    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator's first layer")
    norm: Norm = "instance"
    inference_norm: Literal["auto", "image", "running"] = Field(
        "auto",
        description="batch norm at inference: each image's own statistics, running averages, "
        "or auto (image for training with --batch 1)",
    )
    upsample: Upsampling = "transposed"
    downsample: Downsampling = "strided"

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        arguments = super().arguments(chosen)
        kind = arguments.pop("inference_norm")
        return arguments | {"per_image": chosen.batch == 1 if kind == "auto" else kind == "image"}

    @model_validator(mode="after")
    def _batch_norm(self) -> Self:
        if self.inference_norm != "auto" and self.norm != "batch":
            raise ValueError(f"--inference-norm {self.inference_norm} is for --norm batch, not for {self.norm}")
        return self
