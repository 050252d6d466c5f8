"""What the generators of convolutions between norms, U-Net and ResNet, choose alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from translate.networks.blocks import Norm
from translate.networks.network import NetworkSettings
from translate.networks.resampling import Downsampling, Upsampling
from translate.outside import MAX_WIDTH

InferenceNorm = Annotated[
    Literal["auto", "image", "running"],
    Field(
        description="batch norm at inference: each image's own statistics, running averages, "
        "or auto (image for training with --batch 1)"
    ),
]


def check_inference_norm(kind: str, norm: str) -> None:
    """
    Raises:
        ValueError: a way to use batch norm, of a network that has another norm.
    """
    if kind != "auto" and norm != "batch":
        raise ValueError(f"--inference-norm {kind} is for --norm batch, not for {norm}")


def with_per_image(arguments: dict[str, Any], chosen: Any) -> dict[str, Any]:
    """Arguments of a network, of which `inference_norm` becomes `per_image`: whether each image has its own statistics.

    Args:
        chosen: whole settings of a model.
    """
    kind = arguments.pop("inference_norm")
    return arguments | {"per_image": chosen.batch == 1 if kind == "auto" else kind == "image"}


class GeneratorSettings(NetworkSettings):
    """What U-Net and ResNet both have, with one meaning."""

    width: int = Field(64, ge=1, le=MAX_WIDTH, description="channels of the generator's first layer")
    norm: Norm = "instance"
    inference_norm: InferenceNorm = "auto"
    upsample: Upsampling = "transposed"
    downsample: Downsampling = "strided"

    @classmethod
    def arguments(cls, chosen: Any) -> dict[str, Any]:
        return with_per_image(super().arguments(chosen), chosen)

    @model_validator(mode="after")
    def _batch_norm(self) -> Self:
        check_inference_norm(self.inference_norm, self.norm)
        return self
